"""``pullforge quota``: what a namespace may have, set by administrators of the service."""

from typing import Annotated, Final

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.filesize import decimal

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    say,
    time_of,
    write_json,
    write_table,
)
from registry.cli.places import NamespaceArgument, ServerOption, host_of, namespace_place

quota = typer.Typer(
    cls=RemoteGroup, help="See and set what namespaces may have.", no_args_is_help=True
)

#: What can be limited, and what it is called for people.
_NAMES: Final = {
    "size_bytes": "bytes of images",
    "environments": "environments",
    "builds_a_day": "builds a day",
    "builds_at_once": "builds at once",
}
#: Whatever the server's limit is, it is no longer.
_DIGITS: Final = 20
_WORDS: Final = "a number, 'none' for no limit, or 'default'"


def counted(text: str) -> int | str | None:
    """Return a number, ``none``, or ``None`` for the default.

    >>> counted("10"), counted("none"), counted("default")
    (10, 'none', None)

    Raises:
        BadParameter: It is nothing of that.
    """
    if text == "default":
        return None
    if text == "none":
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS):
        raise typer.BadParameter(f"{text!r} is not {_WORDS}")
    return int(text)


def sized(text: str) -> int | str | None:
    """Return a size in bytes, ``none``, or ``None`` for the default.

    >>> sized("5GB"), sized("none"), sized("default")
    (5000000000, 'none', None)

    Raises:
        BadParameter: It is nothing of that.
    """
    if text in {"default", "none"}:
        return None if text == "default" else text
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except (ValidationError, OverflowError) as exc:
        raise typer.BadParameter(f"{text!r} is no size: write 500GB or 2TiB") from exc
    if size < 0:
        raise typer.BadParameter(f"{text!r} is no size: write 500GB or 2TiB")
    return size


@quota.command()
def show(
    name: NamespaceArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Show what a namespace may have, and has."""
    place = namespace_place(name)

    async def work(api: Api) -> Document:
        return await api.get(f"{place.address}/quota")

    _show(ask(host_of(place.host, server), work), output)


@quota.command("set")
def set_(
    name: NamespaceArgument,
    size: Annotated[
        str | None,
        typer.Option("--bytes", metavar="SIZE", help="of its images, e.g. 50GB; 'none', 'default'"),
    ] = None,
    environments: Annotated[str | None, typer.Option(metavar="N", help=_WORDS)] = None,
    builds_a_day: Annotated[str | None, typer.Option(metavar="N", help=_WORDS)] = None,
    builds_at_once: Annotated[str | None, typer.Option(metavar="N", help=_WORDS)] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Set what a namespace may have, as an administrator; what is not said stays."""
    place = namespace_place(name)
    wanted = {
        "environments": environments,
        "builds_a_day": builds_a_day,
        "builds_at_once": builds_at_once,
    }
    changed = {field: counted(text) for field, text in wanted.items() if text is not None}
    if size is not None:
        changed["size_bytes"] = sized(size)
    if not changed:
        options = "--bytes, --environments, --builds-a-day or --builds-at-once"
        raise typer.BadParameter(f"say what to set: {options}")

    async def work(api: Api) -> Document:
        address = f"{place.address}/quota"
        known = dict((await api.get(address)).part("quota"))
        body = {field: value for field, value in (known | changed).items() if field in _NAMES}
        return api.document(await api.send("PUT", address, body=body))

    _show(ask(host_of(place.host, server), work), output)


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
        return
    said, limits, used = (document.part(one) for one in ("quota", "limits", "used"))
    rows = [
        (
            title,
            _amount(field, used[field]),
            _amount(field, limits[field]),
            "default" if said[field] is None else "set",
        )
        for field, title in _NAMES.items()
    ]
    write_table((document.word("namespace"), "has", "may have", ""), rows)
    if document["builds_go_on_at"] is not None:
        say(f"builds go on at {time_of(document['builds_go_on_at'])} UTC")


def _amount(field: str, value: object) -> str:
    if value is None:
        return "any"
    return decimal(value) if field == "size_bytes" and isinstance(value, int) else str(value)
