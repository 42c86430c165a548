"""What versions consist of, by the rows that are kept of their locks: no lock is read for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Row, exists, func, literal, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.errors import LockError
from builder.rules.candidate import NO_LICENCE
from builder.rules.model import Manager
from registry.catalog.lookup import (
    MAX_PAGE,
    contains,
    cursor,
    environment_row,
    page_after,
    searchable,
    version_row,
)
from registry.database import Database, tables
from registry.database.text_sets import is_one_of
from registry.errors import VersionNotBuilt

#: No version has more findings than are told with its packages.
_MAX_FINDINGS: Final = 5000


@dataclass(frozen=True, slots=True)
class PackageFinding:
    """What a policy has against a package."""

    policy: str
    mode: str
    kind: str
    #: Empty: it is about something else.
    advisory: str
    sentence: str
    fixed_in: str


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package of a version, on one platform."""

    manager: Manager
    name: str
    version: str
    #: Empty of a wheel.
    build: str
    #: The channel's address; empty of a wheel.
    channel: str
    #: ``None``: nobody says, of each of these.
    licence: str | None
    published_at: datetime | None
    size_bytes: int | None
    findings: Sequence[PackageFinding] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """A part of the packages of a version on one platform, and what all of them are."""

    platform: str
    platforms: Sequence[str]
    #: Of all packages of the platform.
    packages: int
    size_bytes: int
    #: How many have which licence, the most frequent first.
    licences: Sequence[tuple[str | None, int]]
    items: Sequence[InstalledPackage]
    next: str | None
    #: Those packages of the platform that were looked up by name, by manager and name.
    named: Mapping[tuple[str, str], InstalledPackage]


@dataclass(frozen=True, slots=True)
class Compared:
    """The build of a version, and that of one before it."""

    key: str
    #: The number and the key of the one before; ``None``: there is none.
    before: int | None
    before_key: str | None
    #: Of all that its image consists of; empty: that is not known.
    before_digests: frozenset[str]


