"""What keeps environments current on this server: schedules that are due, tests that wait."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from builder.exports import Exports
from builder.lock import Lock
from builder.sandbox.trial import TrialLimits
from registry.catalog.follower import server_name
from registry.catalog.services import CatalogServices
from registry.settings import Settings
from registry.upkeep.images import ImagePlaces
from registry.upkeep.scheduler import Scheduler
from registry.upkeep.testing import ProposalTester
from registry.wiring.building import Builder, host_subdir

_MOST_MEMORY_BYTES: Final = 4 << 30
#: What a container may have, with version 2 of cgroups.
_MEMORY_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


@asynccontextmanager
async def open_upkeep(
    settings: Settings,
    builder: Builder,
    forms: Exports,
    lock_of: Callable[[str], Awaitable[Lock | None]],
    catalog: CatalogServices,
) -> AsyncIterator[None]:
    """Carry out what is due, and test what waits, until the exit.

    Args:
        settings: All of them.
        builder: Has what tests run in.
        forms: Builds what is to be tested.
        lock_of: Knows locks by their keys.
        catalog: Knows what is due.
    """
    places = ImagePlaces(
        builder.store, forms, builder.workers, builder.sandbox, builder.scratch, host_subdir()
    )
    limits = TrialLimits(settings.test_seconds, _memory_bytes())
    tester = ProposalTester(catalog.proposals, lock_of, places, limits, server_name())
    works = (Scheduler(catalog.due_schedules, time.monotonic).run(), tester.run())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _memory_bytes() -> int:
    """Return what a test may have: no more than half of what there is."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # there is none, or it is "max"
        there = min(there, int(_MEMORY_LIMIT.read_text()))
    return min(_MOST_MEMORY_BYTES, there // 2)
