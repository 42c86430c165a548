"""Holding all locks against rules, by rows: no lock is read, and no package judged twice.

::

    rules ─→ packages, each once ─→ those that break a rule ─→ the locks that have them
          └→ sums of each lock ───→ those that break a rule as a whole

Rows are read in pages, and held against rules in processes of their own, a part at a time.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Row, Select, select, tuple_

from builder.ports import Workers
from builder.rules.candidate import Candidate
from builder.rules.judging import Whole
from builder.rules.model import Rules
from builder.rules.violation import Violation
from registry.database import Database, tables
from registry.policy.judging import WholeLock, judge_packages, judge_wholes, names_together

#: So many rows are read by one statement, and judged by one call: some milliseconds of the event
#: loop.
_PAGE: Final = 1000
#: So many numbers or keys are named by one statement.
_NAMED: Final = 500
#: Of more locks than that, all are judged: one pass over rows costs less than many parts of it.
_FEW: Final = 2000
#: Of one kind of rule, so many packages of one lock are told; others are as many again.
MAX_EACH: Final = 20
_MAX_REASON: Final = 300
#: So many locks are gone through at once.
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Found:
    """What a lock breaks."""

    key: str
    violation: Violation


class Assessor:
    """Holds locks against rules.

    Args:
        database: Has their rows.
        workers: Compute.
        channels: Names of channels by their addresses, without credentials.
    """

    def __init__(
        self, database: Database, workers: Workers, channels: Mapping[str, str] | None = None
    ) -> None:
        self._database = database
        self._workers = workers
        self._channels = dict(channels or {})

    async def assess(
        self, rules: Rules, keys: Collection[str]
    ) -> Mapping[str, Sequence[Violation]]:
        """Return what locks break, by key; of those that break anything.

        Args:
            rules: All that hold for them.
            keys: The locks'.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        found: dict[str, list[Violation]] = defaultdict(list)
        if not rules or not keys:
            return found
        written = await asyncio.to_thread(rules.to_json)  # of thousands of advisories
        for part in _scopes(keys):
            async for one in self._packages(written, part):
                if one.key in keys:
                    found[one.key].append(one.violation)
            async for one in self._wholes(rules, written, part):
                if one.key in keys:
                    found[one.key].append(one.violation)
        bounded: dict[str, Sequence[Violation]] = {}
        for count, (key, violations) in enumerate(found.items()):
            bounded[key] = _bounded(violations)
            if count % _AT_ONCE == 0:  # others are served in between
                await asyncio.sleep(0)
        return bounded

    async def _packages(self, rules: bytes, keys: Sequence[str] | None) -> AsyncIterator[Found]:
        """Yield what locks break by one of their packages; ``None``: all locks."""
        broken: dict[int, tuple[Violation, ...]] = {}
        async for rows in self._exact_packages(keys):
            candidates = [self._candidate(row) for row in rows]
            for place, violations in await self._workers.run(judge_packages, rules, candidates):
                broken[rows[place].id] = violations
        table = tables.lock_package
        wanted = set(keys) if keys is not None else None
        for numbers in _parts(sorted(broken), _NAMED):
            columns = (table.c.key, table.c.platform, table.c.package_id)
            statement = select(*columns).where(table.c.package_id.in_(numbers))
            order = (table.c.package_id, table.c.key, table.c.platform)
            async for row in self._pages(statement, order):
                if wanted is None or row.key in wanted:
                    for violation in broken[row.package_id]:
                        yield Found(row.key, replace(violation, platform=row.platform))

    async def _exact_packages(self, keys: Sequence[str] | None) -> AsyncIterator[list[Row[Any]]]:
        table, has = tables.package, tables.lock_package
        statement = select(table)
        if keys is not None:
            statement = statement.where(
                table.c.id.in_(select(has.c.package_id).where(has.c.key.in_(keys)))
            )
        rows: list[Row[Any]] = []
        async for row in self._pages(statement, (table.c.id,)):
            rows.append(row)
            if len(rows) == _PAGE:
                yield rows
                rows = []
        if rows:
            yield rows

    async def _wholes(
        self, rules: Rules, written: bytes, keys: Sequence[str] | None
    ) -> AsyncIterator[Found]:
        """Yield what locks break as a whole; ``None``: all locks."""
        names = names_together(rules)
        if not (names or rules.limits or rules.bases or rules.platforms):
            return
        named = await self._named(names, keys) if names else {}
        table = tables.lock_platform
        statement = select(table)
        if keys is not None:
            statement = statement.where(table.c.key.in_(keys))
        locks: list[WholeLock] = []
        async for row in self._pages(statement, (table.c.key, table.c.platform)):
            whole = Whole(row.platform, row.packages, row.size_bytes, row.base or None)
            locks.append(WholeLock(row.key, whole, tuple(named.get((row.key, row.platform), ()))))
            if len(locks) == _PAGE:
                for one in await self._judged(written, locks):
                    yield one
                locks = []
        for one in await self._judged(written, locks):
            yield one

    async def _judged(self, rules: bytes, locks: Sequence[WholeLock]) -> list[Found]:
        if not locks:
            return []
        found = await self._workers.run(judge_wholes, rules, locks)
        return [Found(key, violation) for key, violations in found for violation in violations]

    async def _named(
        self, names: Collection[str], keys: Sequence[str] | None
    ) -> Mapping[tuple[str, str], Sequence[Candidate]]:
        """Return the packages of certain names that locks have, by key and platform."""
        has, package = tables.lock_package, tables.package
        statement = (
            select(has.c.key, has.c.platform, package)
            .join(package, package.c.id == has.c.package_id)
            .where(has.c.name.in_(names), has.c.manager == "conda")
        )
        if keys is not None:
            statement = statement.where(has.c.key.in_(keys))
        found: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
        known: dict[int, Candidate] = {}
        async for row in self._pages(statement, (has.c.key, has.c.platform, package.c.id)):
            candidate = known.get(row.id)
            if candidate is None:
                candidate = known[row.id] = self._candidate(row)
            found[row.key, row.platform].append(candidate)
        return found

    async def _pages(self, statement: Select[Any], order: Sequence[Any]) -> AsyncIterator[Row[Any]]:
        """Yield rows in an order of columns that stand for one row each."""
        page = statement.order_by(*order).limit(_PAGE)
        places: list[int] | None = None
        while True:
            async with self._database.reading() as connection:
                rows = (await connection.execute(page)).all()
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return
            if places is None:
                selected = list(statement.selected_columns)
                places = [
                    next(at for at, one in enumerate(selected) if one is column) for column in order
                ]
            last = tuple(rows[-1][place] for place in places)
            page = statement.where(tuple_(*order) > last).order_by(*order).limit(_PAGE)

    def _candidate(self, row: Row[Any]) -> Candidate:
        return Candidate(
            row.manager,
            row.name,
            row.version,
            row.build,
            self._channels.get(row.channel, row.channel),
            row.licence,
            row.published_ms,
            row.project,
            row.size_bytes,
        )


