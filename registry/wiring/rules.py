"""By which rules things are built here, and which builds nobody may have."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from functools import partial
from typing import Final

import structlog

from builder.errors import StoreUnavailable
from builder.rules.model import Rules
from registry.errors import DatabaseUnavailable
from registry.images.blocked import BlockedBuilds
from registry.images.judging import BuildJudge
from registry.images.records import ImageRecords
from registry.images.rules import RulesOf, RulesRecords
from registry.images.stems import Stems
from registry.policy.book import PolicyBook
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import Builder
from registry.wiring.policy import open_policies

#: How often the rules that hold everywhere are looked at, if nothing changes: they do at midnight.
_LOOK_SECONDS: Final = 60


class GlobalRules:
    """Knows the rules of what has no namespace, also where no database is followed.

    Then what a server has published holds as well that follows it: who cannot read a policy must
    not build what it refuses.

    Args:
        book: Knows the policies of files, and those of the database while that is followed.
        records: Have what was published.
    """

    def __init__(self, book: PolicyBook, records: RulesRecords) -> None:
        self.book = book
        self.records = records
        #: Tells whether the book is as the database is; set when that is known.
        self.has_loaded: Callable[[], bool] = lambda: False
        self._joined: tuple[Rules, Rules, Rules] | None = None

    def is_followed(self) -> bool:
        """Tell whether the book is as the database is."""
        return self.has_loaded()

    async def current(self) -> Rules:
        """Return the rules; the same object until one changes.

        Raises:
            StoreUnavailable: The store has them, and does not answer.
        """
        known = self.book.rules(None)
        if self.is_followed():
            return known
        published = await self.records.published()
        if not published:
            return known
        if not known:
            return published
        joined = self._joined
        if joined is None or joined[0] is not known or joined[1] is not published:
            joined = self._joined = (known, published, _joined(known, published))
        return joined[2]

    async def publish(self) -> None:
        """Have others know what holds, again and again, while the database is followed."""
        while True:
            seen = self.book.changes
            if self.is_followed():
                try:
                    await self.records.publish(self.book.rules(None))
                except StoreUnavailable as exc:
                    structlog.get_logger().warning("failed to publish rules", error=exc.message)
            await self.book.changed(seen, _LOOK_SECONDS)


class FollowedRules:
    """Knows rules only while the database is followed; implements ``RulesOf``.

    Args:
        book: Knows them.
        has_loaded: Tells whether the book was ever as the database is.
    """

    def __init__(self, book: RulesOf, has_loaded: Callable[[], bool]) -> None:
        self._book = book
        self._has_loaded = has_loaded

    def rules(self, namespace: str | None, environment: str | None = None) -> Rules:
        """Return what holds there.

        Raises:
            DatabaseUnavailable: It is not known what the database says.
        """
        if not self._has_loaded():
            raise DatabaseUnavailable
        return self._book.rules(namespace, environment)


@asynccontextmanager
async def open_judge(
    builder: Builder, records: ImageRecords, everywhere: GlobalRules
) -> AsyncIterator[BuildJudge]:
    """Give what says what may be built; it looks into the store where no database is followed."""
    stems = Stems(builder.store, builder.workers)
    blocked = BlockedBuilds(builder.store, records, stems)
    works = [
        asyncio.create_task(blocked.follow(everywhere.is_followed)),
        asyncio.create_task(everywhere.publish()),
    ]
    try:
        yield BuildJudge(
            builder.policy.channels,
            everywhere.records,
            blocked,
            everywhere.current,
            partial(builder.resolver.facts, channels=builder.policy.channels),
        )
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await blocked.close()


@asynccontextmanager
async def open_local_judge(builder: Builder) -> AsyncIterator[BuildJudge]:
    """Give what says what may be built without a server, by its policies of files and its store.

    Raises:
        PolicyTextInvalid: A policy cannot be used.
        StoreUnavailable: The store does not answer.
    """
    records = ImageRecords(builder.store, builder.workers)
    async with open_policies(Settings(), builder.workers, Metrics(), time.time) as book:
        everywhere = GlobalRules(book, RulesRecords(builder.store, time.time))
        async with open_judge(builder, records, everywhere) as judge:
            await judge.blocked.read()
            yield judge


def _joined(some: Rules, others: Rules) -> Rules:
    """Return rules that all hold."""
    kinds = (one.name for one in fields(Rules))
    return Rules(
        **{
            kind: tuple(dict.fromkeys(getattr(some, kind) + getattr(others, kind)))
            for kind in kinds
        }
    )
