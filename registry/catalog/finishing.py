"""What becomes of a version: one transaction, in which it may become the active one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.journal import add_change, add_version_event, publish
from registry.catalog.lock_rows import keep_lock
from registry.catalog.ports import LockContent
from registry.catalog.proposing import Weighed, open_one, weigh
from registry.catalog.records import SERVICE, Actor, State
from registry.catalog.sizes import BuildBlob, counted, keep_blobs
from registry.database import tables


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the request for a version."""

    state: State
    key: str | None = None
    message: str = ""
    content: LockContent = field(default_factory=LockContent)
    #: What its image consists of.
    blobs: Sequence[BuildBlob] = ()
    #: What policies did to it, as ``version.told`` keeps it.
    told: Mapping[str, Any] = field(default_factory=dict)


async def finish(
    connection: AsyncConnection, version: int, by: str, outcome: Outcome, now: datetime
) -> int:
    """Write down what became of a version, and return the change.

    It becomes active if that was asked for, unless a newer one is, or somebody has chosen another
    since it was asked for; or a proposal, unless a newer one is active. A version that was
    cancelled, or that another server has taken up, stays as it is.

    Args:
        connection: Of the transaction.
        version: Its number in the database.
        by: The claim under which it was made.
        outcome: What came of it.
        now: The time.
    """
    table, environment = tables.version, tables.environment
    statement = select(table).where(table.c.id == version, table.c.claimed_by == by, tables.OPEN)
    row = (await connection.execute(statement)).first()
    if row is None:
        return 0
    place = (
        await connection.execute(select(environment).where(environment.c.id == row.environment_id))
    ).one()
    if outcome.key is not None and row.renew and outcome.key == place.active_key:
        outcome = replace(
            outcome,
            state="unchanged",
            message=f"nothing has changed: it is the same as version {place.active_version}",
        )
    weighed = Weighed()
    if outcome.state == "built" and outcome.key is not None:
        weighed = await weigh(connection, place, row, outcome.key)
        if weighed.declined:
            outcome = replace(outcome, state="unchanged", message=weighed.declined)
    if outcome.key is not None:
        await keep_lock(connection, outcome.key, outcome.content)
        await keep_blobs(connection, outcome.key, outcome.blobs)
    keys = [outcome.key] if outcome.key is not None else []
    async with counted(connection, place.namespace_id, keys):
        await connection.execute(
            update(table)
            .where(table.c.id == version)
            .values(
                state=outcome.state,
                key=outcome.key,
                message=outcome.message,
                told=dict(outcome.told) or None,
                ended_at=now,
                claimed_by=None,
                claimed_until=None,
            )
        )
    detail = {"key": outcome.key, "message": outcome.message}
    await add_version_event(
        connection, SERVICE, now, f"version.{outcome.state}", place.path, row.number, detail
    )
    if "refusal" in outcome.told:
        # Of whoever asked for it, whose request has long been answered.
        refused = Actor(row.requested_by)
        detail = {"error": "PolicyRefused", "sentence": outcome.message}
        await add_version_event(
            connection, refused, now, "policy.refused", place.path, row.number, detail
        )
    if outcome.state != "built" or outcome.key is None:
        return await add_change(connection, "event", place.path, now)
    if row.activate and not weighed.is_for_people:
        if _is_next(place, row.number):
            await make_active(connection, SERVICE, place, row.number, outcome.key, now)
    elif (row.propose or row.activate) and row.number > (place.active_version or 0):
        await open_one(connection, place, row, now, is_for_people=weighed.is_for_people)
    return await publish(connection, [place.path], now)


def _is_next(environment: Row[Any], number: int) -> bool:
    return number > environment.settled_version and number > (environment.active_version or 0)
