"""Rows of waivers, and what they are as records."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.errors import Refusal
from registry.catalog.journal import add_change, add_event, changes
from registry.catalog.lookup import MAX_NUMBER
from registry.catalog.records import Actor, WaiverRecord
from registry.database import tables
from registry.errors import WaiverUnknown
from registry.policy.asking import sentence_of
from registry.policy.policy import OWN
from registry.policy.waivers import Waiver

#: Of what something more can happen to.
OPEN: Final = ("waiting", "granted")
#: Where in ``version.told`` the refusal is.
_REFUSAL: Final = "refusal"


def waivers() -> Select[Any]:
    """Return what finds waivers, with the names of that for which they were asked.

    A name that is deleted is none: another one may have it by now.
    """
    table, space, place = tables.waiver, tables.namespace, tables.environment
    # What is moved away is no more where it was asked for.
    is_there = and_(
        place.c.id == table.c.environment_id,
        place.c.namespace_id == table.c.namespace_id,
        place.c.deleted_at.is_(None),
    )
    return (
        select(
            table,
            space.c.slug.label("namespace"),
            place.c.slug.label("environment"),
            place.c.path.label("path"),
            tables.version.c.number.label("number"),
            tables.version.c.state.label("version_state"),
            tables.version.c.message.label("version_message"),
        )
        .outerjoin(space, and_(space.c.id == table.c.namespace_id, space.c.deleted_at.is_(None)))
        .outerjoin(place, is_there)
        .outerjoin(tables.version, tables.version.c.id == table.c.version_id)
    )


async def waiver_row(connection: AsyncConnection, number: int) -> Row[Any]:
    """Return the row of a waiver, as :func:`waivers` finds it.

    Raises:
        WaiverUnknown: There is none.
    """
    if not 0 < number <= MAX_NUMBER:
        raise WaiverUnknown(number)
    row = (await connection.execute(waivers().where(tables.waiver.c.id == number))).first()
    if row is None:
        raise WaiverUnknown(number)
    return row


def waiver_of(row: Row[Any]) -> WaiverRecord:
    """Return the record of a row."""
    return WaiverRecord(
        row.id,
        row.namespace,
        row.environment,
        row.number,
        row.scope,
        row.policy,
        row.kind,
        row.manager,
        row.spec,
        row.reason,
        row.state,
        row.requested_by,
        row.requested_at,
        row.decided_by,
        row.decided_at,
        row.decision,
        row.expires_at,
        sentence_of(row.version_message) if row.version_state == "failed" else "",
    )


def granted_of(row: Row[Any]) -> Waiver | None:
    """Return what a waiver is for builds; ``None``: it lets nothing pass.

    One lets nothing pass that is not granted, or whose environment or namespace is not there any
    more: whoever has the name next has asked for nothing.
    """
    if row.state != "granted":
        return None
    environment = row.environment if row.scope == "environment" else None
    namespace = row.namespace if row.scope != "everything" else None
    if row.scope != "everything" and namespace is None:
        return None
    if row.scope == "environment" and environment is None:
        return None
    if row.policy == OWN and namespace is None:
        return None
    return Waiver(row.id, row.spec, row.manager, row.policy, namespace, environment, row.expires_at)


def told_refusal(refusal: Refusal | None) -> Mapping[str, Any]:
    """Return what is kept of a refusal beside a version."""
    return {} if refusal is None else {_REFUSAL: asdict(refusal)}


def refusal_of(told: Mapping[str, Any] | None) -> Refusal | None:
    """Return the refusal that :func:`told_refusal` has kept; ``None``: there was none."""
    found = (told or {}).get(_REFUSAL)
    return Refusal(**{**found, "packages": tuple(found["packages"])}) if found else None


async def tell_of_waiver(
    connection: AsyncConnection,
    actor: Actor,
    row: Row[Any],
    action: str,
    now: datetime,
    *,
    before: Row[Any] | None = None,
    why: str = "",
) -> int:
    """Write down what happens to a waiver, and return the change by which servers know of it.

    Args:
        connection: Of the transaction.
        actor: Who does it.
        row: As it is from now on.
        action: As :mod:`registry.catalog.events` lists it.
        now: The time.
        before: As it was; ``None``: there was none.
        why: What has ended it, if nobody has.
    """
    detail: dict[str, Any] = {"waiver": row.id, "policy": row.policy, "spec": row.spec}
    if why:
        detail["why"] = why
    was = _terms(before) if before is not None else {}
    await add_event(
        connection,
        actor,
        now,
        action,
        namespace=row.namespace,
        environment=row.environment,
        number=row.number,
        detail=detail | changes(was, _terms(row)),
    )
    return await add_change(connection, "waiver", str(row.id), now)


def _terms(row: Row[Any]) -> dict[str, Any]:
    """Return what can be changed of a waiver, for events."""
    ends = row.expires_at
    return {
        "state": row.state,
        "scope": row.scope,
        "spec": row.spec,
        "manager": row.manager,
        "reason": row.reason,
        "decision": row.decision,
        "expires_at": ends.isoformat() if ends is not None else None,
    }
