"""``pullforge env``, about versions: list, activate, compare, wait, read the log, cancel."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import typer
from rich.filesize import decimal

from registry.cli.api import Api, Document, ask
from registry.cli.ending import policy_lines, told_ending, wait_for
from registry.cli.output import (
    OutputOption,
    plain,
    say,
    time_of,
    write_json,
    write_page,
    write_table,
)
from registry.cli.places import (
    EnvironmentArgument,
    EnvironmentPlace,
    ServerOption,
    TaggedArgument,
    environment_place,
    host_of,
    untagged_place,
    version_number,
)
from registry.cli.remote import RemoteError

#: What is shown of one version, and where it is in its document.
FIELDS: Final[Mapping[str, str]] = {
    "environment": "environment",
    "version": "number",
    "state": "state",
    "message": "message",
    "key": "key",
    "image": "image",
    "reason": "reason",
    "note": "note",
    "asked by": "requested_by",
    "asked": "created_at",
    "ended": "ended_at",
    "files freed": "freed_at",
}

#: How a package became another, in a column.
_SIGNS: Final[Mapping[object, str]] = {"added": "+", "removed": "-", "up": "↑", "down": "↓"}

_Version = Annotated[str, typer.Argument(metavar="VERSION", help="its number, as 7 or v7")]


def versions(
    name: EnvironmentArgument,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the versions of an environment, the newest first; '*' is the active one."""
    place = untagged_place(name)

    async def work(api: Api) -> tuple[Document, object]:
        found = await api.all(f"{place.address}/versions", limit=limit)
        if output == "json":
            return found, None
        return found, (await api.get(place.address))["active"]

    found, active = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            "*" if one["number"] == active else None,
            f"v{one['number']}",
            one["state"],
            time_of(one["created_at"]),
            one["requested_by"],
            one["key"],
            one["message"] or one.get("blocked") or one["note"] or "; ".join(policy_lines(one)),
        )
        for one in found.objects("items")
    ]
    write_page(found, ("", "version", "state", "asked", "by", "key", "note"), rows)


def activate(
    name: TaggedArgument,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="its number; or NAME:VERSION")
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Make a version the active one: ':latest' is that from now on, on every server."""
    place = environment_place(name)
    said = version or place.tag
    if said is None or (version is not None and place.tag is not None):
        raise typer.BadParameter("say which version, once: NAME:v7, or NAME 7")
    number = version_number(said)

    async def work(api: Api) -> Document:
        body = {"version": number}
        return api.document(await api.send("PUT", f"{place.address}/active", body=body))

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    else:
        say(f"version {document['number']} of {place.path} is active")


def diff(
    name: EnvironmentArgument,
    before: _Version,
    after: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="default: the active one")
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show how two versions differ, and what a node fetches that has the first."""
    place, old = untagged_place(name), version_number(before)
    new = version_number(after) if after is not None else None

    async def work(api: Api) -> Document:
        to = new if new is not None else await active_of(api, place)
        return await api.get(f"{place.address}/diff/{old}/{to}")

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    else:
        show_diff(document)


def wait(
    name: TaggedArgument,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="give up after so many seconds")
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Wait until a version has ended, the newest if none is said, and print the line to pull it.

    Exit code 1: it was not built, or there was not time enough.
    """
    place = environment_place(name)

    async def work(api: Api) -> Document:
        number = await number_of(api, place)
        try:
            async with asyncio.timeout(timeout):
                return await wait_for(api, place, number)
        except TimeoutError:
            raise RemoteError(
                f"version {number} of {place.path} has not ended after {timeout:g} s"
            ) from None

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    told_ending(place, document, output)


def log(name: TaggedArgument, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Print how a version was made, or is being made; the newest if none is said."""
    place = environment_place(name)

    async def work(api: Api) -> tuple[int, str]:
        number = await number_of(api, place)
        return number, await api.text(f"{place.version(number)}/log")

    number, text = ask(host_of(place.host, server), work)
    lines = text.splitlines()
    if output == "json":
        write_json({"environment": place.path, "number": number, "lines": lines})
        return
    for line in lines:
        typer.echo("".join(filter(str.isprintable, line)))


def cancel(
    name: TaggedArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Cancel a version, the newest if none is said; what others wait for goes on."""
    place = environment_place(name)

    async def work(api: Api) -> Document:
        number = await number_of(api, place)
        return api.document(await api.send("POST", f"{place.version(number)}/cancel"))

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    else:
        say(f"version {document['number']} of {place.path} is {plain(str(document['state']))}")


async def number_of(api: Api, place: EnvironmentPlace) -> int:
    """Return the number of the version that was said, or of the newest.

    Raises:
        RemoteError: There is none.
        BadParameter: What was said is no version.
    """
    if place.tag == "latest":
        return await active_of(api, place)
    if place.tag is not None:
        return version_number(place.tag)
    newest = (await api.all(f"{place.address}/versions", limit=1)).objects("items")
    if not newest:
        update = f"pullforge env update {place.written} FILE"
        raise RemoteError(f"{place.path} has no version yet: {update}")
    return newest[0].number("number")


async def active_of(api: Api, place: EnvironmentPlace) -> int:
    """Return the number of the active version.

    Raises:
        RemoteError: None is active.
    """
    return (await api.get(f"{place.address}/active")).number("number")


def show_diff(document: Document) -> None:
    """Write what two versions differ in."""
    for platform in document.part("packages"):
        changes = document.part("packages").objects(platform)
        if not changes:
            typer.echo(f"{plain(platform)}: the same packages")
            continue
        rows = [
            (
                _SIGNS.get(one.get("direction"), "~"),
                one["name"],
                one["before"],
                one["after"],
            )
            for one in changes
        ]
        write_table((plain(platform), "package", "before", "after"), rows)
        for said in _licences(document, platform):
            typer.echo(plain(said))
    for name, change in document.part("variables").items():
        typer.echo(plain(f"variable {name}: {_change(change)}"))
    if document["base"] is not None:
        typer.echo(plain(f"base: {_change(document['base'])}"))
    # Of a proposal it may not be known yet.
    fetched = document.part("fetched_bytes") if document["fetched_bytes"] is not None else {}
    for platform, size_bytes in fetched.items():
        typer.echo(plain(f"{platform}: a node fetches {decimal(size_bytes)}"))


def _licences(document: Document, platform: str) -> Iterator[str]:
    """Yield which licences come and go; older servers do not tell."""
    told = document.get("licences")
    found = told.get(platform) if isinstance(told, Document) else None
    if isinstance(found, Document):
        for kind in ("added", "removed"):
            if found.words(kind):
                yield f"{platform}: licences {kind}: {', '.join(found.words(kind))}"


def _change(change: object) -> str:
    """Return what was, and what is, in words."""
    if not isinstance(change, list) or len(change) != 2:
        return ""
    old, new = change
    return f"{old or '(none)'} → {new or '(none)'}"
