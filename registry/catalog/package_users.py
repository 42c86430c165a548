"""Which environments have a package in their active version, and which version of it.

::

    name ─→ its versions ─→ those that a condition takes ─→ environments, a page at a time

What few builds have is found by the builds; what many have, by looking at environments in order
until a page is full. Either way a page costs about as much as what is on it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, Final, cast

from packaging.utils import canonicalize_name
from sqlalchemy import ColumnElement, Row, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.rules.candidate import Candidate
from builder.rules.matching import PackagePattern
from builder.rules.model import Manager
from builder.rules.versions import compare_versions
from registry.catalog.lookup import (
    MAX_PAGE,
    contains,
    cursor,
    environment_of,
    page_after,
    searchable,
)
from registry.catalog.records import Environment, Visibility
from registry.catalog.slugs import is_slug
from registry.catalog.visibility import sees_environment
from registry.database import Database, tables
from registry.database.text_sets import is_one_of
from registry.errors import ParameterInvalid

#: With no more builds than these, the builds are looked at, and not all environments.
_FEW: Final = 2000
#: Stands for the package in conditions.
_ANY: Final = "package"
#: No package has more versions that are held against a condition.
_MAX_VERSIONS: Final = 5000
_ONE: Final = r"\s*(?:<=|>=|===?|!==?|~=|<|>|=)?\s*[0-9A-Za-z*][0-9A-Za-z._+!*-]*\s*"
#: Comparisons with ``,`` or ``|`` between them: solvers read more into what is none of that.
_SHAPE: Final = re.compile(rf"[(]*{_ONE}[)]*(?:[,|][(]*{_ONE}[)]*)*")
#: What names of packages have, of conda's and of PyPI's.
_NAME: Final = re.compile(r"[0-9A-Za-z_.-]+")


@dataclass(frozen=True, slots=True)
class PackageUser:
    """An environment that has a package."""

    environment: Environment
    #: Of its namespace.
    owner: str | None
    manager: Manager
    version: str
    build: str
    platforms: Sequence[str]
    #: How many advisories policies found in the package there.
    advisories: int


@dataclass(frozen=True, slots=True)
class PackageUsers:
    """A part of the environments that have a package, by path."""

    #: Those that are asked for, the newest first: of all builds for who may see everything, and of
    #: the environments of this part for others, who are told of no build that they may not see.
    versions: Sequence[str]
    items: Sequence[PackageUser]
    next: str | None


class PackageDirectory:
    """Finds environments by what is in them.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def users(
        self,
        visible: Visibility,
        package: str,
        *,
        condition: str = "",
        manager: Manager | None = None,
        namespace: str | None = None,
        search: str = "",
        after: str | None = None,
        limit: int = 50,
    ) -> PackageUsers:
        """Return environments whose active version has a package, by path.

        Args:
            visible: What whoever asks may see.
            package: Its name.
            condition: On its version, as conda writes it, e.g. ``">=3,<3.2"``; ``""``: any.
            manager: Who installs it; ``None``: whoever does.
            namespace: In one namespace alone, by its slug.
            search: What is in name, path or description of the environments.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            ParameterInvalid: The condition cannot be read, or the name can be no package's.
            CursorInvalid: ``after`` is of no page.
            DatabaseUnavailable: It does not answer.
        """
        limit = max(1, min(limit, MAX_PAGE))
        if not _NAME.fullmatch(package.strip()):
            raise ParameterInvalid(
                f"{package[:100]!r} is no name of a package; a condition on its version stands by"
                " itself",
                field="package",
            )
        names = _names(package)
        takes = _condition(condition, manager)
        begin = page_after(after)
        table = tables.environment
        async with self._database.reading() as connection:
            known = await _versions(connection, names)
            versions = [version for version in known if takes(version)]
            if not versions:
                return PackageUsers((), (), None)
            is_it = _is_package(names, None if not condition else versions, manager)
            inside = [
                sees_environment(visible, table.c.path),
                contains(table.c.search_text, search),
            ]
            if namespace is not None:
                if not is_slug(namespace):
                    return PackageUsers((), (), None)
                # By path, whose order the page is in; "0" comes after "/".
                inside += [table.c.path >= f"{namespace}/", table.c.path < f"{namespace}0"]
            statement = (
                select(table, tables.namespace.c.owner)
                .join(tables.namespace)
                .where(table.c.path > begin, table.c.deleted_at.is_(None), *inside)
                .where(await _has(connection, is_it))
                .order_by(table.c.path)
                .limit(limit + 1)
            )
            rows = (await connection.execute(statement)).all()
            found = await _locked(connection, rows[:limit], is_it)
            advisories = await _advisories(connection, rows[:limit], names)
        users = [
            PackageUser(environment_of(row), row.owner, *one, advisories.get((row.id, one[0]), 0))
            for row in rows[:limit]
            for one in found.get(row.active_key, ())
        ]
        more = cursor(rows[limit - 1].path) if len(rows) > limit else None
        told = set(versions) if visible.is_everything else {one.version for one in users}
        return PackageUsers(_sorted(told), users, more)


