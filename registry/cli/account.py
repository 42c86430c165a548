"""``pullforge account``: people and robots of a server, as its administrators see them."""

from typing import Annotated, Literal
from urllib.parse import quote

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    say,
    time_of,
    write_fields,
    write_json,
    write_page,
    write_table,
)
from registry.cli.places import ServerOption

account = typer.Typer(
    cls=RemoteGroup,
    help="Show who there is on a server, and let them in or not: for its administrators.",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="that somebody logs in with")]


@account.command("list")
def list_(
    search: Annotated[str, typer.Option(help="in name, display name or mail address")] = "",
    kind: Annotated[
        Literal["human", "robot"] | None, typer.Option(help="only those of one kind")
    ] = None,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="only those who are refused")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List people and robots, those of the auth file too."""
    query = {"search": search, "kind": kind, "disabled": "true" if disabled else None}

    async def work(api: Api) -> Document:
        return await api.all("users", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["name"],
            one["kind"],
            one["source"],
            one["service_role"],
            "disabled" if one["disabled_at"] else "",
            ", ".join(group.word("group") for group in one.objects("groups")),
        )
        for one in found.objects("items")
    ]
    write_page(found, ("name", "", "from", "role", "state", "groups"), rows)


@account.command()
def show(name: _Name, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Show somebody, and what they may and why."""

    async def work(api: Api) -> tuple[Document, Document]:
        return await api.get(_address(name)), await api.all(f"{_address(name)}/roles")

    found, roles = ask(server, work)
    if output == "json":
        write_json({**found, "roles": roles["items"]})
        return
    _write(found)
    rows = [
        (f"{one['namespace']}/{one['environment']}", one["role"], one["reason"])
        for one in roles.objects("items")
    ]
    if rows:
        write_table(("where", "role", "why"), rows)


@account.command()
def disable(
    name: _Name,
    end_tokens: Annotated[
        bool, typer.Option("--end-tokens", help="their tokens end for good, too")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Refuse somebody at every door from now on; their browsers are logged out."""
    body = {"disabled": True, "end_tokens": end_tokens}
    _show(_change(name, body, server), f"'{name}' is refused everywhere from now on", output)


@account.command()
def enable(name: _Name, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Let somebody in again."""
    _show(_change(name, {"disabled": False}, server), f"'{name}' is let in again", output)


def _change(name: str, body: dict[str, bool], server: str | None) -> Document:
    async def work(api: Api) -> Document:
        return api.document(await api.send("PATCH", _address(name), body=body))

    return ask(server, work)


def _show(document: Document, sentence: str, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
    else:
        say(sentence)


def _write(found: Document) -> None:
    write_fields(
        {
            "name": found["name"],
            "kind": found["kind"],
            "display name": found["display_name"],
            "mail address": found["email"],
            "from": found["source"],
            "rights": " ".join(found.words("rights")),
            "role": found["service_role"],
            "groups": ", ".join(group.word("group") for group in found.objects("groups")),
            "disabled": time_of(found["disabled_at"]),
            "last login": time_of(found["last_seen_at"]),
        }
    )


def _address(name: str) -> str:
    return f"users/{quote(name, safe='')}"
