"""Opening proposals and closing them, in the transactions of what happens to their environments.

A schedule proposes the same build again and again until something is done about it. So what it
comes to is held against what people have said: what is proposed already stays what it is, with its
test; what they have rejected, or gone back from, is not offered to them again, until the active
build is another, an advisory is found against it, or the test of the environment is another.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_event
from registry.catalog.proposal_records import ProposalState
from registry.catalog.records import SERVICE, Actor
from registry.database import tables


@dataclass(frozen=True, slots=True)
class Weighed:
    """What people have said of a build that was made unasked."""

    #: Why it is not offered to them; empty: it may be.
    declined: str = ""
    #: Whether they have declined it, and something has changed since: it is for them to decide.
    is_for_people: bool = False


async def weigh(
    connection: AsyncConnection, environment: Row[Any], version: Row[Any], key: str
) -> Weighed:
    """Return what people have said of the build that a version came to.

    What somebody has asked for themselves they want, whatever was said before.

    Args:
        connection: Of the transaction.
        environment: The row of its environment.
        version: The row of the version that is being finished.
        key: The build that it came to.
    """
    if version.reason != "schedule":
        return Weighed()
    waiting = await open_proposal(connection, environment.id)
    if (
        waiting is not None
        and version.propose
        and waiting.key == key
        and waiting.specification_id == version.specification_id
    ):
        return Weighed(
            f"nothing has changed: it is the same as version {waiting.number}, which is proposed"
        )
    said = await _rejected(connection, environment, key) or await _left(
        connection, environment, key
    )
    if said is None:
        return Weighed()
    if await _has_new_advisory(connection, environment, said.at):
        return Weighed(is_for_people=True)
    return Weighed(said.sentence)


async def open_one(
    connection: AsyncConnection,
    environment: Row[Any],
    version: Row[Any],
    now: datetime,
    *,
    is_for_people: bool = False,
) -> int:
    """Open a proposal of a version that is built, in place of the one that is open; return its id.

    Args:
        connection: Of the transaction.
        environment: The row of its environment, with the version that is active.
        version: The version's.
        now: The time.
        is_for_people: Whether it is for people to decide, whatever the schedule says.
    """
    await close_open(
        connection,
        SERVICE,
        tables.environment.c.id == environment.id,
        now,
        f"version {version.number} was proposed",
    )
    table = tables.proposal
    is_automatic = not is_for_people and await _is_automatic(connection, version)
    values = {
        "environment_id": environment.id,
        "number": version.number,
        "base_number": environment.active_version,
        "state": "open",
        "is_automatic": int(is_automatic),
        "created_at": now,
        "test_command": environment.test_command,
        "test_state": "waiting" if environment.test_command else "none",
    }
    added = await connection.execute(insert(table).values(**values).returning(table.c.id))
    number = int(added.scalar_one())
    detail = {
        "proposal": number,
        "base": environment.active_version,
        "reason": version.reason,
        "is_automatic": is_automatic,
        "test": values["test_state"],
    }
    await tell(connection, SERVICE, environment, version.number, "proposal.opened", now, detail)
    return number


async def settle(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    number: int,
    now: datetime,
    reason: str = "",
) -> None:
    """Close the open proposal of an environment of which a version becomes the active one.

    One of that version is activated; an older one is replaced; a newer one goes on waiting.

    Args:
        connection: Of the transaction.
        actor: Who activates the version.
        environment: The row of the environment, as it was.
        number: The version's.
        now: The time.
        reason: What they say of it.
    """
    row = await open_proposal(connection, environment.id)
    if row is None or row.number > number:
        return
    is_it = row.number == number
    decision = reason if is_it else f"version {number} was activated"
    await _close(
        connection,
        actor,
        environment,
        row,
        "activated" if is_it else "replaced",
        now,
        decision,
        base=environment.active_version if is_it else row.base_number,
    )


async def reject(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    row: Row[Any],
    now: datetime,
    reason: str,
) -> None:
    """Close a proposal that somebody does not want."""
    base = environment.active_version
    await _close(connection, actor, environment, row, "rejected", now, reason, base=base)


async def close_open(
    connection: AsyncConnection,
    actor: Actor,
    environments: ColumnElement[bool],
    now: datetime,
    why: str,
) -> None:
    """Close every open proposal of the environments of a condition, as replaced.

    Args:
        connection: Of the transaction.
        actor: Whose doing it is.
        environments: On rows of environments.
        now: The time.
        why: One sentence without a full stop.
    """
    table, environment = tables.proposal, tables.environment
    statement = (
        select(table, tables.version.c.key, tables.version.c.specification_id)
        .join(tables.version, _of_version())
        .where(
            table.c.state == "open",
            table.c.environment_id.in_(select(environment.c.id).where(environments)),
        )
        .order_by(table.c.id)
    )
    for row in (await connection.execute(statement)).all():
        found = select(environment).where(environment.c.id == row.environment_id)
        place = (await connection.execute(found)).one()
        await _close(connection, actor, place, row, "replaced", now, why, base=row.base_number)


async def open_proposal(connection: AsyncConnection, environment: int) -> Row[Any] | None:
    """Return the row of the open proposal of an environment, with its key."""
    table = tables.proposal
    statement = (
        select(table, tables.version.c.key, tables.version.c.specification_id)
        .join(tables.version, _of_version())
        .where(table.c.environment_id == environment, table.c.state == "open")
    )
    return (await connection.execute(statement)).first()


async def tell(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    number: int,
    action: str,
    now: datetime,
    detail: dict[str, Any],
) -> None:
    """Write down what happens to a proposal, and have servers look."""
    namespace, _, slug = environment.path.partition("/")
    await add_event(
        connection,
        actor,
        now,
        action,
        namespace=namespace,
        environment=slug,
        number=number,
        detail=detail,
        namespace_id=environment.namespace_id,
        environment_id=environment.id,
    )
    await add_change(connection, "event", environment.path, now)


async def _close(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    row: Row[Any],
    state: ProposalState,
    now: datetime,
    decision: str,
    *,
    base: int | None,
) -> None:
    table = tables.proposal
    # A test that was not run, or is, is wanted no more.
    is_tested = row.test_state in {"none", "passed", "failed"}
    await connection.execute(
        update(table)
        .where(table.c.id == row.id)
        .values(
            state=state,
            base_number=base,
            decided_by=actor.name,
            decided_at=now,
            decision=decision,
            test_state=row.test_state if is_tested else "none",
            claimed_by=None,
            claimed_until=None,
        )
    )
    detail = {"proposal": row.id, "base": base, "decision": decision, "test": row.test_state}
    await tell(connection, actor, environment, row.number, f"proposal.{state}", now, detail)


@dataclass(frozen=True, slots=True)
class _Said:
    """That people do not want a build, and when they said so."""

    at: datetime
    sentence: str


async def _rejected(connection: AsyncConnection, environment: Row[Any], key: str) -> _Said | None:
    """Return that a build was rejected; ``None``: it was not, or not in place of what is active."""
    table, version = tables.proposal, tables.version
    base = version.alias("base")
    statement = (
        select(table, base.c.key.label("base_key"))
        .join(version, _of_version())
        .outerjoin(
            base,
            and_(
                base.c.environment_id == table.c.environment_id,
                base.c.number == table.c.base_number,
            ),
        )
        .where(
            table.c.environment_id == environment.id,
            table.c.state == "rejected",
            version.c.key == key,
        )
        .order_by(table.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(statement)).first()
    if row is None or row.base_key != environment.active_key:
        return None
    if row.test_command != environment.test_command:
        return None
    by = f" by {row.decided_by}" if row.decided_by is not None else ""
    return _Said(
        row.decided_at,
        f"it is not offered again: version {row.number}, which is the same, was rejected{by};"
        " activate that one if you want it by now",
    )


async def _left(connection: AsyncConnection, environment: Row[Any], key: str) -> _Said | None:
    """Return that somebody went back from a build to the one that is active; ``None``: nobody."""
    version, table, activation = tables.version, tables.proposal, tables.activation
    was_activated = (
        select(table.c.id)
        .where(
            table.c.environment_id == version.c.environment_id,
            table.c.number == version.c.number,
            table.c.state == "activated",
        )
        .exists()
    )
    statement = (
        select(version.c.number)
        .where(
            version.c.environment_id == environment.id,
            version.c.key == key,
            version.c.state == "built",
            version.c.number > (environment.active_version or 0),
            version.c.number <= environment.settled_version,
            or_(version.c.activate == 1, was_activated),
        )
        .order_by(version.c.number.desc())
        .limit(1)
    )
    number = (await connection.execute(statement)).scalar()
    if number is None:
        return None
    last = (
        select(activation.c.at)
        .where(activation.c.environment_id == environment.id)
        .order_by(activation.c.id.desc())
        .limit(1)
    )
    at = (await connection.execute(last)).scalar()
    if at is None:
        return None
    return _Said(
        at,
        f"it is not offered again: version {environment.active_version} was chosen in place of"
        f" version {number}, which is the same; activate that one if you want it by now",
    )


async def _has_new_advisory(
    connection: AsyncConnection, environment: Row[Any], since: datetime
) -> bool:
    """Tell whether an advisory was found against the active build after a moment."""
    table = tables.finding
    statement = (
        select(table.c.id)
        .where(
            table.c.environment_id == environment.id,
            table.c.key == environment.active_key,
            table.c.kind == "advisories",
            table.c.found_at > since,
        )
        .limit(1)
    )
    return (await connection.execute(statement)).first() is not None


async def _is_automatic(connection: AsyncConnection, version: Row[Any]) -> bool:
    """Tell whether a version is to be activated when its test passes, as its schedule says."""
    if version.reason != "schedule":
        return False
    table = tables.schedule
    statement = select(table.c.then).where(table.c.environment_id == version.environment_id)
    return (await connection.execute(statement)).scalar() == "test"


def _of_version() -> ColumnElement[bool]:
    """Return what a proposal and its version are joined by."""
    table, version = tables.proposal, tables.version
    return and_(
        version.c.environment_id == table.c.environment_id, version.c.number == table.c.number
    )
