"""What two versions differ in, by the rows that are kept of their locks: no lock is read for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.exports.diff import ExactPackage, Manager, Packages
from builder.rules.candidate import Candidate
from registry.catalog.contents import built_key, said_licence
from registry.catalog.lookup import environment_row, version_row
from registry.database import Database, tables

_MANAGERS: Final[Mapping[str, Manager]] = {"conda": "conda", "pypi": "pip"}


@dataclass(frozen=True, slots=True)
class VersionPackages:
    """A version's build, with the packages of each platform."""

    key: str
    packages: Mapping[str, Packages]
    #: Whether its lock was read: if not, nothing is known of its packages.
    is_known: bool
    #: The same packages as advisories are held against them.
    candidates: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)


class VersionDifferences:
    """Reads what versions are compared by.

    Args:
        database: Where the rows are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(
        self, namespace: str, environment: str, a: int, b: int
    ) -> tuple[VersionPackages, VersionPackages]:
        """Return the packages of two versions of an environment.

        Raises:
            EnvironmentUnknown: There is no such environment.
            VersionUnknown: There is none of one of the numbers.
            VersionNotBuilt: There is no build of one of them.
            DatabaseUnavailable: It does not answer.
        """
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            keys = [
                built_key(found, await version_row(connection, found, number)) for number in (a, b)
            ]
            first, second = [await _packages(connection, key) for key in keys]
        return first, second


async def _packages(connection: AsyncConnection, key: str) -> VersionPackages:
    lock, package = tables.lock_package, tables.package
    statement = (
        select(lock, package.c.licence, package.c.project)
        .select_from(lock.outerjoin(package, package.c.id == lock.c.package_id))
        .where(lock.c.key == key)
    )
    found: dict[str, dict[tuple[Manager, str], ExactPackage]] = {}
    candidates: dict[str, list[Candidate]] = {}
    is_known = True
    for row in await connection.execute(statement):
        is_known &= row.package_id is not None
        exact = (_MANAGERS[row.manager], row.name)
        found.setdefault(row.platform, {})[exact] = _exact(row)
        candidates.setdefault(row.platform, []).append(_candidate(row))
    is_known &= bool(found)
    return VersionPackages(key, dict(sorted(found.items())), is_known, candidates)


def _exact(row: Row[Any]) -> ExactPackage:
    return ExactPackage(
        row.version,
        row.build,
        str(row.package_id),
        row.channel,
        said_licence(row.licence),
    )


def _candidate(row: Row[Any]) -> Candidate:
    return Candidate(
        row.manager, row.name, row.version, row.build, row.channel, project=row.project or ""
    )
