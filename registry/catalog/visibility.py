"""What somebody may see, as conditions of statements.

Whoever may see much was given it by many: thousands of globs, of which most say nothing that
another one does not say. What is left is compared in four ways, each with one parameter:

* namespaces that are seen as a whole;
* exact paths;
* patterns of environments in a namespace: only rows of these namespaces are held against them;
* patterns of namespaces, which only administrators give.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlalchemy import ColumnElement, false, or_, select, true

from registry.auth.roles import Globs, glob_matches
from registry.auth.trail import AUDIT_ONLY
from registry.catalog.lookup import like_pattern
from registry.catalog.records import Visibility
from registry.database import tables
from registry.database.text_sets import first_part, is_like_one_of, is_one_of

_EVERYTHING: Final = ("*", "*")
#: Of so many environments it is remembered who sees them.
_KNOWN: Final = 100_000


@dataclass(frozen=True, slots=True)
class Folded:
    """What some globs let see, each thing said once."""

    #: Namespaces that are seen as a whole, by name and by glob.
    wholes: frozenset[str]
    wide_wholes: frozenset[str]
    #: Single environments, as paths.
    paths: frozenset[str]
    #: Globs of paths whose namespace is no glob, and those whose namespace is one.
    parts: frozenset[str]
    wide_parts: frozenset[str]

    @property
    def namespaces_in_part(self) -> frozenset[str]:
        """The namespaces of :attr:`parts`."""
        return frozenset(path.partition("/")[0] for path in self.parts)


@lru_cache(maxsize=256)
def fold(globs: tuple[Globs, ...]) -> Folded:
    """Return what globs let see, without what others of them let see too.

    >>> folded = fold((("ada", "*"), ("ada", "x"), ("bob", "a*"), ("bob", "ab*"), ("bob", "abc")))
    >>> sorted(folded.wholes), sorted(folded.paths), sorted(folded.parts)
    (['ada'], [], ['bob/a*'])
    """
    wide_wholes = frozenset(_folded({one for one, two in globs if two == "*" and "*" in one}))
    wholes = {one for one, two in globs if two == "*" and "*" not in one}
    inside: dict[str, set[str]] = {}
    for one, two in globs:
        if two != "*" and one not in wholes:
            inside.setdefault(one, set()).add(two)

    def is_seen(namespace: str) -> bool:
        return any(glob_matches(wide, namespace) for wide in wide_wholes)

    found = [
        f"{namespace}/{environment}"
        for namespace, environments in inside.items()
        if not is_seen(namespace)
        for environment in _folded(environments)
    ]
    wide_parts = frozenset(path for path in found if "*" in path.partition("/")[0])
    parts = frozenset(path for path in found if "*" in path) - wide_parts
    whole_and_new = frozenset(one for one in wholes if not is_seen(one))
    return Folded(
        whole_and_new, wide_wholes, frozenset(found) - parts - wide_parts, parts, wide_parts
    )


def sees_environment(visible: Visibility, path: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether an environment is seen, by the column of its path."""
    if visible.is_everything or _EVERYTHING in visible.globs:
        return true()
    return or_(false(), *_sees_path(fold(visible.globs), path, first_part(path)))


@lru_cache(maxsize=64)
def seen_by(visible: Visibility) -> Callable[[str, str], bool]:
    """Return what tells of a namespace and an environment in it whether it is seen.

    It says of slugs what :func:`sees_environment` says of rows.
    """
    if visible.is_everything or _EVERYTHING in visible.globs:
        return lambda _namespace, _environment: True
    folded = fold(visible.globs)
    inside: dict[str, list[str]] = {}
    for part in folded.parts:
        namespace, _, environment = part.partition("/")
        inside.setdefault(namespace, []).append(environment)

    #: Thousands of globs are held against a name once.
    known: dict[str, bool] = {}

    def sees(namespace: str, environment: str) -> bool:
        if namespace in folded.wholes:
            return True
        path = f"{namespace}/{environment}"
        if path in folded.paths:
            return True
        if path not in known:
            if len(known) >= _KNOWN:
                known.clear()
            known[path] = (
                any(glob_matches(glob, environment) for glob in inside.get(namespace, ()))
                or any(glob_matches(glob, namespace) for glob in folded.wide_wholes)
                or any(glob_matches(glob, path) for glob in folded.wide_parts)
            )
        return known[path]

    return sees


