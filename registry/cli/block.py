"""``pullforge block`` and ``unblock``: builds that nobody gets."""

import re
from typing import Annotated, Final

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
    OutputOption,
    exit_on_remote_error,
    say,
    time_of,
    write_json,
    write_page,
)
from registry.cli.places import ServerOption

_KEY: Final = re.compile(r"[0-9a-f]{32}")


def block(
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="of a build; without it, what is blocked is listed"),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="why: whoever asks for the build reads it")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="list at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Keep a build from everybody, in every form and variant, or list what is."""
    with exit_on_remote_error():
        if key is None:
            _list(server, limit, output)
            return
        if not reason:
            raise typer.BadParameter("say why, with --reason")
        body = {"key": _key(key), "reason": reason}

        async def work(api: Api) -> Document:
            return api.document(await api.send("POST", "blocks", body=body))

        document = ask(server, work)
        if output == "json":
            write_json(document)
        else:
            say(f"{key} is blocked; 'pullforge unblock {key}' lets it go")


def unblock(
    key: Annotated[str, typer.Argument(metavar="KEY", help="of a build")],
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Let a build be had again."""
    with exit_on_remote_error():
        address = f"blocks/{_key(key)}"

        async def work(api: Api) -> None:
            await api.send("DELETE", address)

        ask(server, work)
        if output == "text":
            say(f"{key} can be had again")


def _list(server: str | None, limit: int | None, output: str) -> None:
    async def work(api: Api) -> Document:
        return await api.all("blocks", None, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (one["key"], one["blocked_by"], time_of(one["at"]), one["reason"])
        for one in found.objects("items")
    ]
    write_page(found, ("key", "blocked by", "since", "reason"), rows)


def _key(text: str) -> str:
    """Return a key.

    Raises:
        BadParameter: It is none.
    """
    if not _KEY.fullmatch(text):
        raise typer.BadParameter(f"{text[:50]!r} is no key: it has 32 hex digits")
    return text
