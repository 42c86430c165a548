"""Events: what happened, by whom, from where.

::

    namespace.created  namespace.updated  namespace.deleted  namespace.restored
    environment.created  .updated  .moved  .copied  .deleted  .restored
    version.queued  .building  .built  .unchanged  .failed  .cancelled  .activated
    version.imported  .deleted
    grant.given  grant.taken
    token.created  token.revoked
    principal.created  .updated  .disabled  .enabled  .deleted
    group.created  group.deleted  member.added  member.removed
    waiver.requested  .granted  .refused  .withdrawn
    waiver.ends_soon  .ended        its time is nearly over, or is; or somebody has ended it
    policy.set  policy.deleted      by the API, or in a file (``detail.file``)
    finding.found  finding.gone     what a policy says of what there is
    build.blocked  build.unblocked  quota.set  retention.set  version.freed  version.restored
    setting.set                     by clients of conda-store
    accounts.changed                the auth file was edited
    environment.archived  environment.unarchived
    source.created  source.updated  source.deleted
    source.failed  source.recovered     it, or one of its files, cannot be used, or can again
    schedule.set  schedule.deleted  schedule.ran
    schedule.skipped                nothing could be asked for when it was due
    proposal.opened  .tested  .test_asked  .activated  .rejected  .replaced
    webhook.created  webhook.updated  webhook.deleted  webhook.stopped
    webhook.tested  webhook.resent      sent to that webhook alone
    manifest.pushed  manifest.deleted  blob.pushed  blob.deleted    by ``/v2``
    build.asked  build.pinned  build.unpinned
    audit.purged                    what was too old is gone: how many, and from before when

and for administrators and auditors alone (:data:`registry.auth.trail.AUDIT_ONLY`)::

    login.succeeded  login.failed  login.confirmed  access.refused  policy.refused  admin.read

What was changed is in ``detail``, as ``before`` and ``after``: the fields that differ.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from sqlalchemy import Row, ScalarSelect, Select, select

from registry.catalog.event_feed import BATCH, EventFeed
from registry.catalog.journal import newest_event
from registry.catalog.lookup import MAX_PAGE, searchable
from registry.catalog.records import EVERYTHING, Event, Visibility
from registry.catalog.visibility import sees_event
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable


class Events:
    """Lists events, and tells of new ones.

    Args:
        database: Where they are.
        changed: Returns when anything may have happened since it was called, or after seconds.
    """

    def __init__(
        self, database: Database, changed: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self._database = database
        self._feed = EventFeed(self, changed or asyncio.sleep)

    async def list(
        self,
        *,
        visible: Visibility,
        namespace: str | None = None,
        environment: str | None = None,
        after_id: int = 0,
        limit: int = 50,
    ) -> Sequence[Event]:
        """Return events after that of ``after_id``, the oldest first."""
        limit = max(1, min(limit, MAX_PAGE))
        table = tables.event
        statement = _of(visible, namespace, environment).where(table.c.id > after_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(statement.order_by(table.c.id).limit(limit))
            return [event_of(row) for row in rows]

    async def latest(
        self,
        *,
        visible: Visibility,
        namespace: str | None = None,
        environment: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> Sequence[Event]:
        """Return events before that of ``before_id``, the newest first."""
        limit = max(1, min(limit, MAX_PAGE))
        table = tables.event
        statement = _of(visible, namespace, environment)
        if before_id is not None:
            statement = statement.where(table.c.id < before_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(statement.order_by(table.c.id.desc()).limit(limit))
            return [event_of(row) for row in rows]

    def require_room(self, who: str) -> None:
        """Return if somebody may follow once more.

        Raises:
            TooManyStreams: They may not.
        """
        self._feed.require_room(who)

    def following(
        self, who: str, namespace: str, environment: str
    ) -> AbstractAsyncContextManager[asyncio.Event]:
        """Give what is set when something happens to an environment; counted as a stream.

        Raises:
            TooManyStreams: Whoever it is follows too many already.
        """
        return self._feed.following(who, (namespace, environment))

    async def follow(
        self,
        who: str,
        *,
        visible: Callable[[], Visibility],
        sees: Callable[[Event], bool],
        namespace: str | None = None,
        environment: str | None = None,
        after_id: int | None = None,
        beat_seconds: float = 15,
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield what happens, as soon as this server knows of it; an empty list now and then.

        Args:
            who: By whom streams are counted.
            visible: What whoever follows may see, asked each time that they are behind.
            sees: Tells whether they see an event at this moment.
            namespace: Of one namespace alone.
            environment: Of one environment of it alone.
            after_id: The last event known; ``None``: begin with what happens from now on.
            beat_seconds: After how long without anything an empty list is yielded.

        Raises:
            TooManyStreams: They follow too many already.
        """
        clock = asyncio.get_running_loop().time
        place = namespace, environment
        async with self._feed.following(who, place) as woken:
            last = await self.newest() if after_id is None else after_id
            # What happened before is asked for by what has the names today.
            is_behind = after_id is not None
            spoke_at = clock()
            while True:
                woken.clear()
                known = self._feed.last
                found = None if is_behind else self._feed.after(last, place)
                is_behind = False
                if found is None:
                    try:
                        found = await self.list(
                            visible=visible(),
                            namespace=namespace,
                            environment=environment,
                            after_id=last,
                            limit=BATCH,
                        )
                        is_behind = len(found) == BATCH
                    except DatabaseUnavailable:  # whoever listens goes on when it is there again
                        found, known = (), last
                last = found[-1].id if is_behind else max(last, known, *(one.id for one in found))
                told = [event for event in found if sees(event)]
                if told or clock() >= spoke_at + beat_seconds:
                    yield told
                    spoke_at = clock()
                if not is_behind:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(spoke_at + beat_seconds):
                            await woken.wait()

    async def after(self, number: int, limit: int) -> Sequence[Event]:
        """Return the first events after that of a number, whoever may see them."""
        return await self.list(visible=EVERYTHING, after_id=number, limit=limit)

    async def newest(self) -> int:
        """Return the number of the newest event; 0: there is none."""
        async with self._database.reading() as connection:
            return await newest_event(connection)


def _of(visible: Visibility, namespace: str | None, environment: str | None) -> Select[Any]:
    table = tables.event
    statement = select(table).where(sees_event(visible))
    if namespace is not None:
        statement = statement.where(
            table.c.namespace == searchable(namespace), table.c.namespace_id == _holder(namespace)
        )
    if namespace is not None and environment is not None:
        statement = statement.where(
            table.c.environment == searchable(environment),
            table.c.environment_id == _holder(namespace, environment),
        )
    return statement


def _holder(namespace: str, environment: str | None = None) -> ScalarSelect[int]:
    """Return the number of what has a name; if nothing has, of what had it last."""
    if environment is None:
        table, column, text = tables.namespace, tables.namespace.c.slug, namespace
    else:
        table, column, text = (
            *(tables.environment, tables.environment.c.path),
            f"{namespace}/{environment}",
        )
    order = (table.c.deleted_at.is_not(None), table.c.deleted_at.desc(), table.c.id.desc())
    found = select(table.c.id).where(column == searchable(text)).order_by(*order).limit(1)
    return found.scalar_subquery()


def event_of(row: Row[Any]) -> Event:
    """Return the record of a row."""
    return Event(
        row.id,
        row.at,
        row.actor,
        row.token_id,
        row.address,
        row.action,
        row.namespace,
        row.environment,
        row.number,
        row.detail or {},
        row.via,
    )