def _bounded(violations: Iterable[Violation]) -> Sequence[Violation]:
    """Return the first of each policy and kind, the same ones each time.

    What a lock breaks as a whole is one of each policy and kind, with all reasons.
    """
    found: dict[tuple[str, ...], Violation] = {}
    told: dict[tuple[str, str], int] = defaultdict(int)
    for one in sorted(violations, key=_order):
        identity, kind = identity_of(one), (one.policy, one.kind)
        before = found.get(identity)
        if before is not None:
            if not one.name and len(before.reason) < _MAX_REASON:
                found[identity] = replace(before, reason=f"{before.reason}, and {one.reason}")
        elif told[kind] < MAX_EACH:
            told[kind] += 1
            found[identity] = one
    return list(found.values())


def identity_of(violation: Violation) -> tuple[str, ...]:
    """Return what is the same of a violation as long as it lasts, beside its lock."""
    return (
        *(violation.policy, violation.kind, violation.platform),
        *(violation.manager, violation.name, violation.advisory),
    )


def _order(violation: Violation) -> tuple[str, ...]:
    return (*identity_of(violation), violation.reason)


def _scopes(keys: Collection[str]) -> Iterable[Sequence[str] | None]:
    return [None] if len(keys) > _FEW else _parts(sorted(keys), _NAMED)


def _parts(items: Sequence[Any], size: int) -> Sequence[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
