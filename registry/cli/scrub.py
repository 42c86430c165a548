"""``pullforge scrub``."""

import asyncio
import json
import os
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from registry.cli.errors import exit_on_error
from registry.maintenance.findings import ScrubReport
from registry.maintenance.scrub import Scrub, find_leftovers, hashed_bytes
from registry.settings import Settings
from registry.wiring.stores import open_store, scratch_of


def scrub(
    delete: Annotated[
        bool, typer.Option(help="delete corrupt blobs and archives, which are then made again")
    ] = True,
    threads: Annotated[
        int, typer.Option(min=0, help="how many are read at once; 0: one for each processor")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="write one JSON object")] = False,
) -> None:
    """Read the whole store and find what is damaged.

    The server may run meanwhile. Exit code 1: something stays damaged (a corrupt blob with
    --no-delete, a damaged lock), or the store does not answer.
    """
    with exit_on_error():
        report = asyncio.run(_scrub(Settings(), delete=delete, threads=threads))
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        _show(report)
    if report.is_harmful:
        raise typer.Exit(1)


async def _scrub(settings: Settings, *, delete: bool, threads: int) -> ScrubReport:
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    async with open_store(settings, settings.store) as store:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=await hashed_bytes(store))
            report = await Scrub(
                store,
                delete=delete,
                threads=threads or os.cpu_count() or 1,
                on_progress=lambda size_bytes: progress.advance(task, size_bytes),
            ).run()
    report.findings.extend(find_leftovers(scratch_of(settings), time.time()))
    return report


def _show(report: ScrubReport) -> None:
    for found in report.findings:
        deleted = "; deleted, to be made again when it is needed" if found.deleted else ""
        typer.echo(f"{found.problem}: {found.key}: {found.words}{deleted}")
    typer.echo(
        f"Read {report.blobs:,} blobs, {report.packages:,} package archives and"
        f" {report.locks:,} locks, {decimal(report.hashed_bytes)}:"
        f" {len(report.findings):,} findings,"
        f" {sum(found.deleted for found in report.findings):,} deleted,"
        f" {sum(found.is_harmful for found in report.findings):,} still damaged."
    )
