"""``pullforge pin`` and ``pullforge unpin``."""

import time
from typing import Annotated

import typer

from builder.ports import ProgressListener
from registry.cli.arguments import kept_lock
from registry.cli.session import run
from registry.images.pins import Pins
from registry.wiring.building import Builder

Key = Annotated[str, typer.Argument(metavar="KEY", help="32 hex digits, e.g. of build/KEY")]


def pin(key: Key) -> None:
    """Keep all that a build is made of, in the store, whatever its channels delete."""

    async def work(builder: Builder, on_progress: ProgressListener) -> None:
        lock = await kept_lock(builder, key)
        await _pins(builder).pin(lock, on_progress)

    run(work)


def unpin(key: Key) -> None:
    """Keep a build no longer: what it is made of may be deleted when space is needed."""

    async def work(builder: Builder, _on_progress: ProgressListener) -> None:
        lock = await kept_lock(builder, key)
        await _pins(builder).unpin(lock.key)

    run(work)


def _pins(builder: Builder) -> Pins:
    return Pins(builder.store, builder.packages, builder.bases, time.time)
