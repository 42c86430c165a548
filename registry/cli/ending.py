"""Waiting for a version on the command line, and telling how it ended."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from registry.cli.api import Api, Document
from registry.cli.following import OPEN, follow_version
from registry.cli.output import OutputFormat, plain, say
from registry.cli.places import EnvironmentPlace

WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="wait until the version has ended")
]


async def wait_for(api: Api, place: EnvironmentPlace, number: int) -> Document:
    """Return a version once it has ended, with a line of progress where people look.

    Raises:
        RemoteError: As :func:`registry.cli.following.follow_version`.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        return await follow_version(api, place, number)
    with console.status(f"version {number} of {plain(place.path)}") as status:

        def on_progress(text: str) -> None:
            # Not as markup: a log may have brackets.
            status.update(text.replace("[", "\\["))

        return await follow_version(api, place, number, on_progress)


async def wait_for_asked(api: Api, place: EnvironmentPlace, number: int) -> Document:
    """Return a version that was just asked for once it has ended; tell whom Ctrl-C ends of it.

    Raises:
        RemoteError: As :func:`wait_for`.
    """
    try:
        return await wait_for(api, place, number)
    except asyncio.CancelledError:
        name = f"{place.written}:v{number}"
        say(
            f"version {number} goes on: 'pullforge env wait {name}',"
            f" or 'pullforge env cancel {name}'"
        )
        raise


def told_ending(place: EnvironmentPlace, version: Document, output: OutputFormat) -> None:
    """Tell how a version ended; exit code 1 if it was not built.

    Args:
        place: Its environment.
        version: What the server says of it.
        output: With ``"json"`` nothing is written that is a result: that was done.
    """
    state, number = version.word("state"), version.number("number")
    message = plain(str(version["message"] or ""))
    for line in policy_lines(version):
        say(line)
    if state == "built" and output == "text":
        typer.echo(f"docker pull {plain(version.word('image'))}")
    elif state == "unchanged":
        say(message or f"version {number} came out as the active one: nothing has changed")
    elif state in OPEN:
        say(f"version {number} is {state}: pullforge env wait {place.written}:v{number}")
    elif state != "built":
        said = f": {message}" if message else ""
        say(f"pullforge: version {number} of {place.path} {_was(state)}{said}")
        raise typer.Exit(1)


def policy_lines(version: Document) -> list[str]:
    """Return what policies did to a version, a line each; none, if the server knows of none."""
    told = version.get("policy")
    if not isinstance(told, Document):
        return []
    kinds = ("added", "left_out", "warnings")
    return [f"policy: {plain(one)}" for kind in kinds for one in told.words(kind)]


def _was(state: str) -> str:
    return "failed" if state == "failed" else f"was {plain(state)}"
