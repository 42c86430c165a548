"""Webhooks: whom events are sent to, and how those who manage them change that.

::

    active ─→ failing ─→ stopped      nothing was taken for three days, or never will be
       └────────┴──────→ disabled     by people, who enable both again: it goes on where it was

What sends them is :mod:`registry.webhooks`, by :mod:`registry.catalog.outgoing`.
"""

import base64
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.event_words import problem_of
from registry.catalog.journal import (
    add_event,
    changes,
    newest_event,
)
from registry.catalog.lookup import (
    MAX_NUMBER,
    MAX_PAGE,
    namespace_row,
    page_of,
    searchable,
)
from registry.catalog.records import Actor, Page, Visibility
from registry.catalog.visibility import sees_namespace
from registry.catalog.webhook_addresses import checked_address, host_of_address
from registry.catalog.webhook_records import (
    FOR_PEOPLE,
    NewWebhook,
    WebhookChange,
    WebhookKind,
    WebhookRecord,
    webhook_of,
)
from registry.database import Database, tables
from registry.errors import RevisionConflict, TooManyWebhooks, WebhookInvalid, WebhookUnknown

#: For how long the secret before signs what is sent, too.
OLD_SECRET: Final = timedelta(hours=24)
#: The most that a namespace has, and the service of its own.
MAX_WEBHOOKS: Final = 50
#: The Standard Webhooks want 24 to 64.
_SECRET_BYTES: Final = 32

#: Says why nothing can be sent to an address, as far as that is known at once; empty: it can.
ProblemWith = Callable[[WebhookKind, str], str]