def sees_namespace(
    visible: Visibility, slug: ColumnElement[str], namespace: ColumnElement[int]
) -> ColumnElement[bool]:
    """Return whether a namespace is seen, by the columns of its slug and its number."""
    if visible.is_everything or _EVERYTHING in visible.globs:
        return true()
    folded = fold(visible.globs)
    inside = Folded(frozenset(), frozenset(), folded.paths, folded.parts, folded.wide_parts)
    path = tables.environment.c.path
    found = list(_is_one(slug, folded.wholes | set(visible.namespaces)))
    found += _is_like(slug, folded.wide_wholes)
    conditions = list(_sees_path(inside, path, first_part(path)))
    if conditions:
        found.append(
            select(tables.environment.c.id)
            .where(
                tables.environment.c.namespace_id == namespace,
                tables.environment.c.deleted_at.is_(None),
                or_(*conditions),
            )
            .exists()
        )
    return or_(false(), *found)


def sees_event(visible: Visibility) -> ColumnElement[bool]:
    """Return whether an event is seen: by its environment, or the whole of its namespace.

    What happened to whom the name was before is seen by nobody whose role is on the name, and what
    is for the audit log alone by administrators and auditors of the service.
    """
    if visible.is_everything:
        return true()
    is_audit_only = tables.event.c.action.in_(AUDIT_ONLY)
    event, space, environment = tables.event, tables.namespace, tables.environment
    path = event.c.namespace + "/" + event.c.environment
    folded = fold(visible.globs)
    whole = [
        *_is_one(event.c.namespace, folded.wholes | set(visible.namespaces)),
        *_is_like(event.c.namespace, folded.wide_wholes),
    ]
    has_name = select(space.c.id).where(
        space.c.id == event.c.namespace_id,
        space.c.slug == event.c.namespace,
        space.c.deleted_at.is_(None),
    )
    is_anothers = select(environment.c.id).where(
        environment.c.path == path,
        environment.c.deleted_at.is_(None),
        environment.c.id.is_distinct_from(event.c.environment_id),
    )
    part = or_(false(), *_sees_path(folded, path, event.c.namespace)) & ~is_anothers.exists()
    return has_name.exists() & ~is_audit_only & or_(part, *whole)


def _sees_path(
    folded: Folded, path: ColumnElement[str], namespace: ColumnElement[str]
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of which one has to hold."""
    yield from _is_one(namespace, folded.wholes)
    yield from _is_like(namespace, folded.wide_wholes)
    yield from _is_one(path, folded.paths)
    yield from _is_like(path, folded.wide_parts)
    for condition in _is_like(path, folded.parts):
        yield is_one_of(namespace, folded.namespaces_in_part) & condition


def _is_one(column: ColumnElement[str], texts: Collection[str]) -> Iterator[ColumnElement[bool]]:
    if texts:
        yield is_one_of(column, texts)


def _is_like(column: ColumnElement[str], globs: Collection[str]) -> Iterator[ColumnElement[bool]]:
    if globs:
        yield is_like_one_of(column, [like_pattern(glob) for glob in globs])


def _folded(globs: Iterable[str]) -> Iterator[str]:
    """Yield globs without those that begin as one that ends in its only ``*``."""
    starts: list[str] = []
    others: list[str] = []
    for glob in globs:
        is_start = glob.index("*") == len(glob) - 1 if "*" in glob else False
        (starts if is_start else others).append(glob.removesuffix("*") if is_start else glob)
    kept: list[str] = []
    # What begins as another one comes right after it, or after others that do.
    for start in sorted(starts):
        if not kept or not start.startswith(kept[-1]):
            kept.append(start)
    yield from (f"{start}*" for start in kept)
    for glob in others:
        before = bisect_right(kept, glob) - 1
        if before < 0 or not glob.startswith(kept[before]):
            yield glob
