"""``pullforge schedule``: when environments are solved anew."""

from typing import Annotated, Any, Final, Literal

import typer

from registry.cli.api import Api, Document, Refused, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    say,
    time_of,
    write_fields,
    write_json,
    write_page,
)
from registry.cli.places import EnvironmentArgument, ServerOption, host_of, untagged_place

schedule = typer.Typer(
    cls=RemoteGroup,
    help="Have environments solved anew again and again.",
    no_args_is_help=True,
)

#: What is sent, and stays as it is where it is not said.
_FIELDS: Final = ("cron", "timezone", "then", "on_advisories", "paused")


@schedule.command("set")
def set_(
    name: EnvironmentArgument,
    when: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHEN]",
            help="hourly, daily, weekly, monthly, yearly, or five fields as '30 3 * * MON'",
        ),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="such as Europe/Berlin; at first UTC")
    ] = None,
    then: Annotated[
        Literal["propose", "test", "activate"] | None,
        typer.Option(
            help="what becomes of a new version: it waits, at first; it is active when its test"
            " passes; it is active"
        ),
    ] = None,
    on_advisories: Annotated[
        bool | None,
        typer.Option(
            "--on-advisories/--not-on-advisories",
            help="also as soon as an advisory is against the active version; at first it is",
        ),
    ] = None,
    paused: Annotated[
        bool | None, typer.Option("--pause/--resume", help="until it is resumed, nothing is due")
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Set when an environment is solved anew; what is not said stays as it is."""
    place = untagged_place(name)
    said = {
        "cron": when,
        "timezone": timezone,
        "then": then,
        "on_advisories": on_advisories,
        "paused": paused,
    }
    changed = {field: value for field, value in said.items() if value is not None}
    if not changed:
        raise typer.BadParameter("say when, such as weekly, or what to change of it")

    async def work(api: Api) -> Document:
        address = f"{place.address}/schedule"
        try:
            known: dict[str, Any] = await api.get(address)
        except Refused as exc:
            if exc.code != "SCHEDULE_UNKNOWN" or when is None:
                raise
            known = {}
        body = {field: value for field, value in (known | changed).items() if field in _FIELDS}
        return api.document(await api.send("PUT", address, body=body))

    _show(ask(host_of(place.host, server), work), output)


@schedule.command()
def show(
    name: EnvironmentArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Show when an environment is solved anew, and what came of it the last time."""
    place = untagged_place(name)

    async def work(api: Api) -> Document:
        return await api.get(f"{place.address}/schedule")

    _show(ask(host_of(place.host, server), work), output)


@schedule.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Argument(metavar="[NAMESPACE]", help="of its environments alone")
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="only those that could not be carried out last")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the schedules of the environments that you may see."""
    query = {"namespace": namespace, "problems": "true" if problems else None}

    async def work(api: Api) -> Document:
        return await api.all("schedules", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["environment"],
            one["in_words"],
            one["then"],
            "paused" if one["paused"] else time_of(one["next_at"]),
            time_of(one["last_at"]),
            _version(one),
            one["problem"],
        )
        for one in found.objects("items")
    ]
    columns = ("environment", "solved", "then", "next", "last", "version", "problem")
    write_page(found, columns, rows)


@schedule.command()
def run(
    name: EnvironmentArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Have an environment solved anew now, as its schedule says, and print the version."""
    place = untagged_place(name)

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", f"{place.address}/schedule/run"))

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
        return
    typer.echo(f"{place.written}:v{document.number('number')}")
    say(f"'pullforge env wait {place.written}:v{document.number('number')}' waits until it is made")


@schedule.command()
def delete(name: EnvironmentArgument, server: ServerOption = None) -> None:
    """Delete the schedule of an environment; what it has asked for goes on."""
    place = untagged_place(name)

    async def work(api: Api) -> None:
        await api.send("DELETE", f"{place.address}/schedule")

    ask(host_of(place.host, server), work)
    say(f"{place.written} is solved anew no more, unless somebody asks for it")


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
        return
    write_fields(
        {
            "environment": document["environment"],
            "solved": document["in_words"],
            "set as": document["cron"],
            "then": document["then"],
            "on advisories": "yes" if document["on_advisories"] else "no",
            "next": "paused"
            if document["paused"]
            else ", ".join(map(time_of, document.words("upcoming"))) + " UTC",
            "last": time_of(document["last_at"]),
            "last version": _version(document),
            "problem": document["problem"],
            "set by": document["updated_by"],
        }
    )


def _version(document: Document) -> str:
    return f"v{document['last_version']}" if document["last_version"] is not None else ""
