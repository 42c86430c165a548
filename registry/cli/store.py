"""``pullforge store``: moving a store."""

import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from builder.errors import StoreUnavailable
from registry.cli.errors import exit_on_error
from registry.settings import Settings
from registry.storage.copying import Copied, plan_copy, run_copy
from registry.storage.location import parse_location
from registry.wiring.stores import open_store

store = typer.Typer(help="Move the store.", no_args_is_help=True)

_PLACE = "a directory, or s3://BUCKET/PREFIX"


@store.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=_PLACE)],
    target: Annotated[str, typer.Argument(metavar="TO", help=_PLACE)],
    parallel: Annotated[int, typer.Option(min=1, max=64, help="how many at once")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="write one JSON object")] = False,
) -> None:
    """Copy a store into another one, verifying blobs and packages.

    What TO has already is not copied again: an interrupted copy goes on when it is started again,
    and a second copy brings what a running server added during the first. Buckets are reached by
    the PULLFORGE_S3_… settings. Exit code 1: something is damaged and was not copied, or a store
    does not answer.
    """
    for place in (source, target):
        try:
            parse_location(place)
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from None
    with exit_on_error():
        copied = asyncio.run(_copy(source, target, parallel))
    if as_json:
        typer.echo(json.dumps(asdict(copied)))
    else:
        _show(copied, Console())
    if copied.damaged:
        raise typer.Exit(1)


async def _copy(source: str, target: str, parallel: int) -> Copied:
    settings, place = Settings(), parse_location(target)
    origin = parse_location(source)
    if isinstance(origin, Path) and not origin.is_dir():
        raise StoreUnavailable(f"there is no store in {origin}")
    columns = (TextColumn("copying"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    async with open_store(settings, source) as one, open_store(settings, target) as other:
        with console.status("listing both stores"):
            plan = await plan_copy(one, other)
        # Beside a target on disk, so that finished files are renamed into place.
        beside = place if isinstance(place, Path) else None
        with (
            tempfile.TemporaryDirectory(prefix=".copy-", dir=beside) as scratch,
            Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress,
        ):
            task = progress.add_task("", total=plan.size_bytes)
            return await run_copy(
                one,
                other,
                plan,
                Path(scratch),
                parallel=parallel,
                on_progress=lambda size_bytes: progress.advance(task, size_bytes),
            )


def _show(copied: Copied, console: Console) -> None:
    for key in copied.damaged:
        console.print(f"not copied, since its bytes are not what it says: {key}", highlight=False)
    console.print(
        f"Copied {copied.written:,} entries, {decimal(copied.written_bytes)};"
        f" {copied.present:,} were there already, {len(copied.damaged):,} are damaged.",
        highlight=False,
    )
