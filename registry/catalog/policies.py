"""Policies that are kept in the database: set, changed, deleted; every text that they had stays."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_event
from registry.catalog.lookup import MAX_NUMBER, MAX_PAGE, namespace_row, searchable
from registry.catalog.policy_rows import (
    PolicyRecord,
    PolicyText,
    policies,
    policy_record,
    policy_text,
    told_text,
)
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Page
from registry.catalog.waiver_ends import end_waivers_of
from registry.database import Database, tables
from registry.errors import PolicyInFile, PolicyUnknown, RevisionConflict
from registry.policy.policy import read_policy


class KeptInFiles(Protocol):
    """Knows which policies are files'; :class:`registry.policy.book.PolicyBook`."""

    def is_kept_in_file(self, name: str) -> bool:
        """Tell whether an administrator's policy is kept in a file."""
        ...


class Policies:
    """Sets and tells policies.

    All methods raise :class:`~registry.errors.DatabaseUnavailable` when it does not answer. Who may
    is the caller's business: with a namespace, it is the namespace's own policy, which can only add
    rules to those that hold there anyway.

    Args:
        database: Where they are.
        files: What files have nobody changes here.
        settled: Waits until all servers know of a change.
    """

    def __init__(
        self, database: Database, files: KeptInFiles, settled: Settled = settled_nowhere
    ) -> None:
        self._database = database
        self._files = files
        self._settled = settled

    async def set(
        self,
        actor: Actor,
        name: str,
        text: str,
        *,
        namespace: str | None = None,
        version: int | None = None,
    ) -> PolicyRecord:
        """Return a policy that says ``text`` on every server from now on.

        Args:
            actor: Who sets it.
            name: What it is called; of a namespace's own: ``"own"``.
            text: TOML.
            namespace: By its slug, whose own policy it is; ``None``: it is an administrator's.
            version: The one that it must have; ``None``: any.

        Raises:
            PolicyTextInvalid: It says nothing that can be used.
            PolicyInFile: A file has that name.
            NamespaceUnknown: There is no such namespace.
            RevisionConflict: Somebody else has changed it since.
        """
        self._require_ours(name, namespace)
        await asyncio.to_thread(read_policy, name, text, namespace=namespace)
        async with self._database.writing() as connection:
            now = self._database.now()
            space = await _namespace_id(connection, namespace)
            last = await _last_row(connection, name, space)
            before = last if last is not None and last.deleted_at is None else None
            _require_version(name, before, version)
            if before is not None and before.text == text:
                return policy_record(await _row(connection, name, namespace))
            number = 1 if last is None else last.version + 1
            values = {
                "text": text,
                "version": number,
                "updated_by": actor.name,
                "updated_at": now,
                "deleted_at": None,
            }
            table = tables.policy
            if last is None:
                new = {"name": name, "namespace_id": space, "created_at": now}
                made = insert(table).values(**new, **values).returning(table.c.id)
                policy = int((await connection.execute(made)).scalar_one())
            else:
                policy = last.id
                await connection.execute(update(table).where(table.c.id == policy).values(**values))
            await connection.execute(
                insert(tables.policy_text).values(
                    policy_id=policy, version=number, text=text, by=actor.name, at=now
                )
            )
            detail = {
                "policy": name,
                "before": _told(before),
                "after": told_text(number, text),
            }
            await add_event(
                connection, actor, now, "policy.set", namespace=namespace, detail=detail
            )
            change = await add_change(connection, "policy", str(policy), now)
            record = policy_record(await _row(connection, name, namespace))
        await self._settled(change)
        return record

    async def delete(
        self,
        actor: Actor,
        name: str,
        *,
        namespace: str | None = None,
        version: int | None = None,
    ) -> None:
        """Have a policy hold no more, on every server; what it said can still be read.

        Raises:
            PolicyUnknown: There is none.
            PolicyInFile: A file has that name.
            RevisionConflict: Somebody else has changed it since.
        """
        self._require_ours(name, namespace)
        table = tables.policy
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _row(connection, name, namespace)
            _require_version(name, row, version)
            await connection.execute(
                update(table).where(table.c.id == row.id).values(deleted_at=now)
            )
            detail = {"policy": name, "before": _told(row), "after": {}}
            await add_event(
                connection, actor, now, "policy.deleted", namespace=namespace, detail=detail
            )
            await end_waivers_of(connection, actor, name, row.namespace_id, now)
            change = await add_change(connection, "policy", str(row.id), now)
        await self._settled(change)

    async def get(self, name: str, *, namespace: str | None = None) -> PolicyRecord:
        """Return a policy.

        Raises:
            PolicyUnknown: There is none in the database.
        """
        async with self._database.reading() as connection:
            return policy_record(await _row(connection, name, namespace))

    async def some(self, namespace: str | None = None) -> list[PolicyRecord]:
        """Return administrators' policies, by name, and the own one of a namespace if one is said.

        There are no more than a page has: whoever sets hundreds of policies wants one with more
        rules.
        """
        table = tables.policy
        mine: list[ColumnElement[bool]] = [table.c.namespace_id.is_(None)]
        if namespace is not None:
            mine.append(tables.namespace.c.slug == searchable(namespace))
        statement = policies().where(or_(*mine)).order_by(table.c.name).limit(MAX_PAGE)
        async with self._database.reading() as connection:
            return [policy_record(row) for row in await connection.execute(statement)]

    async def versions(
        self,
        name: str,
        *,
        namespace: str | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Page[PolicyText]:
        """Return what a policy said, the newest first.

        Args:
            name: The policy's.
            namespace: As in :meth:`set`.
            after: The version with which the page before ended.
            limit: The most to return.

        Raises:
            PolicyUnknown: There is none, and never was.
        """
        limit = max(1, min(limit, MAX_PAGE))
        table = tables.policy_text
        async with self._database.reading() as connection:
            space = await _namespace_id(connection, namespace)
            row = await _last_row(connection, name, space)
            if row is None:
                raise PolicyUnknown(name)
            statement = select(table).where(table.c.policy_id == row.id)
            if after is not None:
                statement = statement.where(table.c.version < min(after, MAX_NUMBER))
            page = statement.order_by(table.c.version.desc()).limit(limit + 1)
            rows = (await connection.execute(page)).all()
        more = str(rows[limit - 1].version) if len(rows) > limit else None
        return Page([policy_text(row) for row in rows[:limit]], more)

    def _require_ours(self, name: str, namespace: str | None) -> None:
        if namespace is None and self._files.is_kept_in_file(name):
            raise PolicyInFile(name)


async def _namespace_id(connection: AsyncConnection, namespace: str | None) -> int | None:
    return None if namespace is None else int((await namespace_row(connection, namespace)).id)


async def _last_row(connection: AsyncConnection, name: str, space: int | None) -> Row[Any] | None:
    """Return the row of a policy, also of one that was deleted."""
    table = tables.policy
    statement = select(table).where(table.c.name == searchable(name))
    is_of = table.c.namespace_id.is_(None) if space is None else table.c.namespace_id == space
    order = (table.c.deleted_at.is_not(None), table.c.id.desc())
    return (await connection.execute(statement.where(is_of).order_by(*order).limit(1))).first()


async def _row(connection: AsyncConnection, name: str, namespace: str | None) -> Row[Any]:
    """Return the row of a policy that holds.

    Raises:
        PolicyUnknown: There is none.
    """
    statement = policies().where(tables.policy.c.name == searchable(name))
    if namespace is None:
        statement = statement.where(tables.policy.c.namespace_id.is_(None))
    else:
        statement = statement.where(tables.namespace.c.slug == searchable(namespace))
    row = (await connection.execute(statement)).first()
    if row is None:
        raise PolicyUnknown(name, namespace)
    return row


def _require_version(name: str, row: Row[Any] | None, version: int | None) -> None:
    found = 0 if row is None else row.version
    if version is not None and version != found:
        raise RevisionConflict(f"policy {name}", found)


def _told(row: Row[Any] | None) -> Mapping[str, Any]:
    return {} if row is None else told_text(row.version, row.text)
