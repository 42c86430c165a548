"""``pullforge retention``: which versions of a namespace keep their files, and freeing others'."""

import asyncio
from typing import Annotated, Any, Final

import typer
from rich.filesize import decimal

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    say,
    time_of,
    write_fields,
    write_json,
    write_table,
)
from registry.cli.places import NamespaceArgument, ServerOption, host_of, namespace_place
from registry.cli.quota import counted

retention = typer.Typer(
    cls=RemoteGroup,
    help="Have files of versions go that are not active; pulling brings them back.",
    no_args_is_help=True,
)

_PAUSE_SECONDS: Final = 1.0
_Days = Annotated[
    str | None,
    typer.Option(metavar="N", help="days without a use; 'never', or 'default'"),
]
_Keep = Annotated[
    str | None,
    typer.Option(metavar="N", help="newest versions that keep their files; or 'default'"),
]


@retention.command()
def show(
    name: NamespaceArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Show what a namespace keeps of versions that are not active."""
    place = namespace_place(name)

    async def work(api: Api) -> Document:
        return await api.get(f"{place.address}/retention")

    _show(ask(host_of(place.host, server), work), output)


@retention.command("set")
def set_(
    name: NamespaceArgument,
    days: _Days = None,
    keep: _Keep = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Set what a namespace keeps; what is not said stays. Files go within an hour."""
    place, changed = namespace_place(name), _said(days, keep)
    if not changed:
        raise typer.BadParameter("say what to set: --days or --keep")

    async def work(api: Api) -> Document:
        address = f"{place.address}/retention"
        known = (await api.get(address)).part("retention")
        body = {"days": known["days"], "keep": known["keep"]} | changed
        return api.document(await api.send("PUT", address, body=body))

    _show(ask(host_of(place.host, server), work), output)


@retention.command()
def preview(
    name: NamespaceArgument,
    days: _Days = None,
    keep: _Keep = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show which versions' files would go now, and how much that frees; nothing goes.

    With --days or --keep as if that was set.
    """
    place, body = namespace_place(name), _said(days, keep)

    async def work(api: Api) -> Document:
        return await _done(api, f"{place.address}/retention/preview", body)

    document = ask(host_of(place.host, server), work)
    _show_freed(document, output, "would be freed")


@retention.command()
def free(
    name: NamespaceArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Have the files go that 'preview' shows, now; pulling brings any of them back."""
    place = namespace_place(name)

    async def work(api: Api) -> Document:
        versions: list[Document] = []
        size_bytes = 0
        while True:
            found = await _done(api, f"{place.address}/retention/free", None)
            versions += found.objects("versions")
            size_bytes += found.number("size_bytes")
            if not found["more"] or not found.objects("versions"):
                return Document(found, versions=versions, size_bytes=size_bytes)

    _show_freed(ask(host_of(place.host, server), work), output, "freed")


async def _done(api: Api, address: str, body: dict[str, Any] | None) -> Document:
    """Return what a request comes to that may take long: it is asked for again until it is done."""
    while True:
        document = api.document(await api.send("POST", address, body=body))
        if document.word("state") != "running":
            return document
        await asyncio.sleep(_PAUSE_SECONDS)


def _said(days: str | None, keep: str | None) -> dict[str, int | str | None]:
    found: dict[str, int | str | None] = {}
    if days is not None:
        found["days"] = days if days == "never" else _number(days, "a number, 'never' or 'default'")
    if keep is not None:
        found["keep"] = _number(keep, "a number or 'default'")
    return found


def _number(text: str, words: str) -> int | str | None:
    if text == "none":
        raise typer.BadParameter(f"'none' is not {words}")
    try:
        return counted(text)
    except typer.BadParameter:
        raise typer.BadParameter(f"{text!r} is not {words}") from None


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
        return
    keeping, said = document.part("keeping"), document.part("retention")
    days = keeping["days"]
    texts = {
        "days without a use": "never" if days is None else str(days),
        "newest that are kept": str(keeping["keep"]),
    }
    fields = {"namespace": document.word("namespace")}
    for (title, text), field in zip(texts.items(), ("days", "keep"), strict=True):
        fields[title] = f"{text} (default)" if said[field] is None else text
    write_fields(fields)


def _show_freed(document: Document, output: OutputFormat, verb: str) -> None:
    if output == "json":
        write_json(document)
        return
    rows = [
        (
            one["environment"],
            f"v{one['version']}",
            time_of(one["since"]),
            decimal(one.number("size_bytes")),
        )
        for one in document.objects("versions")
    ]
    if rows:
        write_table(("environment", "version", "unused since", "takes"), rows)
    number = len(rows)
    size = decimal(document.number("size_bytes"))
    say(f"{number} version{'' if number == 1 else 's'}, {size} {verb}")
    if document["more"]:
        say("there are more: these go first")
