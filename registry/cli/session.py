"""What commands that build without a server share."""

import asyncio
import datetime
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from builder.errors import BuilderError
from builder.ports import Progress, ProgressListener
from builder.system_errors import machine_errors
from registry.errors import RegistryError
from registry.settings import Settings
from registry.wiring import Builder, open_builder


class NullMetrics:
    """Counts nothing; implements :class:`builder.ports.BuildMetrics`."""

    def solved(self, seconds: float) -> None:
        """Do nothing."""

    def downloaded(self, size_bytes: int) -> None:
        """Do nothing."""

    def assembled(self, size_bytes: int, seconds: float) -> None:
        """Do nothing."""


def run(work: Callable[[Builder, ProgressListener], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` with a builder and a line of progress; an error is one sentence, exit 1."""
    with exit_on_error():
        asyncio.run(_session(work))


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        with machine_errors():
            yield
    except (BuilderError, RegistryError) as exc:
        typer.echo(f"pullforge: {exc.message}", err=True)
        raise typer.Exit(1) from None


async def _session(work: Callable[[Builder, ProgressListener], Coroutine[Any, Any, None]]) -> None:
    console = Console(stderr=True)
    async with open_builder(Settings(), NullMetrics()) as builder:
        with console.status("reading the name") as status:

            def on_progress(progress: Progress) -> None:
                status.update(str(progress))

            await work(builder, on_progress)


def today() -> datetime.date:
    """Return the date, UTC: names cannot ask for the future."""
    return datetime.datetime.now(datetime.UTC).date()


def split_name(name: str) -> tuple[str, str]:
    """Return repository and tag of ``env/numpy.pandas:2026-11-01``; the tag may be left out."""
    repository, _, tag = name.partition(":")
    return repository, tag or "latest"
