"""``pullforge token``: what programs log in with, of people on a server or of the auth file.

``--right`` makes a robot of the auth file, on the server's own machine; everything else is a token
of an account, which the server makes.
"""

from typing import Annotated, Any

import typer

from registry.auth import policy_editor
from registry.auth.secret import new_token
from registry.cli.api import Api, Document, ask
from registry.cli.errors import exit_on_error
from registry.cli.output import (
    OutputOption,
    RemoteGroup,
    plain,
    say,
    time_of,
    write_json,
    write_table,
)
from registry.cli.places import ServerOption
from registry.cli.remote import RemoteError
from registry.cli.rights import DaysOption, Name, auth_file, expiry
from registry.settings import Settings

token = typer.Typer(
    cls=RemoteGroup,
    help="Manage what programs log in with: tokens of accounts, robots of the auth file.",
    no_args_is_help=True,
)

_User = Annotated[
    str | None, typer.Option(help="of this account; for administrators of the service")
]


@token.command()
def create(
    name: Name,
    right: Annotated[
        list[str] | None,
        typer.Option(
            help="PATTERN:VERBS, once for each: make a robot of PULLFORGE_AUTH_FILE that may this"
        ),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="PATTERN:VERBS, once for each: of what you may, the token may only this"),
    ] = None,
    days: DaysOption = None,
    user: _User = None,
    robot: Annotated[
        bool, typer.Option("--robot", help="of a robot, which --user names and this makes")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Make a token and print its secret, which is shown only now: a password for 'docker login'.

    It is yours on the server, and may what you may. With --right it is that of a robot of
    PULLFORGE_AUTH_FILE, which logs in with its name.
    """
    if right:
        if scope or user or robot or server:
            raise typer.BadParameter("--right is for the auth file: it goes with --days alone")
        _create_in_file(name, right, days, output)
        return
    if robot and user is None:
        raise typer.BadParameter("--robot is for the account that --user NAME names")
    body: dict[str, Any] = {"name": name, "kind": "robot" if robot else "personal"}
    ends = expiry(days)
    body |= {"scopes": scope} if scope else {}
    body |= {"user": user} if user is not None else {}
    body |= {"expires_at": ends.isoformat()} if ends is not None else {}

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", "tokens", body=body))

    document = ask(server, work)
    if output == "json":
        write_json(document)
    else:
        typer.echo(plain(document.word("secret")))


@token.command("list")
def list_(
    user: _User = None,
    ended: Annotated[
        bool, typer.Option("--ended", help="also those that have ended or were revoked")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List your tokens on the server; 'pullforge user list' has the robots of the auth file."""

    async def work(api: Api) -> Document:
        return await api.all("tokens", {"user": user, "ended": str(ended).lower()})

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["name"],
            f"…{one['hint']}",
            " ".join(one.words("scopes")) or "everything you may",
            time_of(one["last_used_at"]),
            time_of(one["revoked_at"] or one["expires_at"]),
        )
        for one in found.objects("items")
    ]
    write_table(("id", "name", "secret", "may", "last used", "ends"), rows)


@token.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="as 'token list' has it")],
    user: _User = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Revoke a token: it is refused at every door from now on.

    Where PULLFORGE_AUTH_FILE is set and no --server is said, NAME is that of a robot of the file.
    """
    is_of_file = server is None and user is None and Settings().auth_file is not None
    if is_of_file:
        with exit_on_error():
            policy_editor.remove(auth_file(), "tokens", name)
        return

    async def work(api: Api) -> int:
        number = int(name) if name.isascii() and name.isdigit() else None
        if number is None:
            number = await _number_of(api, name, user)
        await api.send("DELETE", f"tokens/{number}")
        return number

    number = ask(server, work)
    if output == "text":
        say(f"token {number} is revoked")


def _create_in_file(name: str, right: list[str], days: float | None, output: str) -> None:
    path, secret = auth_file(), new_token()
    with exit_on_error():
        policy_editor.add(path, "tokens", name, secret, right, expiry(days))
    if output == "json":
        write_json({"name": name, "kind": "robot", "secret": secret})
    else:
        typer.echo(secret)


async def _number_of(api: Api, name: str, user: str | None) -> int:
    """Return the number of the one token of that name.

    Raises:
        RemoteError: There is none, or there are several.
    """
    tokens = (await api.all("tokens", {"user": user})).objects("items")
    found = [one.number("id") for one in tokens if one["name"] == name]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RemoteError(f"there is no token called '{name}': 'pullforge token list' has them")
    numbers = ", ".join(map(str, found))
    raise RemoteError(f"several tokens are called '{name}': revoke one by its id ({numbers})")
