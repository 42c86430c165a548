"""Lists by pages with numbers, and how much there is in all: what conda-store's clients ask for.

An environment is in them as soon as it has a version: its *current* one is the active one, or else
the newest. Everything is selected, filtered and counted in the database.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    false,
    func,
    literal,
    select,
    true,
    tuple_,
)

from registry.auth.roles import glob_matches
from registry.catalog.lookup import MAX_NUMBER, contains, searchable
from registry.catalog.records import State, Visibility
from registry.catalog.slugs import is_slug
from registry.catalog.visibility import fold, sees_environment, sees_namespace
from registry.database import Database, tables

Item = TypeVar("Item")

#: By what environments can be sorted: by their number where it is nothing of this.
EnvironmentOrder = Literal["namespace", "name"]
#: Of versions: all of which there are files.
BUILT: Final[frozenset[State]] = frozenset({"built", "unchanged"})


@dataclass(frozen=True, slots=True)
class Counted(Generic[Item]):
    """A part of a list."""

    items: Sequence[Item]
    #: How many there are in all.
    count: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list, and in which order."""

    offset: int = 0
    limit: int = 100
    sort_by: tuple[str, ...] = ()
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class ListedNamespace:
    """A namespace."""

    id: int
    #: As it was written.
    name: str


@dataclass(frozen=True, slots=True)
class ListedEnvironment:
    """An environment, with its current version."""

    id: int
    namespace: ListedNamespace
    name: str
    description: str
    #: Slugs of the namespace and the environment.
    path: str
    #: The number of the row of its current version.
    version_id: int


@dataclass(frozen=True, slots=True)
class EnvironmentFilter:
    """Which environments; what is ``None`` or empty is not looked at."""

    #: A slug; what can be none has no environments.
    namespace: str | None = None
    slug: str | None = None
    search: str = ""
    #: Of the current version.
    states: Collection[State] | None = None
    #: Whether there have to be files of the current version.
    has_files: bool = False
    #: All of these are in the active version.
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class NamespaceTotals:
    """How much a namespace has of what somebody sees."""

    name: str
    environments: int
    versions: int
    #: What its images take; ``None``: only a part of it is seen, or it was not measured yet.
    size_bytes: int | None


class CountedLists:
    """Lists namespaces and environments. All methods raise :class:`DatabaseUnavailable`.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def namespaces(self, visible: Visibility, part: Slice) -> Counted[ListedNamespace]:
        """Return namespaces in which somebody sees anything, by their slugs."""
        table = tables.namespace
        where = and_(
            table.c.deleted_at.is_(None), sees_namespace(visible, table.c.slug, table.c.id)
        )
        by = table.c.slug.desc() if part.is_descending else table.c.slug
        rows = select(table.c.id, table.c.name).where(where).order_by(by, table.c.id)
        async with self._database.reading() as connection:
            count = await connection.execute(select(func.count()).select_from(table).where(where))
            found = await connection.execute(rows.offset(part.offset).limit(part.limit))
            items = [ListedNamespace(row.id, row.name) for row in found]
            return Counted(items, count.scalar_one())

    async def environments(
        self,
        visible: Visibility,
        wanted: EnvironmentFilter,
        part: Slice,
        after: tuple[Mapping[str, str], int] | None = None,
    ) -> Counted[ListedEnvironment]:
        """Return environments that somebody sees.

        Args:
            visible: What they see.
            wanted: Which ones.
            part: Which part; sorted by what :data:`EnvironmentOrder` names, then by number.
            after: Values of what it is sorted by, and the number, of the one before the first.
        """
        table = tables.environment
        where = _where(visible, wanted)
        columns = [_SORTED_BY[name] for name in part.sort_by]
        is_by_path = part.sort_by == ("namespace", "name")
        if is_by_path:  # of which there is an index
            columns = [table.c.path]
        order = [*columns, table.c.id]
        statement = _environments().where(where)
        if after is not None:
            values = [searchable(after[0].get(name, "")) for name in part.sort_by]
            bound = ["/".join(values)] if is_by_path else values
            number = literal(max(0, min(after[1], MAX_NUMBER)), table.c.id.type)
            here, last = tuple_(*order), tuple_(*map(literal, bound), number)
            statement = statement.where(here < last if part.is_descending else here > last)
        ordered = statement.order_by(*(one.desc() if part.is_descending else one for one in order))
        counting = select(func.count()).select_from(table).where(where)
        async with self._database.reading() as connection:
            count = (await connection.execute(counting)).scalar_one()
            found = await connection.execute(ordered.offset(part.offset).limit(part.limit))
            return Counted([_environment(row) for row in found], count)

    async def environment(
        self, visible: Visibility, namespace: str, slug: str
    ) -> ListedEnvironment | None:
        """Return an environment by slugs; ``None``: there is none that somebody sees."""
        if not (is_slug(namespace) and is_slug(slug)):
            return None
        table = tables.environment
        where = and_(table.c.path == f"{namespace}/{slug}", _where(visible, EnvironmentFilter()))
        async with self._database.reading() as connection:
            row = (await connection.execute(_environments().where(where))).first()
        return _environment(row) if row is not None else None

    async def totals(self, visible: Visibility) -> Sequence[NamespaceTotals]:
        """Return how much there is in each namespace of what somebody sees, by slugs."""
        space, environment, version = tables.namespace, tables.environment, tables.version
        statement = (
            select(
                space.c.slug,
                space.c.name,
                space.c.size_bytes,
                func.count(environment.c.id.distinct()).label("environments"),
                func.count().label("versions"),
            )
            .select_from(space.join(environment).join(version))
            .where(
                environment.c.deleted_at.is_(None),
                version.c.deleted_at.is_(None),
                sees_environment(visible, environment.c.path),
            )
            .group_by(space.c.id)
            .order_by(space.c.slug)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        folded = fold(visible.globs)

        def is_whole(slug: str) -> bool:
            return (
                visible.is_everything
                or slug in folded.wholes
                or any(glob_matches(glob, slug) for glob in folded.wide_wholes)
            )

        return [
            NamespaceTotals(
                row.name,
                row.environments,
                row.versions,
                row.size_bytes if is_whole(row.slug) else None,
            )
            for row in rows
        ]


#: A namespace's slug is the beginning of the path, which is what both are sorted by.
_SORTED_BY: Final[Mapping[str, ColumnElement[str]]] = {
    "namespace": tables.namespace.c.slug,
    "name": tables.environment.c.slug,
}


def inside(namespace: str) -> ColumnElement[bool]:
    """Return whether an environment is in a namespace: by a range of one index.

    Args:
        namespace: Its slug, or what can be none.
    """
    path = tables.environment.c.path
    # "0" comes after "/".
    found = and_(path >= f"{namespace}/", path < f"{namespace}0")
    return found if is_slug(namespace) else false()


def have_package(key: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return whether the lock of a key has a package."""
    table = tables.lock_package
    named = table.c.name == searchable(name).lower()
    # Asked once: where no lock has it, nothing else is looked at.
    anywhere = select(func.min(table.c.key)).where(named).scalar_subquery()
    return anywhere.is_not(None) & exists().where(named, table.c.key == key)


