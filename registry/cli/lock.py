"""``pullforge lock``."""

from typing import Annotated

import typer

from builder.lock import to_yaml
from builder.ports import ProgressListener
from registry.cli.arguments import ASKED, lock_of
from registry.cli.session import run
from registry.wiring.building import Builder


def lock(
    asked: Annotated[str, typer.Argument(metavar="NAME|FILE|KEY", help=ASKED)],
) -> None:
    """Solve a name or a file and print its lock, a conda-lock file."""

    async def work(builder: Builder, on_progress: ProgressListener) -> None:
        locked = await lock_of(builder, asked, on_progress)
        typer.echo(to_yaml(locked).decode(), nl=False)

    run(work)
