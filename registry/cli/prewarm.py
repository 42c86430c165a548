"""``pullforge prewarm``."""

import asyncio
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from registry.authorities import trusted_authorities
from registry.cli.remote import RemoteError, address_of, credentials, warm

#: How many are made at once, unless it is said otherwise.
_PARALLEL = 4


def prewarm(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="a reference a line: env/numpy.pandas, build/KEY, …"
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="HOST", help="HOST[:PORT], or an address")],
    parallel: Annotated[int, typer.Option(min=1, max=64, help="how many at once")] = _PARALLEL,
) -> None:
    """Have a server make images before anybody waits for them.

    Empty lines and what follows a # are left out. Exit code 1: some could not be made; each is
    named with the reason.
    """
    lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
    failed = asyncio.run(_prewarm(to, [line for line in lines if line], parallel))
    for reference, why in failed.items():
        typer.echo(f"pullforge: {reference}: {why}", err=True)
    if failed:
        raise typer.Exit(1)


async def _prewarm(to: str, references: list[str], parallel: int) -> dict[str, str]:
    """Return what could not be made, and why, in the order of ``references``."""
    failed: dict[str, str] = {}
    slots = asyncio.Semaphore(parallel)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("making images", total=len(references))
        timeout, trusted = httpx.Timeout(30, read=60), trusted_authorities()
        async with httpx.AsyncClient(auth=credentials(), timeout=timeout, verify=trusted) as http:

            async def one(reference: str) -> None:
                async with slots:
                    try:
                        await warm(http, address_of(to), reference)
                    except RemoteError as exc:
                        failed[reference] = str(exc)
                    progress.update(bar, advance=1, description=reference)

            await asyncio.gather(*(one(reference) for reference in references))
    return {reference: failed[reference] for reference in references if reference in failed}