class VersionContents:
    """Tells what versions consist of. All methods raise :class:`DatabaseUnavailable`.

    Args:
        database: Where the rows are.
        channels: Names of channels by their addresses.
    """

    def __init__(self, database: Database, channels: Mapping[str, str] | None = None) -> None:
        self._database = database
        self._channels = channels or {}

    async def compared(
        self, namespace: str, environment: str, number: int, before: int | None = None
    ) -> Compared:
        """Return the build of a version, and what is known of the image of one before it.

        Args:
            namespace: The slug of its namespace.
            environment: Its environment's.
            number: Which version.
            before: Which one before; ``None``: the newest built one of those with lower numbers.

        Raises:
            EnvironmentUnknown: There is no such environment.
            VersionUnknown: There is none of one of the numbers.
            VersionNotBuilt: There is no build of one of the two.
        """
        version, blob = tables.version, tables.build_blob
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            key = built_key(found, await version_row(connection, found, number))
            if before is not None:
                row = await version_row(connection, found, before)
                other: tuple[int, str] | None = (before, built_key(found, row))
            else:
                statement = (
                    select(version.c.number, version.c.key)
                    .where(
                        version.c.environment_id == found.id,
                        version.c.number < number,
                        version.c.state == "built",
                    )
                    .order_by(version.c.number.desc())
                    .limit(1)
                )
                last = (await connection.execute(statement)).first()
                other = (last.number, last.key) if last is not None else None
            if other is None:
                return Compared(key, None, None, frozenset())
            digests = select(blob.c.digest).where(blob.c.key == other[1])
            return Compared(key, *other, frozenset((await connection.execute(digests)).scalars()))

    async def packages(
        self,
        namespace: str,
        environment: str,
        number: int,
        *,
        platform: str | None = None,
        search: str = "",
        among: Collection[str] | None = None,
        has_advisory: bool = False,
        named: Collection[str] = (),
        after: str | None = None,
        limit: int = 50,
    ) -> Contents:
        """Return packages of a version: conda's first, by name.

        Args:
            namespace: The slug of its namespace.
            environment: Its environment's.
            number: Which version.
            platform: On which platform; ``None``: its first.
            search: What is in the names of those that are returned.
            among: Only these names; ``None``: all.
            has_advisory: Only those in which a policy found an advisory.
            named: Names that are looked up besides, whatever else is asked.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            EnvironmentUnknown: There is no such environment.
            VersionUnknown: There is none of that number.
            VersionNotBuilt: There is no build of it.
            LockError: It is not for that platform.
            CursorInvalid: ``after`` is of no page.
        """
        limit = max(1, min(limit, MAX_PAGE))
        begin = page_after(after)
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            version = await version_row(connection, found, number)
            key = built_key(found, version)
            sums = await _sums(connection, key)
            platforms = sorted({one for one, _ in sums})
            if not platforms:
                return Contents(platform or "", (), 0, 0, (), (), None, {})
            chosen = platform or platforms[0]
            if chosen not in platforms:
                raise LockError(
                    f"version {number} of '{found.path}' is for {', '.join(platforms)}, and not for"
                    f" {chosen}"
                )
            place = _Place(found.id, key, chosen)
            rows = await _page(
                connection, place, search, among, begin, limit, has_advisory=has_advisory
            )
            looked_up = await _named(connection, place, named)
            names = sorted({row.name for row in rows[:limit]})
            findings = await _findings(connection, place, names)
        last = rows[limit - 1] if len(rows) > limit else None
        items = [self._package(row, findings) for row in rows[:limit]]
        of_platform = {licence: sums[one, licence] for one, licence in sums if one == chosen}
        return Contents(
            chosen,
            platforms,
            sum(count for count, _ in of_platform.values()),
            sum(size for _, size in of_platform.values()),
            sorted(
                ((licence, count) for licence, (count, _) in of_platform.items()),
                key=lambda one: (-one[1], one[0] is None, one[0] or ""),
            ),
            items,
            cursor(f"{last.manager}\n{last.name}") if last is not None else None,
            {(row.manager, row.name): self._package(row, {}) for row in looked_up},
        )

    def _package(
        self, row: Row[Any], findings: Mapping[tuple[str, str], Sequence[PackageFinding]]
    ) -> InstalledPackage:
        published = row.published_ms
        return InstalledPackage(
            cast("Manager", row.manager),
            row.name,
            row.version,
            row.build,
            self._channels.get(row.channel, row.channel),
            said_licence(row.licence),
            # Less than nothing: it was asked for, and nobody says.
            datetime.fromtimestamp(published / 1000, UTC) if (published or -1) >= 0 else None,
            row.size_bytes or None,
            findings.get((row.manager, row.name), ()),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """A build in an environment, on one platform."""

    environment_id: int
    key: str
    platform: str


async def _sums(
    connection: AsyncConnection, key: str
) -> dict[tuple[str, str | None], tuple[int, int]]:
    """Return by platform and licence how many packages there are, and what they take."""
    lock, package = tables.lock_package, tables.package
    statement = (
        select(
            lock.c.platform,
            package.c.licence,
            func.count().label("packages"),
            func.sum(package.c.size_bytes).label("size_bytes"),
        )
        .select_from(lock.outerjoin(package, package.c.id == lock.c.package_id))
        .where(lock.c.key == key)
        .group_by(lock.c.platform, package.c.licence)
    )
    found: dict[tuple[str, str | None], tuple[int, int]] = {}
    for row in await connection.execute(statement):
        where = (row.platform, said_licence(row.licence))
        count, size = found.get(where, (0, 0))
        found[where] = (count + row.packages, size + int(row.size_bytes or 0))
    return found


async def _page(
    connection: AsyncConnection,
    place: _Place,
    search: str,
    among: Collection[str] | None,
    begin: str,
    limit: int,
    *,
    has_advisory: bool,
) -> Sequence[Row[Any]]:
    """Return one row more than a page has."""
    lock, finding = tables.lock_package, tables.finding
    manager, _, name = begin.partition("\n")
    statement = _rows(place).where(
        tuple_(lock.c.manager, lock.c.name) > tuple_(literal(manager), literal(name)),
        contains(lock.c.name, search),
        is_one_of(lock.c.name, among) if among is not None else true(),
    )
    if has_advisory:
        statement = statement.where(
            exists().where(
                _is_found(place),
                finding.c.manager == lock.c.manager,
                finding.c.name == lock.c.name,
                finding.c.advisory != "",
            )
        )
    ordered = statement.order_by(lock.c.manager, lock.c.name).limit(limit + 1)
    return (await connection.execute(ordered)).all()


async def _named(
    connection: AsyncConnection, place: _Place, names: Collection[str]
) -> Sequence[Row[Any]]:
    if not names:
        return ()
    wanted = [searchable(name) for name in names]
    statement = _rows(place).where(is_one_of(tables.lock_package.c.name, wanted))
    return (await connection.execute(statement)).all()


async def _findings(
    connection: AsyncConnection, place: _Place, names: Collection[str]
) -> Mapping[tuple[str, str], Sequence[PackageFinding]]:
    table = tables.finding
    statement = (
        select(table)
        .where(_is_found(place), is_one_of(table.c.name, names))
        .order_by(table.c.id)
        .limit(_MAX_FINDINGS)
    )
    found: dict[tuple[str, str], list[PackageFinding]] = {}
    for row in await connection.execute(statement):
        one = PackageFinding(
            row.policy, row.mode, row.kind, row.advisory, row.sentence, row.fixed_in
        )
        found.setdefault((row.manager, row.name), []).append(one)
    return found


def _rows(place: _Place) -> Any:
    lock, package = tables.lock_package, tables.package
    return (
        select(
            lock.c.manager,
            lock.c.name,
            lock.c.version,
            lock.c.build,
            lock.c.channel,
            package.c.licence,
            package.c.published_ms,
            package.c.size_bytes,
        )
        .select_from(lock.outerjoin(package, package.c.id == lock.c.package_id))
        .where(lock.c.key == place.key, lock.c.platform == place.platform)
    )


def _is_found(place: _Place) -> ColumnElement[bool]:
    """Return whether a finding is of a build in an environment, on its platform or on any."""
    table = tables.finding
    return (
        (table.c.environment_id == place.environment_id)
        & (table.c.key == place.key)
        & or_(table.c.platform == "", table.c.platform == place.platform)
    )


def built_key(environment: Row[Any], version: Row[Any]) -> str:
    """Return the key of a version's build.

    Raises:
        VersionNotBuilt: There is none.
    """
    if version.key is None:
        raise VersionNotBuilt(
            f"version {version.number} of '{environment.path}' is {version.state}: there is no"
            " build of it"
        )
    return str(version.key)


def said_licence(said: str | None) -> str | None:
    """Return the licence of a row; ``None``: nobody says it."""
    return None if said in {None, "", NO_LICENCE} else said
