"""What is judged: environments with the locks of their versions, all or those it is time for."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, Select, exists, select, update

from builder.rules.model import Rules
from registry.catalog.findings import Place
from registry.database import Database, tables

#: So many versions are read at once; those that were built are judged so many at a time.
_PAGE: Final = 1000
_NAMED: Final = 500

#: Returns what holds in a namespace, and in an environment of it; ``None``: in what has none.
RulesOf = Callable[[str | None, str | None], Rules]


@dataclass(slots=True)
class Judged:
    """Environments with the locks that are judged of each."""

    places: dict[int, Place] = field(default_factory=dict)
    #: By environment.
    keys: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: The numbers of the versions in the database, with the path of each; empty: it is deleted.
    versions: dict[int, str] = field(default_factory=dict)

    def all_keys(self, places: Collection[int] | None = None) -> set[str]:
        """Return the keys of the locks, of some environments or of all."""
        return {
            key for one in (self.places if places is None else places) for key in self.keys[one]
        }


async def all_judged(database: Database, namespace: str | None = None) -> Judged:
    """Return all locks of all environments, or of those of one namespace.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    judged, version, last = Judged(), tables.version, 0
    statement = _versions()
    if namespace is not None:
        statement = statement.where(tables.namespace.c.slug == namespace)
    while True:
        page = statement.where(version.c.id > last).order_by(version.c.id).limit(_PAGE)
        async with database.reading() as connection:
            rows = (await connection.execute(page)).all()
        for row in rows:
            _add(judged, row)
        if len(rows) < _PAGE:
            break
        last = rows[-1].id
    if namespace is None:
        await _add_nameless(database, judged)
    return judged


async def not_judged(database: Database) -> Judged | None:
    """Return some versions that were built, copied or moved since; ``None``: none was.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    version = tables.version
    some = select(version.c.id).where(tables.UNJUDGED).order_by(version.c.id).limit(_NAMED)
    async with database.reading() as connection:
        numbers = list((await connection.execute(some)).scalars())
        if not numbers:
            return None
        rows = (await connection.execute(_versions().where(version.c.id.in_(numbers)))).all()
    # Also those of what is deleted: they are judged when that is restored.
    judged = Judged(versions=dict.fromkeys(numbers, ""))
    for row in rows:
        _add(judged, row)
    return judged


async def mark_judged(database: Database, versions: Mapping[int, str]) -> None:
    """Write down that versions were judged, but for those that are elsewhere by now.

    What was moved, deleted or restored in the meantime was held against what holds where it is not:
    it is judged again.

    Args:
        database: Where they are.
        versions: Their numbers, and the path of each; empty: it is deleted.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    table, place = tables.version, tables.environment
    numbers = list(versions)
    for start in range(0, len(numbers), _NAMED):
        part = table.c.id.in_(numbers[start : start + _NAMED])
        # Of all that there is, most were judged before.
        unjudged = (
            select(table.c.id, table.c.key, place.c.path, place.c.deleted_at)
            .join(place, place.c.id == table.c.environment_id)
            .where(part, table.c.judged == 0)
        )
        async with database.reading() as connection:
            is_any = (await connection.execute(unjudged.limit(1))).first() is not None
        if not is_any:
            continue
        async with database.writing() as connection:
            rows = (await connection.execute(unjudged)).all()
            there = [
                row.id
                for row in rows
                if versions[row.id] == (row.path if row.deleted_at is None and row.key else "")
            ]
            await connection.execute(update(table).where(table.c.id.in_(there)).values(judged=1))


async def in_groups(
    judged: Judged, rules_of: RulesOf, lifted: Collection[tuple[str | None, str | None]]
) -> Sequence[tuple[Rules, Sequence[int]]]:
    """Return the environments in which the same rules hold, together.

    Args:
        judged: All of them.
        rules_of: What holds where.
        lifted: The places that have waivers of their own: a namespace, or an environment of it.
    """
    of_namespace: dict[str | None, Rules] = {}
    groups: list[tuple[Rules, list[int]]] = []
    for count, (number, place) in enumerate(judged.places.items()):
        namespace = place.namespace or None
        if namespace is not None and (namespace, place.slug) in lifted:
            rules = rules_of(namespace, place.slug)
        else:
            if namespace not in of_namespace:
                of_namespace[namespace] = rules_of(namespace, None)
            rules = of_namespace[namespace]
        for known, numbers in groups:
            if known is rules or known == rules:
                numbers.append(number)
                break
        else:
            groups.append((rules, [number]))
        if count % 200 == 0:
            await asyncio.sleep(0)
    return groups


def _versions() -> Select[Any]:
    version, place, space = tables.version, tables.environment, tables.namespace
    return (
        select(
            version.c.id,
            version.c.key,
            version.c.environment_id,
            place.c.slug,
            place.c.namespace_id,
            place.c.active_key,
            place.c.active_version,
            space.c.slug.label("namespace"),
            space.c.owner,
        )
        .join(place, place.c.id == version.c.environment_id)
        .join(space, space.c.id == place.c.namespace_id)
        .where(version.c.state == "built", version.c.key.is_not(None), place.c.deleted_at.is_(None))
    )


async def _add_nameless(database: Database, judged: Judged) -> None:
    """Add the locks that are of no version."""
    table, version, last = tables.lock_platform, tables.version, ""
    statement = select(table.c.key).where(~exists().where(version.c.key == table.c.key))
    while True:
        page = statement.where(table.c.key > last).group_by(table.c.key).order_by(table.c.key)
        async with database.reading() as connection:
            keys = list((await connection.execute(page.limit(_PAGE))).scalars())
        if keys:
            judged.places.setdefault(0, Place(0))
            judged.keys[0].update(keys)
        if len(keys) < _PAGE:
            return
        last = keys[-1]


def _add(judged: Judged, row: Row[Any]) -> None:
    judged.places[row.environment_id] = Place(
        row.environment_id,
        row.namespace,
        row.slug,
        row.namespace_id,
        row.active_key,
        row.active_version,
        row.owner,
    )
    judged.keys[row.environment_id].add(row.key)
    judged.versions[row.id] = f"{row.namespace}/{row.slug}"
