"""``pullforge lock``."""

from typing import Annotated

import typer

from builder.lock import to_yaml
from builder.ports import ProgressListener
from registry.cli.session import run, split_name, today
from registry.wiring import Builder


def lock(
    name: Annotated[str, typer.Argument(help="an image name, e.g. env/numpy.pandas:py3.12")],
) -> None:
    """Solve a name and print its lock, a conda-lock file."""

    async def work(builder: Builder, listen: ProgressListener) -> None:
        spec = await builder.resolver.spec(*split_name(name), today())
        locked = await builder.resolver.lock(spec, listen)
        typer.echo(to_yaml(locked).decode(), nl=False)

    run(work)