def _names(package: str) -> tuple[str, ...]:
    """Return the names by which rows may have a package: conda's, and PyPI's canonical one."""
    name = searchable(package).strip().lower()
    return tuple(sorted({name, str(canonicalize_name(name))}))


def _condition(text: str, manager: Manager | None) -> Callable[[str], bool]:
    """Return what tells whether a version is asked for.

    Raises:
        ParameterInvalid: The condition cannot be read.
    """
    said = "".join(text.split())
    if not said:
        return lambda _version: True
    refused = ParameterInvalid(
        f"parameter 'version': {text[:100]!r} is no condition on a version such as '>=3,<3.2'",
        field="version",
    )
    if not _SHAPE.fullmatch(text.strip()):
        raise refused
    is_pypi = manager == "pypi"
    between = ("" if said[0] in "<>=!~" else "==") if is_pypi else " "
    try:
        pattern = PackagePattern(f"{_ANY}{between}{said}", "pypi" if is_pypi else "conda")
    except ValueError as exc:
        raise refused from exc

    def takes(version: str) -> bool:
        return version == said or pattern.matches(Candidate(pattern.manager, _ANY, version))

    return takes


def _sorted(versions: Collection[str]) -> Sequence[str]:
    """Return versions, the newest first; those that cannot be compared come in order of text."""

    def order(one: str, other: str) -> int:
        found = compare_versions(one, other)
        return found or (one > other) - (one < other)

    return sorted(versions, key=cmp_to_key(order), reverse=True)


async def _versions(connection: AsyncConnection, names: Collection[str]) -> Sequence[str]:
    """Return the versions of a package that builds have.

    From one to the next by an index: a hundred thousand builds have as many rows of ``openssl``,
    and a few dozen versions of it.
    """
    table = tables.lock_package
    found: set[str] = set()
    for name in names:
        first = select(func.min(table.c.version).label("version")).where(table.c.name == name)
        known = first.cte("known", recursive=True)
        following = (
            select(func.min(table.c.version))
            .where(table.c.name == name, table.c.version > known.c.version)
            .scalar_subquery()
        )
        known = known.union_all(select(following).where(known.c.version.is_not(None)))
        statement = select(known.c.version).where(known.c.version.is_not(None))
        rows = await connection.execute(statement.limit(_MAX_VERSIONS))
        found.update(rows.scalars())
    return sorted(found)


def _is_package(
    names: Collection[str], versions: Collection[str] | None, manager: Manager | None
) -> ColumnElement[bool]:
    """Return whether a row of a lock is the package, in one of some versions; ``None``: any."""
    table = tables.lock_package
    condition: ColumnElement[bool] = table.c.name.in_(names)
    if versions is not None:
        condition &= is_one_of(table.c.version, versions)
    return condition if manager is None else condition & (table.c.manager == manager)


async def _has(connection: AsyncConnection, is_it: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether an environment has the package, asked in the way that costs less."""
    table, environment = tables.lock_package, tables.environment
    some = select(literal(1)).where(is_it).limit(_FEW + 1).subquery()
    count = (await connection.execute(select(func.count()).select_from(some))).scalar_one()
    if count <= _FEW:
        return environment.c.active_key.in_(select(table.c.key).where(is_it))
    return select(literal(1)).where(table.c.key == environment.c.active_key, is_it).exists()


#: What an environment has: manager, version, build, platforms.
_Locked = tuple[Manager, str, str, Sequence[str]]


async def _locked(
    connection: AsyncConnection, rows: Sequence[Row[Any]], is_it: ColumnElement[bool]
) -> Mapping[str, Sequence[_Locked]]:
    """Return by key what builds have of the package: conda's and PyPI's may be two."""
    table = tables.lock_package
    keys = sorted({row.active_key for row in rows})
    statement = select(table).where(table.c.key.in_(keys), is_it)
    found: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for row in await connection.execute(statement):
        exact = (row.manager, row.version, row.build)
        found.setdefault(row.key, {}).setdefault(exact, []).append(row.platform)
    return {
        key: [
            (cast("Manager", manager), version, build, sorted(platforms))
            for (manager, version, build), platforms in sorted(some.items())
        ]
        for key, some in found.items()
    }


async def _advisories(
    connection: AsyncConnection, rows: Sequence[Row[Any]], names: Collection[str]
) -> Mapping[tuple[int, str], int]:
    """Return how many advisories active versions have for the package, by environment, manager."""
    table = tables.finding
    active = {(row.id, row.active_key) for row in rows}
    statement = (
        select(
            table.c.environment_id,
            table.c.key,
            table.c.manager,
            func.count(table.c.advisory.distinct()),
        )
        .where(
            table.c.environment_id.in_(sorted({one for one, _ in active})),
            table.c.key.in_(sorted({key for _, key in active})),
            table.c.name.in_(names),
            table.c.advisory != "",
        )
        .group_by(table.c.environment_id, table.c.key, table.c.manager)
    )
    found = await connection.execute(statement)
    return {(one, manager): count for one, key, manager, count in found if (one, key) in active}
