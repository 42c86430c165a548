"""``pullforge grant``: who has which role in what."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.completion import complete_namespace
from registry.cli.output import OutputOption, RemoteGroup, say, time_of, write_json, write_table
from registry.cli.places import ServerOption, host_of
from registry.cli.rights import DaysOption, expiry

grant = typer.Typer(
    cls=RemoteGroup,
    help="Give and take roles; 'pullforge env access' tells your own.",
    no_args_is_help=True,
)

_WHERE: Final = "NAMESPACE, NAMESPACE/NAME with '*' for any characters, or '*' for all of them"
#: Roles in the service, which are not given in a namespace.
_SERVICE: Final = frozenset({"administrator", "auditor"})

_Where = Annotated[
    str,
    typer.Argument(metavar="[HOST/]WHERE", help=_WHERE, autocompletion=complete_namespace),
]
_Role = Literal["viewer", "editor", "admin", "owner", "administrator", "auditor"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where roles hold."""

    host: str | None
    namespace: str
    environment: str

    @property
    def address(self) -> str:
        """Where the roles are: those of the service have addresses of their own."""
        if "*" in self.namespace:
            return "grants"
        return f"namespaces/{quote(self.namespace, safe='')}/grants"


@grant.command()
def add(
    where: _Where,
    role: Annotated[
        _Role, typer.Argument(help="each may what those before may, of the first four")
    ],
    user: Annotated[str | None, typer.Option(help="to this user")] = None,
    group: Annotated[str | None, typer.Option(help="to this group")] = None,
    authenticated: Annotated[
        bool, typer.Option("--authenticated", help="to whoever has logged in")
    ] = False,
    everyone: Annotated[bool, typer.Option("--everyone", help="to everyone")] = False,
    days: DaysOption = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Give a role; one given to the same for the same before is replaced."""
    place = _place(where)
    body = {"role": role, "environment": place.environment} | _subject(
        user, group, authenticated=authenticated, everyone=everyone
    )
    if place.address == "grants":
        body["namespace"] = place.namespace
    elif role in _SERVICE:
        raise typer.BadParameter(f"{role} is a role in the service: give it on '*'")
    ends = expiry(days)
    if ends is not None:
        body["expires_at"] = ends.isoformat()

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", place.address, body=body))

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    else:
        typer.echo(str(document.number("id")))


@grant.command("list")
def list_(where: _Where = "*", server: ServerOption = None, output: OutputOption = "text") -> None:
    """List the roles that hold in a namespace; '*', or nothing said: all of them."""
    place = _place(where)

    async def work(api: Api) -> Document:
        return await api.all(place.address)

    found = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["role"],
            one["subject_kind"],
            one["subject"],
            f"{one['namespace']}/{one['environment']}",
            one["granted_by"] or one["source"],
            time_of(one["created_at"]),
            time_of(one["expires_at"]),
        )
        for one in found.objects("items")
    ]
    write_table(("id", "role", "", "for", "on", "by", "since", "ends"), rows)


@grant.command()
def remove(
    where: _Where,
    number: Annotated[int, typer.Argument(metavar="ID", help="as 'grant list' has it", min=1)],
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Take a role back."""
    place = _place(where)

    async def work(api: Api) -> None:
        await api.send("DELETE", f"{place.address}/{number}")

    ask(host_of(place.host, server), work)
    if output == "text":
        say(f"the role {number} is taken back")


def _place(text: str) -> _Place:
    """Return what ``text`` names.

    Raises:
        BadParameter: It names nothing.
    """
    scheme, separator, rest = text.rpartition("://")
    parts = rest.split("/")
    host = None
    if len(parts) == 3 or separator:
        host, parts = scheme + separator + parts[0], parts[1:]
    if len(parts) not in {1, 2} or not all(parts):
        raise typer.BadParameter(f"{text!r} names nothing: write {_WHERE}")
    return _Place(host, parts[0], parts[1] if len(parts) == 2 else "*")


def _subject(
    user: str | None, group: str | None, *, authenticated: bool, everyone: bool
) -> dict[str, Any]:
    """Return who gets the role.

    Raises:
        BadParameter: Nobody, or several.
    """
    said: list[dict[str, Any]] = []
    if user is not None:
        said.append({"subject_kind": "user", "subject": user})
    if group is not None:
        said.append({"subject_kind": "group", "subject": group})
    if authenticated:
        said.append({"subject_kind": "authenticated"})
    if everyone:
        said.append({"subject_kind": "everyone"})
    if len(said) != 1:
        raise typer.BadParameter(
            "say for whom, once: --user NAME, --group NAME, --authenticated or --everyone"
        )
    return said[0]
