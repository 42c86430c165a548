"""Writing a version that is asked for: its row, its specification, and what tells of it."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.archiving import require_unarchived
from registry.catalog.journal import add_change, add_version_event
from registry.catalog.limits import UNLIMITED, Limits, require_build
from registry.catalog.lookup import version_row
from registry.catalog.records import Actor, Reason
from registry.database import tables
from registry.errors import TooManyVersions

#: How many versions of one person are under way at most, or wait.
MAX_OPEN: Final = 100


async def queue_version(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    data: bytes,
    now: datetime,
    *,
    reason: Reason = "person",
    note: str = "",
    activate: bool = True,
    renew: bool = False,
    propose: bool = False,
    for_whom: str | None = None,
    obeys_quota: bool = False,
    limits: Limits = UNLIMITED,
) -> Row[Any]:
    """Return the row of an environment's next version, which any server makes from now on.

    Args:
        connection: Of the transaction.
        actor: Who asks for it.
        environment: The row of its environment.
        data: By what it is asked for.
        now: The time.
        reason: Why.
        note: What whoever asks says of it.
        activate: Whether it becomes active when it is built.
        renew: Whether it is solved anew.
        propose: Whether it becomes a proposal when it is built; then it does not become active.
        for_whom: Who had asked for it, if it is somebody else: what they may pull decides.
        obeys_quota: Whether the quota of the namespace can refuse it though the service asks.
        limits: Of namespaces that have no quota of their own.

    Raises:
        EnvironmentArchived: It takes no new version.
        TooManyVersions: Whoever asks has as many under way as one may.
        QuotaExceeded: The namespace has as many bytes as it may.
        BuildsUsedUp: It has had as many builds today as it may.
    """
    require_unarchived(environment)
    if reason != "file":  # of which each environment has one at most
        await _require_room(connection, actor)
    is_service = actor.name is None and not obeys_quota
    await require_build(connection, environment, now, limits, is_service=is_service)
    number = environment.last_version + 1
    await connection.execute(
        insert(tables.version).values(
            environment_id=environment.id,
            number=number,
            specification_id=(await keep_specifications(connection, [data], now))[data],
            state="queued",
            reason=reason,
            note=note,
            requested_by=for_whom if for_whom is not None else actor.name,
            activate=int(activate and not propose),
            propose=int(propose),
            renew=int(renew),
            created_at=now,
        )
    )
    await connection.execute(
        update(tables.environment)
        .where(tables.environment.c.id == environment.id)
        .values(last_version=number)
    )
    after = {"note": note, "activate": activate and not propose, "renew": renew}
    if propose:
        after["propose"] = True
    detail = {"reason": reason, "after": after}
    await add_version_event(
        connection, actor, now, "version.queued", environment.path, number, detail
    )
    # Whoever makes versions, on any server, looks for them when something has changed.
    await add_change(connection, "event", environment.path, now)
    return await version_row(connection, environment, number)


async def _require_room(connection: AsyncConnection, actor: Actor) -> None:
    """Return if somebody may have one more version under way; the service always may.

    What schedules ask for in their name keeps nobody from asking.

    Raises:
        TooManyVersions: They may not.
    """
    if actor.name is None:
        return
    table = tables.version
    is_theirs = (table.c.requested_by == actor.name) & (table.c.reason != "schedule")
    statement = select(func.count()).where(tables.OPEN, is_theirs)
    if (await connection.execute(statement)).scalar_one() >= MAX_OPEN:
        raise TooManyVersions(actor.name, MAX_OPEN)


async def keep_specifications(
    connection: AsyncConnection, texts: Sequence[bytes], now: datetime
) -> Mapping[bytes, int]:
    """Return the numbers of specifications, each kept once however many versions have it."""
    table = tables.specification
    wanted = {hashlib.sha256(text).hexdigest(): text for text in texts}
    known = select(table.c.sha256, table.c.id).where(table.c.sha256.in_(list(wanted)))
    found = {row.sha256: row.id for row in await connection.execute(known)}
    new = [
        {"sha256": sha256, "data": text, "created_at": now}
        for sha256, text in wanted.items()
        if sha256 not in found
    ]
    if new:
        made = insert(table).returning(table.c.sha256, table.c.id)
        found |= {row.sha256: row.id for row in await connection.execute(made, new)}
    return {text: int(found[sha256]) for sha256, text in wanted.items()}
