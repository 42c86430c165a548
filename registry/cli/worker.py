"""``pullforge worker`` and ``pullforge beat``."""

import os
import signal
import threading
from typing import Annotated, Literal

import typer

from registry.cli.errors import exit_on_error
from registry.settings import Settings
from registry.telemetry import configure_logs


def worker(
    role: Annotated[
        Literal["builds", "layers"] | None,
        typer.Option(help="Only this: 'builds' or 'layers'; both if left out."),
    ] = None,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Carry out what servers with the same PULLFORGE_BROKER order; docs/scaling.md."""
    # Celery takes a while to import, which other commands need not wait for.
    from registry.jobs.types import ROLES  # noqa: PLC0415
    from registry.worker.role import run_role  # noqa: PLC0415
    from registry.worker.supervise import supervise  # noqa: PLC0415

    settings = _settings()
    with exit_on_error():
        if role is None or not supervised:
            raise typer.Exit(supervise(settings, ROLES if role is None else (role,)))
        threading.Thread(target=_end_with_supervisor, daemon=True).start()
        raise typer.Exit(run_role(settings, role))


def beat() -> None:
    """Have workers do what is due: renew, prewarm, collect, scrub; docs/scaling.md."""
    # As above.
    from registry.worker.beat import run_beat  # noqa: PLC0415

    settings = _settings()
    with exit_on_error():
        run_beat(settings)


def _settings() -> Settings:
    settings = Settings()
    configure_logs(settings.log_format)
    if settings.broker is None:
        typer.echo("pullforge: workers need PULLFORGE_BROKER; see docs/scaling.md", err=True)
        raise typer.Exit(1)
    return settings


def _end_with_supervisor() -> None:
    """End this process when its supervisor is gone: nobody else would, after a ``kill -9``."""
    # Not by ``sys.stdin``: a process that is forked meanwhile would wait for its lock for ever.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)
