"""Waivers: exceptions from policies, asked for by those who were refused, and decided by IT.

::

    waiting ─→ granted ─→ ended      its time was over, its policy deleted, or somebody ended it
       ├─────→ refused
       └─────→ withdrawn             by whoever asked

A waiver is for one policy and one package, and holds in one place. When it is granted, the version
that was refused is queued again by itself (:mod:`registry.catalog.resuming`). Each state ends in
the next for good, but one that is granted can be granted anew, with another end or place.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.lookup import (
    MAX_NUMBER,
    MAX_PAGE,
    checked_text,
    searchable,
)
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Page, Visibility, WaiverRecord, WaiverScope, WaiverState
from registry.catalog.resuming import resume_refused
from registry.catalog.visibility import sees_environment
from registry.catalog.waiver_requests import PoliciesOf, WaiverRequest, ask_for
from registry.catalog.waiver_rows import (
    tell_of_waiver,
    waiver_of,
    waiver_row,
    waivers,
)
from registry.catalog.waiver_specs import canonical_spec, package_of
from registry.database import Database, tables
from registry.errors import WaiverDecided, WaiverInvalid
from registry.policy.policy import OWN

#: So many pages of what is perhaps not seen are read for one that is.
_MAX_SCANS: Final = 10


class Waivers:
    """Takes requests, lists them, decides them; who may is decided by the caller.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        policies_of: Which policies hold where.
        settled: Waits until all servers know of a change.
        nudge: Has this server look for versions to make.
    """

    def __init__(
        self,
        database: Database,
        policies_of: PoliciesOf,
        settled: Settled = settled_nowhere,
        nudge: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._policies_of = policies_of
        self._settled = settled
        self._nudge = nudge

    async def request(
        self, actor: Actor, wanted: WaiverRequest
    ) -> Sequence[tuple[WaiverRecord, bool]]:
        """Return the waivers that wait for a decision from now on, and whether each is a new one.

        It is one for each package that was refused. What was asked for before, and waits or holds,
        is not asked for again.

        Raises:
            EnvironmentUnknown: There is no such environment.
            VersionUnknown: It has no such version.
            NothingRefused: No policy has refused a package of that version.
            WaiverInvalid: There is no such policy there, or no such package.
            TooManyWaivers: Whoever asks has as many that wait as one may.
        """
        checked_text("reason", wanted.reason)
        async with self._database.writing() as connection:
            return await ask_for(connection, actor, wanted, self._policies_of, self._database.now())

    async def list(
        self,
        sees: Callable[[WaiverRecord], bool],
        *,
        visible: Visibility,
        asker: str | None = None,
        state: WaiverState | None = None,
        namespace: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page[WaiverRecord]:
        """Return waivers that are seen, the newest first; a page may have fewer than there are.

        Args:
            sees: Whether whoever asks sees one.
            visible: A bound of what they may see beside their own: environments.
            asker: Whose own are seen.
            state: Only those in it.
            namespace: The slug of the namespace for which they were asked; ``None``: any, and none.
            before: The number with which the page before ended.
            limit: The most to return.
        """
        table = tables.waiver
        limit = max(1, min(limit, MAX_PAGE))
        statement = waivers().order_by(table.c.id.desc()).limit(limit + 1)
        if not visible.is_everything:
            mine = table.c.requested_by == searchable(asker or "")
            seen = tables.environment.c.id.is_not(None) & sees_environment(
                visible, tables.environment.c.path
            )
            statement = statement.where(or_(mine, seen))
        if state is not None:
            statement = statement.where(table.c.state == state)
        if namespace is not None:
            statement = statement.where(tables.namespace.c.slug == searchable(namespace))
        found: list[WaiverRecord] = []
        last = min(before, MAX_NUMBER) if before is not None else MAX_NUMBER
        for _ in range(_MAX_SCANS):
            async with self._database.reading() as connection:
                page = statement.where(table.c.id < last)
                rows = (await connection.execute(page)).all()
            for row in rows[:limit]:
                if len(found) == limit:
                    return Page(found, str(last))
                last = row.id
                waiver = waiver_of(row)
                found += [waiver] if sees(waiver) else []
            if len(rows) <= limit:
                return Page(found)
            if len(found) == limit:
                break
        return Page(found, str(last))

    async def get(self, number: int) -> WaiverRecord:
        """Return a waiver.

        Raises:
            WaiverUnknown: There is none.
        """
        async with self._database.reading() as connection:
            return waiver_of(await waiver_row(connection, number))

    async def grant(
        self,
        actor: Actor,
        number: int,
        *,
        reason: str = "",
        scope: WaiverScope | None = None,
        spec: str | None = None,
        expires_at: datetime | None = None,
    ) -> WaiverRecord:
        """Return a waiver that holds from now on, on all servers; what was refused is made.

        One that holds already gets this end, place and spec.

        Args:
            actor: Who grants it.
            number: Which.
            reason: What they say of it.
            scope: Where it holds; ``None``: where it was asked for.
            spec: What it lets pass, of the same package; ``None``: as it is.
            expires_at: When it ends; ``None``: never.

        Raises:
            WaiverUnknown: There is none of that number.
            WaiverDecided: It was refused, withdrawn, or has ended.
            WaiverInvalid: It cannot hold there, lets another package pass, or has ended by then.
        """
        checked_text("reason", reason)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await waiver_row(connection, number)
            if row.state not in {"waiting", "granted"}:
                raise WaiverDecided(f"waiver {number} is {row.state}: it has to be asked for anew")
            if expires_at is not None and expires_at <= now:
                raise WaiverInvalid("the waiver would have ended by now: choose a later time")
            changed = {
                "scope": _checked_scope(row, scope or row.scope),
                "spec": row.spec if spec is None else _checked_spec(row, spec),
                "state": "granted",
                "expires_at": expires_at,
                "told_at": None,
                **_decision(actor, reason, now),
            }
            was, row = row, await _changed(connection, number, changed)
            change = await tell_of_waiver(connection, actor, row, "waiver.granted", now, before=was)
            await _go_on(connection, was, now)
        # First all servers: what makes the version has to know what is let pass.
        await self._settled(change)
        self._nudge()
        return waiver_of(row)

    async def refuse(self, actor: Actor, number: int, *, reason: str) -> WaiverRecord:
        """Return a waiver that is refused; one that holds is ended. Builds that exist stay.

        Raises:
            WaiverUnknown: There is none of that number.
            WaiverDecided: It was refused or withdrawn before, or has ended.
        """
        checked_text("reason", reason)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await waiver_row(connection, number)
            if row.state not in {"waiting", "granted"}:
                raise WaiverDecided(f"waiver {number} is {row.state}: nothing of it is left to end")
            state = "refused" if row.state == "waiting" else "ended"
            changed = {"state": state, **_decision(actor, reason, now)}
            was, row = row, await _changed(connection, number, changed)
            action = f"waiver.{state}"
            change = await tell_of_waiver(connection, actor, row, action, now, before=was)
            await _go_on(connection, was, now)
        await self._settled(change)
        self._nudge()
        return waiver_of(row)

    async def withdraw(self, actor: Actor, number: int) -> None:
        """Withdraw a waiver that is not decided yet.

        Raises:
            WaiverUnknown: There is none of that number.
            WaiverDecided: It is decided.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await waiver_row(connection, number)
            if row.state == "withdrawn":
                return
            if row.state != "waiting":
                raise WaiverDecided(
                    f"waiver {number} is {row.state}: what is decided cannot be withdrawn"
                )
            was, row = row, await _changed(connection, number, {"state": "withdrawn"})
            await tell_of_waiver(connection, actor, row, "waiver.withdrawn", now, before=was)
            await _go_on(connection, was, now)
        self._nudge()


