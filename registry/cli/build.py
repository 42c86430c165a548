"""``pullforge build``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from builder.export import export_layout
from builder.image import Flavour
from builder.ports import ProgressListener
from registry.cli.session import run, split_name, today
from registry.cli.timings import Timings
from registry.wiring import Builder


def build(
    name: Annotated[str, typer.Argument(help="an image name, e.g. env/numpy.pandas:py3.12")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the directory to write to")],
    gzip: Annotated[bool, typer.Option(help="compress layers for clients without zstd")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="print how long stages took")] = False,
) -> None:
    """Build a name's image without a server, as an OCI layout directory."""

    async def work(builder: Builder, status: ProgressListener) -> None:
        listen = Timings(status)
        repository, tag = split_name(name)
        spec = await builder.resolver.spec(repository, tag, today())
        locked = await builder.resolver.lock(spec, listen)
        flavour: Flavour = "oci-gzip" if gzip else "oci-zstd"
        image = await builder.pipeline.build(locked, flavour, listen)
        await export_layout(builder.store, image, output, f"{repository}:{tag}")
        typer.echo(image.top.digest)
        if timings:
            Console(stderr=True).print(listen.table())

    run(work)