def states_of(states: Collection[State] | None, *, has_files: bool) -> Collection[State] | None:
    """Return which states are wanted, perhaps only such that have files; ``None``: any."""
    if not has_files:
        return states
    return BUILT if states is None else BUILT & frozenset(states)


def _current() -> ColumnElement[Any]:
    """Return the number of the row of an environment's current version."""
    table, version = tables.environment, tables.version

    def newest(*conditions: ColumnElement[bool]) -> Any:
        statement = select(version.c.id).where(version.c.environment_id == table.c.id, *conditions)
        newest_first = statement.order_by(version.c.number.desc()).limit(1)
        return newest_first.correlate(table).scalar_subquery()

    return func.coalesce(
        newest(version.c.number == table.c.active_version),
        newest(version.c.deleted_at.is_(None)),
        # All were deleted; whoever lists the environment can still delete it.
        newest(),
    )


def _environments() -> Select[Any]:
    table, space = tables.environment, tables.namespace
    return select(
        table.c.id,
        table.c.namespace_id,
        space.c.name.label("namespace_name"),
        table.c.name,
        table.c.description,
        table.c.path,
        _current().label("version_id"),
    ).select_from(table.join(space))


def _where(visible: Visibility, wanted: EnvironmentFilter) -> ColumnElement[bool]:
    table, version = tables.environment, tables.version
    conditions = [
        table.c.deleted_at.is_(None),
        table.c.last_version > 0,
        sees_environment(visible, table.c.path),
        contains(table.c.search_text, wanted.search),
        inside(wanted.namespace) if wanted.namespace is not None else true(),
        table.c.slug == searchable(wanted.slug) if wanted.slug is not None else true(),
        *(have_package(table.c.active_key, name) for name in wanted.packages),
    ]
    states = states_of(wanted.states, has_files=wanted.has_files)
    if states is not None:
        is_current = version.c.id == _current()
        conditions.append(exists().where(is_current, version.c.state.in_(sorted(states))))
    return and_(*conditions)


def _environment(row: Any) -> ListedEnvironment:
    return ListedEnvironment(
        row.id,
        ListedNamespace(row.namespace_id, row.namespace_name),
        row.name,
        row.description,
        row.path,
        row.version_id,
    )
