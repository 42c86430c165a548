"""Finding rows by what people call them, and rows as records."""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Row, and_, false, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.records import Environment, Namespace, Page, Version, Visibility
from registry.database import tables
from registry.errors import (
    CatalogNameInvalid,
    CatalogTextInvalid,
    CursorInvalid,
    EnvironmentUnknown,
    NamespaceUnknown,
    VersionUnknown,
)

Item = TypeVar("Item")

#: The most that one page has.
MAX_PAGE: Final = 1000
#: The largest number that a row can have.
MAX_NUMBER: Final = 2**63 - 1
#: The longest description or note.
MAX_TEXT: Final = 4000
#: As long as their columns.
_MAX_PRINCIPAL: Final = 200
_ESCAPE: Final = "\\"


async def namespace_row(connection: AsyncConnection, slug: str) -> Row[Any]:
    """Return the row of a namespace that is not deleted.

    Raises:
        NamespaceUnknown: There is none.
    """
    table = tables.namespace
    statement = select(table).where(table.c.slug == searchable(slug), table.c.deleted_at.is_(None))
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NamespaceUnknown(slug)
    return row


async def environment_row(connection: AsyncConnection, namespace: str, slug: str) -> Row[Any]:
    """Return the row of an environment that is not deleted.

    Raises:
        EnvironmentUnknown: There is none.
    """
    table = tables.environment
    path = searchable(f"{namespace}/{slug}")
    statement = select(table).where(table.c.path == path, table.c.deleted_at.is_(None))
    row = (await connection.execute(statement)).first()
    if row is None:
        raise EnvironmentUnknown(namespace, slug)
    return row


