"""Finding rows by what people call them, and rows as records."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Row, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.records import Environment, Namespace, Page, Version
from registry.catalog.slugs import is_slug
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
    if not is_slug(slug):
        raise NamespaceUnknown(slug)
    table = tables.namespace
    statement = select(table).where(table.c.slug == slug, table.c.deleted_at.is_(None))
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NamespaceUnknown(slug)
    return row


async def environment_row(connection: AsyncConnection, namespace: str, slug: str) -> Row[Any]:
    """Return the row of an environment that is not deleted.

    Raises:
        EnvironmentUnknown: There is none.
    """
    if not (is_slug(namespace) and is_slug(slug)):
        raise EnvironmentUnknown(namespace, slug)
    table = tables.environment
    statement = select(table).where(
        table.c.path == f"{namespace}/{slug}", table.c.deleted_at.is_(None)
    )
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
        row.source_id,
        row.archived_at,
        row.test_command,
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
        row.told or {},
        row.freed_at,
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


def matches(column: ColumnElement[str], glob: str) -> ColumnElement[bool]:
    """Return whether a column matches a glob."""
    return column.like(like_pattern(glob), escape=_ESCAPE) if "*" in glob else column == glob


def like_pattern(glob: str) -> str:
    """Return a glob as a pattern of ``LIKE``."""
    return _literally(searchable(glob)).replace("*", "%")


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


def _literally(text: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text
