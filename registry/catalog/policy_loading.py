"""Policies of the database, read into a server's memory: all of them, or what changes name."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from sqlalchemy import Row, select

from registry.catalog.policy_rows import policies
from registry.catalog.ports import HeldPolicies
from registry.database import Database, tables
from registry.errors import PolicyTextInvalid
from registry.policy.policy import read_policy

#: A quarter of a MiB each at most.
_BATCH: Final = 50


class PolicyLoading:
    """Keeps policies in memory as the database has them; reads texts in threads.

    Args:
        held: What knows in memory which hold.
    """

    def __init__(self, held: HeldPolicies) -> None:
        self._held = held
        #: What memory has, by number: name and namespace.
        self._known: dict[int, tuple[str, str | None]] = {}
        #: Those that this program cannot read, such as one that a newer program has set.
        self._unreadable: dict[int, PolicyTextInvalid] = {}

    async def everything(self, database: Database) -> None:
        """Read all that hold; what held before and does no more is forgotten.

        Raises:
            DatabaseUnavailable: It does not answer; memory has a part of it.
        """
        kept: set[int] = set()
        last = 0
        while True:
            page = policies().where(tables.policy.c.id > last).order_by(tables.policy.c.id)
            async with database.reading() as connection:
                rows = (await connection.execute(page.limit(_BATCH))).all()
            for row in rows:
                await self._put(row)
            kept.update(row.id for row in rows)
            if len(rows) < _BATCH:
                break
            last = rows[-1].id
        for number in set(self._known) - kept:
            self._remove(number)
        self._tell_problems()

    async def again(
        self, database: Database, numbers: Sequence[int], namespaces: Sequence[str]
    ) -> None:
        """Read policies again that are named, and the own ones of namespaces that were changed.

        Args:
            database: Where they are.
            numbers: Theirs.
            namespaces: By their slugs, which may be others' by now.
        """
        if not numbers and not namespaces:
            return
        known = [one for one, (_, slug) in self._known.items() if slug in namespaces]
        some = list(dict.fromkeys([*numbers, *known]))
        table, space = tables.policy, tables.namespace
        for part in _parts(namespaces):
            # Deleted and renamed ones are among those that are known.
            named = (
                select(table.c.id)
                .join(space, space.c.id == table.c.namespace_id)
                .where(space.c.slug.in_(part), table.c.deleted_at.is_(None))
            )
            async with database.reading() as connection:
                some += (await connection.execute(named)).scalars()
        for numbers_ in _parts(list(dict.fromkeys(some))):
            async with database.reading() as connection:
                statement = policies().where(table.c.id.in_(numbers_))
                found = {row.id: row for row in await connection.execute(statement)}
            for number in numbers_:
                if number in found:
                    await self._put(found[number])
                else:
                    self._remove(number)
        self._tell_problems()

    async def _put(self, row: Row[Any]) -> None:
        try:
            policy = await asyncio.to_thread(
                read_policy,
                row.name,
                row.text,
                version=row.version,
                namespace=row.slug,
                source="database",
            )
        except PolicyTextInvalid as exc:  # the last one that could be read stays
            structlog.get_logger().error("a policy cannot be read", problem=exc.message)
            self._unreadable[row.id] = exc
            return
        self._unreadable.pop(row.id, None)
        place = (row.name, row.slug)
        if self._known.get(row.id, place) != place:  # its namespace has another name
            self._held.remove_policy(*self._known[row.id])
        self._held.put_policy(policy)
        self._known[row.id] = place

    def _remove(self, number: int) -> None:
        self._unreadable.pop(number, None)
        place = self._known.pop(number, None)
        if place is not None and place not in self._known.values():
            self._held.remove_policy(*place)

    def _tell_problems(self) -> None:
        self._held.put_problems("database", self._unreadable.values())


def _parts(items: Sequence[Any]) -> Sequence[Sequence[Any]]:
    return [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
