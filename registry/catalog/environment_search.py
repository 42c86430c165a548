"""Finding environments: by what they are called, by what is in them, a page at a time."""

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Select, and_, false, func, select

from registry.catalog.lookup import (
    contains,
    cursor,
    environment_of,
    page_after,
    searchable,
)
from registry.catalog.records import Environment, Page, Visibility
from registry.catalog.slugs import is_slug
from registry.catalog.visibility import sees_environment
from registry.database import tables


def search_statement(
    visible: Visibility,
    *,
    namespace: str | None,
    search: str,
    package: str | None,
    version: str | None,
    within: Visibility | None,
    is_building: bool,
    include_deleted: bool | Literal["only"],
    after: str | None,
    limit: int,
) -> Select[Any]:
    """Return what selects one row more than a page has, by path.

    Raises:
        CursorInvalid: ``after`` is of no page.
    """
    table = tables.environment
    path, _, number = page_after(after).partition("\n")
    beyond = table.c.path > path
    if include_deleted and number.isascii() and number.isdigit() and len(number) < 19:
        beyond |= (table.c.path == path) & (table.c.id > int(number))
    statement = (
        select(table)
        .where(
            beyond,
            contains(table.c.search_text, search),
            sees_environment(visible, table.c.path),
        )
        .order_by(table.c.path, table.c.id)
        .limit(limit + 1)
    )
    if not include_deleted:
        statement = statement.where(table.c.deleted_at.is_(None))
    elif include_deleted == "only":
        statement = statement.where(table.c.deleted_at.is_not(None))
    if namespace is not None:
        # By path, whose order the page is in: one range of one index. "0" comes after "/".
        inside = and_(table.c.path >= f"{namespace}/", table.c.path < f"{namespace}0")
        statement = statement.where(inside if is_slug(namespace) else false())
        if include_deleted:  # not those of a namespace that had the name before
            space = tables.namespace
            alive = select(space.c.id).where(
                space.c.slug == namespace, space.c.deleted_at.is_(None)
            )
            statement = statement.where(table.c.namespace_id == alive.scalar_subquery())
    if package is not None:
        statement = statement.where(_has_package(package, version))
    if within is not None:
        statement = statement.where(sees_environment(within, table.c.path))
    if is_building:
        # Few are at a time, and an index has these alone.
        under_way = select(tables.version.c.environment_id).where(tables.OPEN)
        statement = statement.where(table.c.id.in_(under_way))
    return statement


def page_of_environments(rows: Sequence[Row[Any]], limit: int) -> Page[Environment]:
    """Return the page of what was selected."""
    last = rows[limit - 1] if len(rows) > limit else None
    more = cursor(f"{last.path}\n{last.id}") if last is not None else None
    return Page([environment_of(row) for row in rows[:limit]], more)


def _has_package(package: str, version: str | None) -> ColumnElement[bool]:
    table = tables.lock_package
    named = table.c.name == searchable(package).lower()
    if version is not None:
        named &= table.c.version == searchable(version)
    here = select(table.c.key).where(named, table.c.key == tables.environment.c.active_key)
    # Asked once: where no lock has the package, no environment is looked at. As a minimum it is the
    # first entry of an index; for EXISTS, PostgreSQL reads the table.
    anywhere = select(func.min(table.c.key)).where(named).scalar_subquery()
    return anywhere.is_not(None) & here.exists()
