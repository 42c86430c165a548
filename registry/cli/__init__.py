"""The ``pullforge`` command."""

import typer

from registry.cli import (
    build,
    diff,
    gc,
    lock,
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

app = typer.Typer(
    help="An OCI registry whose images are conda environments, built when they are pulled.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command()(serve.serve)
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
app.add_typer(store.store, name="store")
app.add_typer(user.user, name="user")
app.add_typer(token.token, name="token")
