"""The ``pullforge`` command.

A command's module is imported when the command is run: what a server needs takes seconds to import,
and whoever runs a program in an environment, or completes a name, need not wait for it.
"""

from collections.abc import Mapping
from gc import disable, enable  # not as gc: a command here has that name
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

#: Command → its module here, and what it is called there.
_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": ("serve", "serve"),
    "login": ("login", "login"),
    "logout": ("login", "logout"),
    "env": ("env", "env"),
    "namespace": ("namespace", "namespace"),
    "audit": ("audit", "audit"),
    "grant": ("grant", "grant"),
    "policy": ("policy", "policy"),
    "schedule": ("schedule", "schedule"),
    "source": ("source", "source"),
    "watch": ("watch", "watch"),
    "prefixes": ("prefixes", "prefixes"),
    "proposal": ("proposal", "proposal"),
    "waiver": ("waiver", "waiver"),
    "webhook": ("webhook", "webhook"),
    "block": ("block", "block"),
    "unblock": ("block", "unblock"),
    "quota": ("quota", "quota"),
    "retention": ("retention", "retention"),
    "usage": ("usage", "usage"),
    "token": ("token", "token"),
    "account": ("account", "account"),
    "group": ("group", "group"),
    "queue": ("queue", "queue"),
    "push": ("push", "push"),
    "lock": ("lock", "lock"),
    "build": ("build", "build"),
    "diff": ("diff", "diff"),
    "solve": ("solve", "solve"),
    "search": ("solve", "search"),
    "pin": ("pin", "pin"),
    "unpin": ("pin", "unpin"),
    "prewarm": ("prewarm", "prewarm"),
    "worker": ("worker", "worker"),
    "beat": ("worker", "beat"),
    "import": ("import_conda_store", "import_"),
    "gc": ("gc", "gc"),
    "scrub": ("scrub", "scrub"),
    "store": ("store", "store"),
    "database": ("database", "database"),
    "user": ("user", "user"),
}


class _Commands(TyperGroup):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # Of a name that there is not, one of all may be meant.
        for name in [cmd_name] if cmd_name in _COMMANDS else _COMMANDS:
            if name not in self.commands:
                self.commands[name] = _load(name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as exc:
            # Of a choice, Typer passes on what pydantic puts before it.
            exc.message = exc.message.removeprefix("Value error, ")
            raise


def _load(name: str) -> Any:
    module, attribute = _COMMANDS[name]
    disable()  # nothing of a module is garbage: to look for it takes a sixth of the import
    try:
        found = getattr(import_module(f"registry.cli.{module}"), attribute)
    finally:
        enable()
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    single = typer.Typer(add_completion=False)
    single.command(name)(found)
    return get_command(single)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(version("pullforge"))
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    help="An OCI registry whose images are conda environments, built when they are pulled.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="print the version"),
    ] = False,
) -> None:
    """Take what every command takes."""
