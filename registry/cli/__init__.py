"""The ``pullforge`` command."""

from importlib.metadata import version
from typing import Annotated

import typer

from registry.cli import (
    build,
    database,
    diff,
    env,
    gc,
    grant,
    lock,
    login,
    namespace,
    pin,
    prewarm,
    push,
    scrub,
    serve,
    store,
    token,
    user,
    worker,
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(version("pullforge"))
        raise typer.Exit


app = typer.Typer(
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


app.command()(serve.serve)
app.command()(login.login)
app.command()(login.logout)
app.command()(prewarm.prewarm)
app.command()(worker.worker)
app.command()(worker.beat)
app.command()(lock.lock)
app.command()(build.build)
app.command()(push.push)
app.command()(pin.pin)
app.command()(pin.unpin)
app.command()(diff.diff)
app.command()(gc.gc)
app.command()(scrub.scrub)
app.add_typer(env.env, name="env")
app.add_typer(namespace.namespace, name="namespace")
app.add_typer(grant.grant, name="grant")
app.add_typer(store.store, name="store")
app.add_typer(database.database, name="database")
app.add_typer(user.user, name="user")
app.add_typer(token.token, name="token")
