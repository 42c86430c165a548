"""``pullforge user``: people with passwords."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from registry.auth import policy_editor
from registry.auth.policy_file import read_policy
from registry.auth.secret import TOKEN_PREFIX, is_token, kind_of_hash
from registry.cli.errors import exit_on_error
from registry.cli.rights import DaysOption, Name, RightsOption, auth_file, expiry

user = typer.Typer(help="Manage who may log in with a password.", no_args_is_help=True)

_FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="read the password from standard input")
]


@user.command()
def add(
    name: Name,
    right: RightsOption = None,
    days: DaysOption = None,
    password_stdin: _FromStdin = False,
) -> None:
    """Add a user to PULLFORGE_AUTH_FILE, which is made if it is missing.

    Without --right, a user may what is granted to them on the server: 'pullforge grant add'.
    """
    path, rights = auth_file(), right or []
    with exit_on_error():
        policy_editor.add(path, "users", name, _password(password_stdin), rights, expiry(days))


@user.command()
def passwd(name: Name, password_stdin: _FromStdin = False) -> None:
    """Give a user another password; logins with the old one end.

    Personal tokens live on, those of 'pullforge login' too: 'pullforge token list --user NAME'
    lists them, and 'pullforge token revoke ID --user NAME' ends one.
    """
    path = auth_file()
    with exit_on_error():
        policy_editor.set_password(path, name, _password(password_stdin))


@user.command()
def remove(name: Name) -> None:
    """Remove a user: within seconds nothing works with that name any more."""
    path = auth_file()
    with exit_on_error():
        policy_editor.remove(path, "users", name)


@user.command("list")
def list_() -> None:
    """List users and tokens with their rights."""
    with exit_on_error():
        policy = read_policy(auth_file())
    table = Table("name", "", "rights", "expires")
    for identity in policy.identities.values():
        kind = "token" if kind_of_hash(identity.hashed) == "token" else "user"
        expires = f"{identity.expires:%Y-%m-%d}" if identity.expires else ""
        table.add_row(identity.name, kind, " ".join(map(str, identity.rights)), expires)
    Console().print(table)


def _password(from_stdin: bool) -> str:
    password = (
        sys.stdin.readline().rstrip("\r\n")
        if from_stdin
        else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    )
    if not password or is_token(password):
        raise typer.BadParameter(f"a password is not empty and does not begin with {TOKEN_PREFIX}")
    return str(password)
