"""``pullforge namespace``: what a person or a team owns on a server."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    plain,
    say,
    time_of,
    write_fields,
    write_json,
    write_page,
)
from registry.cli.places import NamespaceArgument, ServerOption, host_of, namespace_place

namespace = typer.Typer(
    cls=RemoteGroup, help="Manage what people and teams own on a server.", no_args_is_help=True
)

_Description = Annotated[str | None, typer.Option(help="what it is for")]
_Owner = Annotated[str | None, typer.Option(metavar="USER", help="who owns it")]


@namespace.command()
def create(
    name: Annotated[str, typer.Argument(metavar="[HOST/]NAMESPACE")],
    description: _Description = None,
    owner: _Owner = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Make the namespace of your own name; as an administrator, any."""
    place = namespace_place(name)
    body = {"name": place.namespace, "description": description or "", "owner": owner}

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", "namespaces", body=body))

    _show_slug(ask(host_of(place.host, server), work), output)


@namespace.command("list")
def list_(
    search: Annotated[str, typer.Option(help="in name or description")] = "",
    mine: Annotated[
        bool, typer.Option("--mine", help="only where you, or a group of yours, have a role")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the namespaces that you may see."""

    async def work(api: Api) -> Document:
        query = {"search": search} | ({"mine": "true"} if mine else {})
        return await api.all("namespaces", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (one["slug"], one["owner"], time_of(one["created_at"]), one["description"])
        for one in found.objects("items")
    ]
    write_page(found, ("namespace", "owner", "made", "description"), rows)


@namespace.command()
def show(
    name: NamespaceArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Show a namespace."""
    place = namespace_place(name)

    async def work(api: Api) -> Document:
        return await api.get(place.address)

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
        return
    fields = ("slug", "name", "description", "owner", "created_at")
    titles = ("namespace", "name", "description", "owner", "made")
    write_fields({title: document[one] for title, one in zip(titles, fields, strict=True)})


@namespace.command()
def update(
    name: NamespaceArgument,
    rename: Annotated[
        str | None, typer.Option("--name", help="another name; all addresses in it change with it")
    ] = None,
    description: _Description = None,
    owner: _Owner = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Change the name, the description or the owner of a namespace."""
    place = namespace_place(name)
    wanted = {"name": rename, "description": description, "owner": owner}
    body = {field: value for field, value in wanted.items() if value is not None}
    if not body:
        raise typer.BadParameter("say what to change: --name, --description or --owner")

    async def work(api: Api) -> Document:
        return api.document(await api.send("PATCH", place.address, body=body))

    _show_slug(ask(host_of(place.host, server), work), output)


@namespace.command()
def delete(
    name: NamespaceArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Delete a namespace with all that is in it; it can be restored."""
    place = namespace_place(name)

    async def work(api: Api) -> None:
        await api.send("DELETE", place.address)

    ask(host_of(place.host, server), work)
    if output == "text":
        say(f"deleted {place.namespace}; pullforge namespace restore {name} brings it back")


@namespace.command()
def restore(
    name: NamespaceArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Restore the namespace of that name deleted last, with what was deleted with it."""
    place = namespace_place(name)

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", f"{place.address}/restore"))

    _show_slug(ask(host_of(place.host, server), work), output)


@namespace.command()
def members(
    name: NamespaceArgument,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show who may do what in a namespace; its admins are also shown why."""
    place = namespace_place(name)

    path = f"{place.address}/members"

    async def work(api: Api) -> Document:
        found = await api.all(path, {}, limit)
        return Document(found, shared=(await api.get(path, {"limit": 1})).objects("shared"))

    found = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["name"],
            _role_in_words(one),
            "; ".join(why["sentence"] for why in one["reasons"] or ()),
        )
        for one in found.objects("items")
    ]
    for one in found.objects("shared"):
        role = _role_of(one["role"], one["environment"])
        rows.append((_many(one), role, one["reason"]["sentence"] if one["reason"] else ""))
    write_page(found, ("member", "role", "why"), rows)


def _many(shared: Mapping[str, Any]) -> str:
    """Return to whom a role was given that is several people's."""
    if shared["subject_kind"] == "group":
        return f"(group {shared['subject']}, {shared['members']})"
    return "(everyone)" if shared["subject_kind"] == "everyone" else "(whoever has logged in)"


def _role_of(role: str, environment: str) -> str:
    return role if environment == "*" else f"{role} of {environment}"


def _role_in_words(member: Mapping[str, Any]) -> str:
    """Return a member's role: in all of it, and on parts where it is higher."""
    parts = [_role_of(one["role"], one["environment"]) for one in member["parts"]]
    if member["is_refused"]:
        return "refused everywhere"
    return ", ".join(filter(None, (member["role"], *parts)))


def _show_slug(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
    else:
        typer.echo(plain(document.word("slug")))
