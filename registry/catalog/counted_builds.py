"""Versions of all environments, by the numbers of their rows: what conda-store calls builds.

Those that a client of conda-store has deleted are not among them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, func, select, true

from registry.catalog.contents import said_licence
from registry.catalog.counted_lists import Counted, Slice, have_package, inside, states_of
from registry.catalog.lookup import MAX_NUMBER, contains, searchable
from registry.catalog.records import State, Visibility
from registry.catalog.visibility import sees_environment
from registry.database import Database, tables

#: Where a lock is for several platforms, the packages of this one are those of the build.
_PLATFORM: Final = "linux-64"


@dataclass(frozen=True, slots=True)
class ListedBuild:
    """A version, by the number of its row."""

    id: int
    environment_id: int
    state: State
    #: The build; ``None`` until it is built.
    key: str | None
    #: One sentence on a failure; empty otherwise.
    message: str
    #: What its image takes; 0: it is not known.
    size_bytes: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class BuildSpecification:
    """What a version was asked for by."""

    id: int
    #: Hex digits of the digest of its bytes.
    sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FoundBuild:
    """One version, with what it was asked for by."""

    build: ListedBuild
    #: As it was written.
    environment: str
    specification: BuildSpecification


@dataclass(frozen=True, slots=True)
class BuildFilter:
    """Which versions; what is ``None`` or empty is not looked at."""

    states: Collection[State] | None = None
    has_files: bool = False
    environment_id: int | None = None
    #: Slugs; what can be none has no versions.
    namespace: str | None = None
    slug: str | None = None
    #: All of these are in it.
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BuildPackage:
    """A package of a version."""

    manager: str
    name: str
    version: str
    #: The channel's address; empty of a wheel.
    channel: str
    #: ``None``: nobody says.
    licence: str | None


class CountedBuilds:
    """Lists versions and what they have. All methods raise :class:`DatabaseUnavailable`.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def builds(
        self, visible: Visibility, wanted: BuildFilter, part: Slice
    ) -> Counted[ListedBuild]:
        """Return versions of environments that somebody sees.

        Args:
            visible: What they see.
            wanted: Which ones.
            part: Which part; sorted by ``id``, ``started_on``, ``scheduled_on``, ``ended_on``.
        """
        version, environment = tables.version, tables.environment
        joined = version.join(environment, environment.c.id == version.c.environment_id)
        where = _where(visible, wanted)
        by = [*(_SORTED_BY[name] for name in part.sort_by), version.c.id]
        order = [one.desc() if part.is_descending else one for one in by]
        chosen = select(version.c.id).select_from(joined).where(where).order_by(*order)
        # Sizes are added up of these alone, not of all that are sorted.
        page = chosen.offset(part.offset).limit(part.limit)
        rows = _builds().where(version.c.id.in_(page)).order_by(*order)
        async with self._database.reading() as connection:
            count = await connection.execute(select(func.count()).select_from(joined).where(where))
            found = await connection.execute(rows)
            return Counted([_build(row) for row in found], count.scalar_one())

    async def build(self, visible: Visibility, build_id: int) -> FoundBuild | None:
        """Return a version; ``None``: there is none that somebody sees."""
        version, environment = tables.version, tables.environment
        specification = tables.specification
        if not 0 < build_id <= MAX_NUMBER:
            return None
        statement = (
            _builds()
            .add_columns(
                environment.c.name,
                version.c.specification_id,
                specification.c.sha256,
                specification.c.created_at.label("specified_at"),
            )
            .select_from(version.join(environment).join(specification))
            .where(version.c.id == build_id, _where(visible, BuildFilter()))
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        specified = BuildSpecification(row.specification_id, row.sha256, row.specified_at)
        return FoundBuild(_build(row), row.name, specified)

    async def specification(self, specification_id: int) -> bytes:
        """Return the bytes of a specification that a version has."""
        table = tables.specification
        statement = select(table.c.data).where(table.c.id == specification_id)
        async with self._database.reading() as connection:
            return bytes((await connection.execute(statement)).scalar_one())

    async def packages(
        self,
        key: str,
        part: Slice,
        *,
        search: str = "",
        is_exact: bool = False,
        build: str = "",
    ) -> Counted[BuildPackage]:
        """Return the packages of a build on one platform.

        Args:
            key: The build.
            part: Which part; sorted by ``channel`` and ``name``.
            search: What is in their names.
            is_exact: Whether it is the name.
            build: What is in their build strings.
        """
        lock, package = tables.lock_package, tables.package
        platforms = select(tables.lock_platform.c.platform).where(tables.lock_platform.c.key == key)
        name = searchable(search).lower()
        columns = {"channel": lock.c.channel, "name": lock.c.name}
        order = [*(columns[one] for one in part.sort_by), lock.c.manager, lock.c.name]
        async with self._database.reading() as connection:
            found = sorted((await connection.execute(platforms)).scalars())
            if not found:
                return Counted([], 0)
            where = and_(
                lock.c.key == key,
                lock.c.platform == (_PLATFORM if _PLATFORM in found else found[0]),
                lock.c.name == name if is_exact and search else contains(lock.c.name, search),
                contains(lock.c.build, build),
            )
            rows = (
                select(
                    lock.c.manager, lock.c.name, lock.c.version, lock.c.channel, package.c.licence
                )
                .select_from(lock.outerjoin(package, package.c.id == lock.c.package_id))
                .where(where)
                .order_by(*(one.desc() if part.is_descending else one for one in order))
                .offset(part.offset)
                .limit(part.limit)
            )
            count = await connection.execute(select(func.count()).select_from(lock).where(where))
            items = [_package(row) for row in await connection.execute(rows)]
            return Counted(items, count.scalar_one())


_SORTED_BY: Final[dict[str, ColumnElement[Any]]] = {
    "id": tables.version.c.id,
    "started_on": tables.version.c.started_at,
    "scheduled_on": tables.version.c.created_at,
    "ended_on": tables.version.c.ended_at,
}


def _builds() -> Select[Any]:
    version, blob = tables.version, tables.build_blob
    size = select(func.sum(blob.c.size_bytes)).where(blob.c.key == version.c.key)
    return select(
        version.c.id,
        version.c.environment_id,
        version.c.state,
        version.c.key,
        version.c.message,
        version.c.created_at,
        version.c.started_at,
        version.c.ended_at,
        size.scalar_subquery().label("size_bytes"),
    )


def _where(visible: Visibility, wanted: BuildFilter) -> ColumnElement[bool]:
    version, environment = tables.version, tables.environment
    states = states_of(wanted.states, has_files=wanted.has_files)
    number = wanted.environment_id
    return and_(
        version.c.deleted_at.is_(None),
        environment.c.deleted_at.is_(None),
        sees_environment(visible, environment.c.path),
        version.c.state.in_(sorted(states)) if states is not None else true(),
        version.c.environment_id == number if number is not None else true(),
        inside(wanted.namespace) if wanted.namespace is not None else true(),
        environment.c.slug == searchable(wanted.slug) if wanted.slug is not None else true(),
        *(have_package(version.c.key, name) for name in wanted.packages),
    )


def _build(row: Row[Any]) -> ListedBuild:
    return ListedBuild(
        row.id,
        row.environment_id,
        row.state,
        row.key,
        row.message,
        int(row.size_bytes or 0),
        row.created_at,
        row.started_at,
        row.ended_at,
    )


def _package(row: Row[Any]) -> BuildPackage:
    return BuildPackage(row.manager, row.name, row.version, row.channel, said_licence(row.licence))
