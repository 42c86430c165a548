"""``pullforge group``: to whom roles are given together."""

from typing import Annotated
from urllib.parse import quote

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import OutputOption, RemoteGroup, say, write_json, write_page
from registry.cli.places import ServerOption

group = typer.Typer(
    cls=RemoteGroup,
    help="Manage groups of people, for administrators of the service.",
    no_args_is_help=True,
)

_Group = Annotated[str, typer.Argument(metavar="GROUP")]
_User = Annotated[str, typer.Argument(metavar="USER")]
_Limit = Annotated[int | None, typer.Option(min=1, help="at most so many")]


@group.command("list")
def list_(
    search: Annotated[str, typer.Option(help="in the name")] = "",
    limit: _Limit = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List groups."""

    async def work(api: Api) -> Document:
        return await api.all("groups", {"search": search}, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (one["name"], one["members"], one["grants"], one["source"])
        for one in found.objects("items")
    ]
    write_page(found, ("group", "people", "roles", "from"), rows)


@group.command()
def members(
    name: _Group, limit: _Limit = None, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """List who is in a group."""

    async def work(api: Api) -> Document:
        return await api.all(f"{_address(name)}/members", limit=limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [(one["user"], one["source"]) for one in found.objects("items")]
    write_page(found, ("name", "says so"), rows)


@group.command()
def add(
    name: _Group, user: _User, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Put somebody into a group, which is made if there is none."""

    async def work(api: Api) -> Document:
        return api.document(await api.send("PUT", _member(name, user)))

    document = ask(server, work)
    if output == "json":
        write_json(document)
    else:
        say(f"'{user}' is in '{name}'")


@group.command()
def remove(
    name: _Group, user: _User, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Take somebody out of a group."""

    async def work(api: Api) -> None:
        await api.send("DELETE", _member(name, user))

    ask(server, work)
    if output == "text":
        say(f"'{user}' is not in '{name}' any more")


@group.command()
def delete(name: _Group, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Delete a group that no roles were given to."""

    async def work(api: Api) -> None:
        await api.send("DELETE", _address(name))

    ask(server, work)
    if output == "text":
        say(f"the group '{name}' is deleted")


def _address(name: str) -> str:
    return f"groups/{quote(name, safe='')}"


def _member(name: str, user: str) -> str:
    return f"{_address(name)}/members/{quote(user, safe='')}"
