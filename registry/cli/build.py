"""``pullforge build``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from builder.build.image import Flavour
from builder.build.layout_export import export_layout
from builder.ports import ProgressListener
from registry.cli.arguments import ASKED, lock_of
from registry.cli.session import run, split_name
from registry.cli.timings import Timings
from registry.wiring.building import Builder


def build(
    asked: Annotated[str, typer.Argument(metavar="NAME|FILE|KEY", help=ASKED)],
    output: Annotated[Path, typer.Option("--output", "-o", help="the directory to write to")],
    gzip: Annotated[bool, typer.Option(help="compress layers for clients without zstd")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="print how long stages took")] = False,
) -> None:
    """Build the image of a name or a file without a server, as an OCI layout directory."""

    async def work(builder: Builder, status: ProgressListener) -> None:
        on_progress = Timings(status)
        locked = await lock_of(builder, asked, on_progress)
        flavour: Flavour = "oci-gzip" if gzip else "oci-zstd"
        image = await builder.pipeline.build(locked, flavour, on_progress)
        is_name = asked.startswith("env/")
        name = ":".join(split_name(asked if is_name else f"build/{locked.key}"))
        await export_layout(builder.store, image, output, name)
        typer.echo(image.top.digest)
        if timings:
            Console(stderr=True).print(on_progress.table())

    run(work)
