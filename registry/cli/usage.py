"""``pullforge usage``: what is pulled, and what it takes."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.filesize import decimal

from registry.cli.api import Api, Document, ask
from registry.cli.completion import complete_environment
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    exit_on_remote_error,
    time_of,
    write_json,
    write_table,
)
from registry.cli.places import ServerOption, environment_place, host_of, namespace_place


def usage(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[[HOST/]NAMESPACE[/NAME]]",
            help="without it, all namespaces: for administrators and auditors",
            autocompletion=complete_environment,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="over so many days")] = 30,
    by_day: Annotated[bool, typer.Option("--by-day", help="a line for each day")] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show pulls, last use and bytes of namespaces, of one and its environments, or of one of them.

    Own is what no other namespace has, shared what others have as well.
    """
    host, address = (None, "usage") if name is None else _place(name)
    if name is None and by_day:
        raise typer.BadParameter("say of which namespace or environment: --by-day is of one")

    async def work(api: Api) -> Document:
        query = {"days": days}
        if name is None:
            return await api.all(address, query)
        found = await api.get(address, query)
        if "next" not in found:
            return found
        items = found.objects("items")
        while found["next"] is not None:
            page = await api.get(address, {**query, "limit": 100, "after": found["next"]})
            items += page.objects("items")
            found["next"] = page["next"]
        return Document(found, items=items)

    with exit_on_remote_error():
        document = ask(host_of(host, server), work)
        _show(document, output, by_day=by_day)


def _place(name: str) -> tuple[str | None, str]:
    """Return the host that was said, and the address of what is named."""
    try:
        namespace = namespace_place(name)
    except typer.BadParameter:
        environment = environment_place(name)
        return environment.host, f"{environment.address}/usage"
    return namespace.host, f"{namespace.address}/usage"


def _show(document: Document, output: OutputFormat, *, by_day: bool) -> None:
    if output == "json":
        write_json(document)
        return
    if by_day:
        titles = ("day", "pulls", "own", "shared")
        rows: list[Sequence[object]] = [
            (one["day"], one["pulls"], *_sizes(one)) for one in document.objects("days")
        ]
        write_table(titles, rows)
        return
    lines = [document] if "days" in document else []
    if "items" in document:
        lines += document.objects("items")
    rows = [
        (
            one["namespace"] if "namespace" in one else one["environment"],
            one["pulls"],
            time_of(one["last_pulled_at"]),
            *_sizes(one),
        )
        for one in lines
    ]
    write_table(("", "pulls", "last pull", "own", "shared"), rows)


def _sizes(one: Document) -> tuple[str, str]:
    return decimal(one.number("own_bytes")), decimal(one.number("shared_bytes"))