async def _changed(connection: AsyncConnection, number: int, values: dict[str, Any]) -> Row[Any]:
    table = tables.waiver
    await connection.execute(update(table).where(table.c.id == number).values(**values))
    return await waiver_row(connection, number)


async def _go_on(connection: AsyncConnection, was: Row[Any], now: datetime) -> None:
    """Have the version made again that waited for a waiver, if nothing of it waits any more."""
    if was.state == "waiting" and was.version_id is not None:
        await resume_refused(connection, was.version_id, was.requested_by, now)


def _decision(actor: Actor, reason: str, now: datetime) -> dict[str, Any]:
    return {"decided_by": actor.name, "decided_at": now, "decision": reason}


def _checked_scope(row: Row[Any], scope: WaiverScope) -> WaiverScope:
    """Return where a waiver is to hold.

    Raises:
        WaiverInvalid: It cannot hold there.
    """
    if scope != "everything" and row.environment_id is None:
        raise WaiverInvalid(
            f"waiver {row.id} was asked for images that are in no namespace: it can hold for"
            " everything alone"
        )
    if scope == "everything" and row.policy == OWN:
        raise WaiverInvalid(
            f"waiver {row.id} is for the own policy of '{row.namespace}', which holds there alone:"
            " choose 'environment' or 'namespace'"
        )
    is_gone = row.namespace is None or (scope == "environment" and row.environment is None)
    if scope != "everything" and is_gone:
        raise WaiverInvalid(
            f"what waiver {row.id} was asked for is deleted or has moved: it can be refused alone"
        )
    return scope


def _checked_spec(row: Row[Any], spec: str) -> str:
    """Return what a waiver is to let pass.

    Raises:
        WaiverInvalid: It is no spec, or of another package.
    """
    found = canonical_spec(spec, row.manager)
    if package_of(found, row.manager) != package_of(row.spec, row.manager):
        raise WaiverInvalid(
            f"waiver {row.id} is for '{package_of(row.spec, row.manager)}': another package needs"
            " another waiver"
        )
    return found
