"""``pullforge token``: what robots log in with."""

import typer

from registry.auth import policy_editor
from registry.auth.secret import new_token
from registry.cli.rights import DaysOption, Name, RightsOption, auth_file, expiry
from registry.cli.session import exit_on_error

token = typer.Typer(help="Manage the tokens of robots.", no_args_is_help=True)


@token.command()
def create(name: Name, right: RightsOption, days: DaysOption = None) -> None:
    """Add a robot to PULLFORGE_AUTH_FILE and print its token, which is shown only now.

    It logs in with its name and the token as password.
    """
    path, secret = auth_file(), new_token()
    with exit_on_error():
        policy_editor.add(path, "tokens", name, secret, right, expiry(days))
    typer.echo(secret)


@token.command()
def revoke(name: Name) -> None:
    """Remove a robot: within seconds its token is worth nothing."""
    path = auth_file()
    with exit_on_error():
        policy_editor.remove(path, "tokens", name)