class Webhooks:
    """Keeps webhooks; who may is decided by the caller.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        problem_with: Says why nothing can be sent to an address.
        nudge: Has this server look for what is to be sent.
    """

    def __init__(
        self,
        database: Database,
        problem_with: ProblemWith = lambda _kind, _address: "",
        nudge: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._problem_with = problem_with
        self._nudge = nudge

    async def create(self, actor: Actor, wanted: NewWebhook) -> tuple[WebhookRecord, str]:
        """Return a new webhook, for what happens from now on, and its secret; empty of mail.

        Raises:
            NamespaceUnknown: There is no such namespace.
            TooManyWebhooks: It has as many as it may.
            WebhookInvalid: Nothing can be sent there.
        """
        address = self._checked(wanted.kind, wanted.address)
        _check_actions(wanted.actions or ())
        is_read = wanted.kind == "mail" or wanted.format == "chat"
        actions = wanted.actions or (FOR_PEOPLE if is_read else None)
        secret = "" if wanted.kind == "mail" else new_secret()
        async with self._database.writing() as connection:
            now = self._database.now()
            namespace = None
            if wanted.namespace is not None:
                namespace = (await namespace_row(connection, wanted.namespace)).id
            await _require_room(connection, wanted.namespace, namespace)
            values = {
                "namespace_id": namespace,
                "environment_glob": wanted.environment_glob,
                "kind": wanted.kind,
                "url": address,
                "format": wanted.format,
                "actions": list(actions) if actions is not None else None,
                "secret": secret,
                "event_id": 0,
                "created_by": actor.name,
                "created_at": now,
                "updated_at": now,
            }
            table = tables.webhook
            added = await connection.execute(insert(table).values(values).returning(table.c.id))
            number = int(added.scalar_one())
            row = await webhook_row(connection, number)
            detail = {"webhook": number, **changes({}, _terms(row))}
            await _tell(connection, actor, row, "webhook.created", now, detail)
            # What tells of it is not sent to it.
            await _change(connection, number, event_id=await newest_event(connection))
            row = await webhook_row(connection, number)
        return webhook_of(row), secret

    async def list(
        self,
        *,
        visible: Visibility,
        namespace: str | None = None,
        is_service_shown: bool = False,
        after: int | None = None,
        limit: int = 50,
    ) -> Page[WebhookRecord]:
        """Return webhooks in the order in which they were made.

        Args:
            visible: Of which namespaces.
            namespace: Of this one alone, by its slug.
            is_service_shown: Whether also those of everything.
            after: The number with which the page before ended.
            limit: The most to return.
        """
        table, space = tables.webhook, tables.namespace
        limit = max(1, min(limit, MAX_PAGE))
        statement = _webhooks().order_by(table.c.id).limit(limit + 1)
        seen = sees_namespace(visible, space.c.slug, space.c.id) & space.c.id.is_not(None)
        if is_service_shown:
            seen = seen | table.c.namespace_id.is_(None)
        statement = statement.where(seen)
        if namespace is not None:
            statement = statement.where(space.c.slug == searchable(namespace))
        if after is not None:
            statement = statement.where(table.c.id > min(after, MAX_NUMBER))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return page_of(rows, webhook_of, limit)

    async def get(self, number: int) -> WebhookRecord:
        """Return a webhook.

        Raises:
            WebhookUnknown: There is none, or its namespace is deleted.
        """
        async with self._database.reading() as connection:
            return webhook_of(await webhook_row(connection, number))

    async def update(
        self, actor: Actor, number: int, change: WebhookChange, revision: int | None = None
    ) -> WebhookRecord:
        """Return a webhook with what was changed; one that is enabled goes on at once.

        Raises:
            WebhookUnknown: There is none.
            WebhookInvalid: Nothing can be sent there.
            RevisionConflict: It has another revision than what was given.
        """
        async with self._database.writing() as connection:
            row = await _of_revision(connection, number, revision)
            values = self._values(row, change)
            changed = {name: value for name, value in values.items() if value != row._mapping[name]}  # noqa: SLF001 (public)
            if not (changed or change.skips):
                return webhook_of(row)
            now = self._database.now()
            if change.skips or {"url", "is_enabled"} & set(changed):
                changed |= {"attempts": 0, "next_at": None, "failing_since": None}
            if changed.get("is_enabled") or "url" in changed:
                changed["problem"] = ""
            changed |= {"revision": row.revision + 1, "updated_at": now}
            await _change(connection, number, **changed)
            was, row = row, await webhook_row(connection, number)
            detail = {"webhook": number, **changes(_terms(was), _terms(row))}
            if was.url != row.url:
                # Perhaps nothing of it is shown that differs.
                detail["address"] = "changed"
            if change.skips:
                detail["skipped"] = True
            told = await _tell(connection, actor, row, "webhook.updated", now, detail)
            if change.skips:
                await _change(connection, number, event_id=told)
        self._nudge()
        return webhook_of(row)

    async def rotate(self, actor: Actor, number: int) -> tuple[WebhookRecord, str]:
        """Return a webhook with its new secret; the one before signs as well for a day.

        Raises:
            WebhookUnknown: There is none.
            WebhookInvalid: Mail is not signed.
        """
        secret = new_secret()
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await webhook_row(connection, number)
            if row.kind == "mail":
                raise WebhookInvalid("mail is not signed: it has no secret to make anew")
            await _change(
                connection,
                number,
                secret=secret,
                old_secret=row.secret,
                old_secret_until=now + OLD_SECRET,
                revision=row.revision + 1,
                updated_at=now,
            )
            row = await webhook_row(connection, number)
            detail = {"webhook": number, "secret": "rotated"}
            await _tell(connection, actor, row, "webhook.updated", now, detail)
        return webhook_of(row), secret

    async def delete(self, actor: Actor, number: int, revision: int | None = None) -> None:
        """Delete a webhook, with its secrets; what it has sent is forgotten.

        Raises:
            WebhookUnknown: There is none.
            RevisionConflict: It has another revision than what was given.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _of_revision(connection, number, revision)
            detail = {"webhook": number, **changes(_terms(row), {})}
            await _tell(connection, actor, row, "webhook.deleted", now, detail)
            # Its row goes when those of its deliveries are purged; what is secret goes at once.
            gone = {"url": "", "secret": "", "old_secret": None, "deleted_at": now}
            await _change(connection, number, **gone)

    def _checked(self, kind: WebhookKind, text: str) -> str:
        address = checked_address(kind, text)
        problem = self._problem_with(kind, address)
        if problem:
            raise WebhookInvalid(problem)
        return address

    def _values(self, row: Row[Any], change: WebhookChange) -> Mapping[str, Any]:
        """Return the columns that a change says."""
        values: dict[str, Any] = {}
        if change.address is not None:
            values["url"] = self._checked(row.kind, change.address)
        if change.environment_glob is not None:
            if row.namespace_id is None and change.environment_glob != "*":
                raise WebhookInvalid("'environment' is one of a namespace: this webhook has none")
            values["environment_glob"] = change.environment_glob
        if change.format is not None:
            if row.kind == "mail" and change.format != "standard":
                raise WebhookInvalid("mail is for people as it is: it has no other format")
            values["format"] = change.format
        if change.actions is not None:
            _check_actions(change.actions)
            values["actions"] = list(change.actions) or None
        if change.is_enabled is not None:
            values["is_enabled"] = int(change.is_enabled)
        return values


def new_secret() -> str:
    """Return a secret that nobody has had before, as the Standard Webhooks write it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


async def webhook_row(connection: AsyncConnection, number: int) -> Row[Any]:
    """Return the row of a webhook, with the slug of its namespace.

    Raises:
        WebhookUnknown: There is none, or its namespace is deleted.
    """
    if not 0 < number <= MAX_NUMBER:
        raise WebhookUnknown(number)
    row = (await connection.execute(_webhooks().where(tables.webhook.c.id == number))).first()
    if row is None or (row.namespace is None and row.namespace_id is not None):
        raise WebhookUnknown(number)
    return row


async def tell_of_webhook(
    connection: AsyncConnection,
    actor: Actor,
    number: int,
    action: str,
    now: datetime,
    detail: Mapping[str, Any],
) -> int:
    """Write down what happens to a webhook, and return the number of the event.

    Raises:
        WebhookUnknown: There is none, or its namespace is deleted.
    """
    row = await webhook_row(connection, number)
    return await _tell(connection, actor, row, action, now, {"webhook": number, **detail})


def _webhooks() -> Select[Any]:
    table, space = tables.webhook, tables.namespace
    is_there = (space.c.id == table.c.namespace_id) & space.c.deleted_at.is_(None)
    return (
        select(table, space.c.slug.label("namespace"))
        .outerjoin(space, is_there)
        .where(table.c.deleted_at.is_(None))
    )


async def _of_revision(connection: AsyncConnection, number: int, revision: int | None) -> Row[Any]:
    row = await webhook_row(connection, number)
    if revision is not None and revision != row.revision:
        raise RevisionConflict(f"webhook {number}", row.revision)
    return row


async def _change(connection: AsyncConnection, number: int, **values: Any) -> None:
    table = tables.webhook
    await connection.execute(update(table).where(table.c.id == number).values(**values))


def _check_actions(globs: Iterable[str]) -> None:
    """Refuse globs by which nothing would ever be sent.

    Raises:
        WebhookInvalid: There are such.
    """
    for glob in globs:
        problem = problem_of(glob)
        if problem:
            raise WebhookInvalid(problem)


async def _require_room(
    connection: AsyncConnection, slug: str | None, namespace: int | None
) -> None:
    table = tables.webhook
    owner = (
        table.c.namespace_id.is_(None) if namespace is None else table.c.namespace_id == namespace
    )
    counted = select(func.count()).select_from(table).where(owner, table.c.deleted_at.is_(None))
    if (await connection.execute(counted)).scalar_one() >= MAX_WEBHOOKS:
        raise TooManyWebhooks(slug, MAX_WEBHOOKS)


async def _tell(
    connection: AsyncConnection,
    actor: Actor,
    row: Row[Any],
    action: str,
    now: datetime,
    detail: Mapping[str, Any],
) -> int:
    await add_event(connection, actor, now, action, namespace=row.namespace, detail=detail)
    return await newest_event(connection)


def _terms(row: Row[Any]) -> dict[str, Any]:
    """Return what is told of a webhook: no secrets, and of its address the host alone."""
    return {
        "kind": row.kind,
        "to": host_of_address(row.kind, row.url),
        "environment": row.environment_glob,
        "format": row.format,
        "actions": row.actions,
        "enabled": bool(row.is_enabled),
    }
