"""What holds for builds: a book that is kept as the files of policies and advisories are."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from builder.ports import Workers
from registry.policy.advisory_files import AdvisoryFiles
from registry.policy.advisory_reading import SUFFIXES
from registry.policy.book import PolicyBook
from registry.policy.files import SUFFIX, PolicyFiles
from registry.policy.places import Place
from registry.settings import Settings
from registry.telemetry import Metrics


@asynccontextmanager
async def open_policies(
    settings: Settings, workers: Workers, metrics: Metrics, now: Callable[[], float]
) -> AsyncIterator[PolicyBook]:
    """Give a book that knows what files say, and follows them until the exit.

    Args:
        settings: All of them.
        workers: Read advisories.
        metrics: Say how many texts cannot be used.
        now: The time in seconds since 1970.

    Raises:
        PolicyTextInvalid: A policy cannot be used, or what the settings name is not there.
    """
    book = PolicyBook(
        lambda: datetime.datetime.fromtimestamp(now(), datetime.UTC), metrics.policy_problems
    )
    following: list[asyncio.Task[None]] = []
    try:
        if (policies := _policies(settings, book)) is not None:
            await policies.start()
            following.append(asyncio.create_task(policies.follow()))
        if settings.advisories is not None:
            place = Place(settings.advisories, SUFFIXES, is_deep=True)
            advisories = AdvisoryFiles(place, book, workers)
            await advisories.start()
            following.append(asyncio.create_task(advisories.follow()))
        yield book
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def try_policies(settings: Settings) -> None:
    """Return if a server may start with the policies in files.

    Raises:
        PolicyTextInvalid: One cannot be used, or there is no such directory.
    """
    if (policies := _policies(settings, PolicyBook())) is not None:
        await policies.start()


def _policies(settings: Settings, book: PolicyBook) -> PolicyFiles | None:
    if settings.policies is None:
        return None
    return PolicyFiles(Place(settings.policies, (SUFFIX,)), book)
