"""``pullforge queue``: what a server makes, what waits, and where it does not go on."""

from typing import Annotated, Literal

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


def queue(
    state: Annotated[
        Literal["building", "queued", "stuck"] | None,
        typer.Option(help="what is made, what waits, or what takes longer than it should"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="at most so many")] = 100,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show what is made and what waits in all namespaces: for administrators and auditors."""
    with exit_on_remote_error():

        async def work(api: Api) -> Document:
            return await api.get("queue", {"state": state, "limit": limit})

        found = ask(server, work)
        if output == "json":
            write_json(found)
            return
        rows = [
            (
                f"{one['environment']}:v{one['number']}",
                one["state"],
                time_of(one["created_at"]),
                one["requested_by"],
                one["trouble"],
            )
            for one in found.objects("items")
        ]
        write_page(found, ("version", "state", "asked for", "by", ""), rows)
        say(f"{found['building']} are made, {found['queued']} wait, {found['stuck']} are stuck")
