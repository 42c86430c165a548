"""What somebody asks a waiver for: read from what was refused, or as they say it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.errors import Refusal
from builder.rules.model import Manager
from registry.catalog.lookup import environment_row, version_row
from registry.catalog.records import Actor, WaiverRecord
from registry.catalog.waiver_rows import (
    refusal_of,
    tell_of_waiver,
    waiver_of,
    waiver_row,
    waivers,
)
from registry.catalog.waiver_specs import canonical_spec
from registry.database import tables
from registry.errors import NothingRefused, TooManyWaivers, WaiverInvalid
from registry.policy.policy import Policy

#: How many waivers of one person wait at most.
MAX_WAITING: Final = 50
#: How many are asked for at once: by a lock that has so many packages which are refused.
MAX_AT_ONCE: Final = 20
_MAX_POLICY: Final = 200

#: Returns which policies hold in a namespace, or with ``None`` for builds without a name.
PoliciesOf = Callable[[str | None], Sequence[Policy]]


@dataclass(frozen=True, slots=True)
class WaiverRequest:
    """What somebody asks for."""

    reason: str
    #: Namespace and environment; ``None``: for everybody, as images by names of packages are.
    place: tuple[str, str] | None = None
    #: Which version was refused; ``None``: the newest one that was.
    version: int | None = None
    #: What is asked for; empty: what that version's refusal says.
    policy: str = ""
    spec: str = ""
    manager: Manager = "conda"


async def ask_for(
    connection: AsyncConnection,
    actor: Actor,
    wanted: WaiverRequest,
    policies_of: PoliciesOf,
    now: datetime,
) -> Sequence[tuple[WaiverRecord, bool]]:
    """Return the waivers for what somebody asks, and whether each is a new one.

    Args:
        connection: Of the transaction.
        actor: Who asks; they have logged in.
        wanted: For what.
        policies_of: Which policies hold where.
        now: The time.

    Raises:
        CatalogError: As :meth:`registry.catalog.waivers.Waivers.request`.
    """
    place = refused = None
    if wanted.place is not None:
        place = await environment_row(connection, *wanted.place)
        refused = await _refused_version(connection, place, wanted)
    refusal = _refusal(wanted, refused, policies_of)
    found = []
    for spec in refusal.packages[:MAX_AT_ONCE]:
        values = {
            "namespace_id": place.namespace_id if place is not None else None,
            "environment_id": place.id if place is not None else None,
            "version_id": refused.id if refused is not None else None,
            "scope": "environment" if place is not None else "everything",
            "policy": refusal.policy,
            "kind": refusal.kind,
            "manager": refusal.manager,
            "spec": spec,
        }
        found.append(await _asked(connection, actor, values, wanted.reason, now))
    return found


def _refusal(wanted: WaiverRequest, refused: Row[Any] | None, policies_of: PoliciesOf) -> Refusal:
    """Return what is asked for, checked.

    Raises:
        NothingRefused: Nothing was said of it, and the version says nothing.
        WaiverInvalid: There is no such policy there, or no such package.
    """
    kept = refusal_of(refused.told) if refused is not None else None
    if not wanted.policy:
        if kept is None:
            raise NothingRefused(
                "no policy has refused a package there: name the policy and the package,"
                " such as 'numpy ==2.3.1'"
            )
        if not kept.packages:
            raise NothingRefused(
                f"policy '{kept.policy}' has refused no package, and a waiver is for a package:"
                f" {_whom_to_ask(kept)}"
            )
        asked = kept
    else:
        is_same = kept is not None and kept.policy == wanted.policy
        kind = kept.kind if kept is not None and is_same else ""
        asked = Refusal(wanted.policy, kind, manager=wanted.manager, packages=(wanted.spec,))
    namespace = wanted.place[0] if wanted.place is not None else None
    if asked.policy not in {policy.name for policy in policies_of(namespace)}:
        where = f"in '{namespace}'" if namespace else "for images that are in no namespace"
        raise WaiverInvalid(f"there is no policy '{asked.policy[:_MAX_POLICY]}' that holds {where}")
    specs = tuple(canonical_spec(one, asked.manager) for one in asked.packages)
    return Refusal(
        asked.policy, asked.kind, asked.contact, asked.manager, tuple(dict.fromkeys(specs))
    )


async def _refused_version(
    connection: AsyncConnection, place: Row[Any], wanted: WaiverRequest
) -> Row[Any] | None:
    """Return the version that a waiver is asked for; ``None``: none was refused.

    Raises:
        VersionUnknown: The one that is named is not there.
        NothingRefused: It did not fail.
    """
    table = tables.version
    if wanted.version is None:
        statement = (
            select(table)
            .where(table.c.environment_id == place.id, table.c.state == "failed")
            .order_by(table.c.number.desc())
            .limit(1)
        )
        row = (await connection.execute(statement)).first()
    else:
        row = await version_row(connection, place, wanted.version)
        if row.state != "failed":
            raise NothingRefused(
                f"version {row.number} of '{place.path}' is {row.state}: a waiver is asked for what"
                " was refused"
            )
    if row is None or refusal_of(row.told) is None:
        return None
    refusal = refusal_of(row.told)
    is_of_it = not wanted.policy or (refusal is not None and refusal.policy == wanted.policy)
    return row if is_of_it else None


async def _asked(
    connection: AsyncConnection, actor: Actor, values: dict[str, Any], reason: str, now: datetime
) -> tuple[WaiverRecord, bool]:
    """Return the waiver of these values, and whether it is a new one."""
    table = tables.waiver
    assert actor.name is not None
    names = ("policy", "manager", "spec")
    same = [table.c[name] == values[name] for name in names]
    if values["environment_id"] is None:  # what others ask for who may build nothing is theirs
        same += [table.c.environment_id.is_(None), table.c.requested_by == actor.name]
    else:  # one of the namespace where the environment was before holds no more
        same += [table.c[name] == values[name] for name in ("environment_id", "namespace_id")]
    holds = (table.c.state == "granted") & or_(
        table.c.expires_at.is_(None), table.c.expires_at > now
    )
    known = waivers().where(*same, or_(table.c.state == "waiting", holds)).limit(1)
    row = (await connection.execute(known.order_by(table.c.id.desc()))).first()
    if row is not None:
        if row.state == "waiting" and values["version_id"] not in {None, row.version_id}:
            # What was refused last is what goes on.
            newer = update(table).where(table.c.id == row.id)
            await connection.execute(newer.values(version_id=values["version_id"]))
            row = await waiver_row(connection, row.id)
        return waiver_of(row), False
    mine = (table.c.requested_by == actor.name) & (table.c.state == "waiting")
    waiting = select(func.count()).select_from(table).where(mine)
    if (await connection.execute(waiting)).scalar_one() >= MAX_WAITING:
        raise TooManyWaivers(actor.name, MAX_WAITING)
    statement = insert(table).values(
        **values, state="waiting", reason=reason, requested_by=actor.name, requested_at=now
    )
    number = (await connection.execute(statement.returning(table.c.id))).scalar_one()
    row = await waiver_row(connection, number)
    await tell_of_waiver(connection, actor, row, "waiver.requested", now)
    return waiver_of(row), True


def _whom_to_ask(refusal: Refusal) -> str:
    return f"ask {refusal.contact}" if refusal.contact else "ask an administrator"