async def version_row(connection: AsyncConnection, environment: Row[Any], number: int) -> Row[Any]:
    """Return the row of a version, with the digest of its specification.

    Raises:
        VersionUnknown: There is none.
    """
    table = tables.version
    if not 0 < number < 2**31:
        raise VersionUnknown(environment.path, number)
    statement = (
        select(table, tables.specification.c.sha256)
        .join(tables.specification)
        .where(table.c.environment_id == environment.id, table.c.number == number)
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        raise VersionUnknown(environment.path, number)
    return row


def namespace_of(row: Row[Any]) -> Namespace:
    """Return the record of a row."""
    return Namespace(
        row.id,
        row.name,
        row.slug,
        row.description,
        row.owner,
        row.created_at,
        row.deleted_at,
        row.revision,
    )


def environment_of(row: Row[Any]) -> Environment:
    """Return the record of a row."""
    return Environment(
        row.id,
        row.path.partition("/")[0],
        row.name,
        row.slug,
        row.description,
        row.active_version,
        row.revision,
        row.created_by,
        row.created_at,
        row.updated_at,
        row.deleted_at,
    )


def version_of(row: Row[Any]) -> Version:
    """Return the record of a row that has the digest of its specification."""
    return Version(
        row.environment_id,
        row.number,
        row.state,
        row.key,
        row.message,
        row.reason,
        row.note,
        row.requested_by,
        row.created_at,
        row.started_at,
        row.ended_at,
        row.sha256,
        row.request_id,
    )


def searchable(text: str) -> str:
    """Return ``text`` without what no column can hold, and so nothing has."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def checked_text(what: str, text: str) -> str:
    """Return a description or note that can be kept.

    Raises:
        CatalogTextInvalid: It is too long, or has characters that are none.
    """
    if len(text) > MAX_TEXT or searchable(text) != text:
        raise CatalogTextInvalid(
            f"the {what} cannot be kept: write at most {MAX_TEXT} characters, and no NUL"
        )
    return text


def checked_principal(name: str) -> str:
    """Return the name of a user, robot or group that can be kept.

    Raises:
        CatalogNameInvalid: It is empty, too long, or has characters that are none.
    """
    if not name.strip() or len(name) > _MAX_PRINCIPAL or searchable(name) != name:
        raise CatalogNameInvalid(
            f"a user, robot or group has a name of 1 to {_MAX_PRINCIPAL} characters"
        )
    return name


def search_text(*parts: str) -> str:
    """Return what a search looks into."""
    return "\n".join(parts).casefold()


def contains(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return whether a column made by :func:`search_text` has ``text`` in it."""
    if not text:
        return true()
    return column.like(f"%{_literally(searchable(text).casefold())}%", escape=_ESCAPE)


def sees_environment(visible: Visibility, path: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether an environment is seen, by the column of its path."""
    if visible.is_everything or ("*", "*") in visible.globs:
        return true()
    exact = [f"{one}/{two}" for one, two in visible.globs if "*" not in one + two]
    # No slug has a slash: the one of the path is where the pattern's is.
    patterns = [f"{one}/{two}" for one, two in visible.globs if "*" in one + two]
    found = [path.like(_pattern(glob), escape=_ESCAPE) for glob in patterns]
    return or_(false(), *([path.in_(exact)] if exact else []), *found)


def sees_namespace(
    visible: Visibility, slug: ColumnElement[str], namespace: ColumnElement[int]
) -> ColumnElement[bool]:
    """Return whether a namespace is seen, by the columns of its slug and its number."""
    if visible.is_everything or ("*", "*") in visible.globs:
        return true()
    whole = {one for one, two in visible.globs if two == "*"} | set(visible.namespaces)
    found: list[ColumnElement[bool]] = list(_globs(slug, whole))
    parts = [(one, two) for one, two in visible.globs if two != "*" and one not in whole]
    if parts:
        environment = tables.environment
        inside = sees_environment(Visibility(tuple(parts)), environment.c.path)
        found.append(
            select(environment.c.id)
            .where(
                environment.c.namespace_id == namespace, environment.c.deleted_at.is_(None), inside
            )
            .exists()
        )
    return or_(false(), *found)


def sees_event(visible: Visibility) -> ColumnElement[bool]:
    """Return whether an event is seen: by its environment, or the whole of its namespace."""
    if visible.is_everything:
        return true()
    event = tables.event
    whole = {one for one, two in visible.globs if two == "*"} | set(visible.namespaces)
    parts = [
        and_(or_(*_globs(event.c.namespace, [one])), or_(*_globs(event.c.environment, [two])))
        for one, two in visible.globs
        if two != "*"
    ]
    return or_(false(), *_globs(event.c.namespace, whole), *parts)


def matches(column: ColumnElement[str], glob: str) -> ColumnElement[bool]:
    """Return whether a column matches a glob."""
    return or_(*_globs(column, [glob]))


def page_after(after: str | None) -> str:
    """Return after which key a page begins.

    Raises:
        CursorInvalid: It is of no page.
    """
    if after is None:
        return ""
    try:
        padded = after.encode("ascii") + b"=" * (-len(after) % 4)
        return searchable(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (ValueError, binascii.Error) as exc:
        raise CursorInvalid from exc


def page_of(rows: Sequence[Row[Any]], record: Callable[[Row[Any]], Item], limit: int) -> Page[Item]:
    """Return a page in the order of numbers, of rows of which there is one more if it goes on."""
    more = str(rows[limit - 1].id) if len(rows) > limit else None
    return Page([record(row) for row in rows[:limit]], more)


def cursor(key: str) -> str:
    """Return what a page that ends with ``key`` gives as its next.

    >>> page_after(cursor("analytics/forecast"))
    'analytics/forecast'
    """
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _globs(column: ColumnElement[str], globs: Iterable[str]) -> Iterable[ColumnElement[bool]]:
    exact = [glob for glob in sorted(globs) if "*" not in glob]
    if exact:
        yield column.in_(exact)
    for glob in sorted(globs):
        if "*" in glob:
            yield column.like(_pattern(glob), escape=_ESCAPE)


def _pattern(glob: str) -> str:
    return _literally(searchable(glob)).replace("*", "%")


def _literally(text: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text
