"""What commands that build without a server share."""

import asyncio
import datetime
from collections.abc import Callable, Coroutine
from typing import Any

from rich.console import Console

from builder.ports import Progress, ProgressListener
from registry.cli.errors import exit_on_error
from registry.settings import Settings
from registry.wiring.building import Builder, open_builder


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
