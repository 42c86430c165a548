"""Proposals: versions that are built, and wait for somebody, or for a test, to activate them.

::

    open ─→ activated     by somebody, or by the service when the test passes
      ├───→ rejected      by somebody
      └───→ replaced      by the next one, or by a newer version that was activated

    test:  none    waiting ─→ running ─→ passed
                      ↑          ├─────→ failed
                      └──────────┘          its server was lost
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, and_, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.blocks import require_clear
from registry.catalog.journal import publish
from registry.catalog.lookup import MAX_NUMBER, MAX_PAGE, checked_text, page_of, searchable
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.proposal_records import (
    ClaimedTest,
    Proposal,
    ProposalState,
    ProposalTest,
    Verdict,
)
from registry.catalog.proposing import reject, tell
from registry.catalog.records import SERVICE, Actor, Page, Visibility
from registry.catalog.visibility import sees_environment
from registry.database import Database, tables
from registry.errors import NoTestCommand, ProposalDecided, ProposalUnknown

#: So many characters of what a test wrote are kept, and of its sentence.
MAX_OUTPUT: Final = 65_536
_MAX_MESSAGE: Final = 1000
#: For so long after it was begun first, a test whose server was lost is begun again.
_LOST: Final = timedelta(hours=1)

#: Returns why nobody may have a build; ``None``: it may be had.
BlockedSentence = Callable[[str], Awaitable[str | None]]


async def blocked_nowhere(_key: str, /) -> str | None:
    """Return nothing: for where it is not known which builds are blocked."""


class Proposals:
    """Lists proposals, decides them, and hands their tests out; who may is decided by the caller.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
        blocked: Says of which builds nobody may have them.
    """

    def __init__(
        self,
        database: Database,
        settled: Settled = settled_nowhere,
        blocked: BlockedSentence = blocked_nowhere,
    ) -> None:
        self._database = database
        self._settled = settled
        self._blocked = blocked
        #: The namespace whose test this server has taken last: the next one is of another.
        self._tested = 0

    async def list(
        self,
        *,
        visible: Visibility,
        namespace: str | None = None,
        environment: str | None = None,
        state: ProposalState | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page[Proposal]:
        """Return proposals that are seen, the newest first.

        Args:
            visible: What whoever asks may see.
            namespace: Of one namespace alone, by its slug.
            environment: Of environments with that slug alone.
            state: Only those in it.
            before: The number with which the page before ended.
            limit: The most to return.
        """
        limit = max(1, min(limit, MAX_PAGE))
        table, place = tables.proposal, tables.environment
        statement = _proposals().where(sees_environment(visible, place.c.path))
        if namespace is not None:
            statement = statement.where(tables.namespace.c.slug == searchable(namespace))
        if environment is not None:
            statement = statement.where(place.c.slug == searchable(environment))
        if state is not None:
            statement = statement.where(table.c.state == state)
        if before is not None:
            statement = statement.where(table.c.id < min(before, MAX_NUMBER))
        page = statement.order_by(table.c.id.desc()).limit(limit + 1)
        async with self._database.reading() as connection:
            rows = (await connection.execute(page)).all()
        return page_of(rows, _proposal, limit)

    async def get(self, number: int) -> Proposal:
        """Return a proposal.

        Raises:
            ProposalUnknown: There is none of that number, or its environment is deleted.
        """
        async with self._database.reading() as connection:
            return _proposal(await _row(connection, number))

    async def open_of(self, environments: Collection[int]) -> Mapping[int, int]:
        """Return the numbers of the open proposals of environments, by theirs."""
        if not environments:
            return {}
        table = tables.proposal
        statement = select(table.c.environment_id, table.c.id).where(
            table.c.environment_id.in_(sorted(environments)), table.c.state == "open"
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.environment_id: row.id for row in rows}

    async def activate(self, actor: Actor, number: int, *, reason: str = "") -> Proposal:
        """Return a proposal whose version is the active one from now on, on every server.

        One that was activated before, and is still the active one, stays as it is.

        Args:
            actor: Who decides.
            number: Which.
            reason: What they say of it.

        Raises:
            ProposalUnknown: There is none of that number.
            ProposalDecided: It is not open any more.
            BuildBlocked: Nobody may have its build.
        """
        checked_text("reason", reason)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _row(connection, number)
            if row.state == "activated" and row.active_version == row.number:
                return _proposal(row)
            _require_open(row)
            await require_clear(connection, row.key)
            change = await _activate(connection, actor, row, now, reason)
            row = await _row(connection, number)
        await self._settled(change)
        return _proposal(row)

    async def reject(self, actor: Actor, number: int, *, reason: str) -> Proposal:
        """Return a proposal that is rejected; its version stays, and can be activated as any.

        What comes out the same is not proposed again by a schedule, until something has changed.

        Raises:
            ProposalUnknown: There is none of that number.
            ProposalDecided: It is not open any more.
        """
        checked_text("reason", reason)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _row(connection, number)
            if row.state == "rejected":
                return _proposal(row)
            _require_open(row)
            place = await _place(connection, row.environment_id)
            await reject(connection, actor, place, row, now, reason)
            return _proposal(await _row(connection, number))

    async def test_again(self, actor: Actor, number: int) -> Proposal:
        """Return a proposal whose test is run again, with the command that its environment has now.

        One that waits for its test, or whose test runs, stays as it is.

        Args:
            actor: Who wants it.
            number: Which.

        Raises:
            ProposalUnknown: There is none of that number.
            ProposalDecided: It is not open any more.
            NoTestCommand: The environment names no test command.
        """
        table = tables.proposal
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _row(connection, number)
            _require_open(row)
            if not row.command:
                raise NoTestCommand(
                    f"'{row.path}' has no test command: set one, as in 'pullforge env set"
                    f" {row.path} --test \"python -c 'import numpy'\"'"
                )
            is_under_way = row.test_state in {"waiting", "running"}
            if is_under_way and row.command == row.test_command:
                return _proposal(row)
            await connection.execute(
                update(table)
                .where(table.c.id == number)
                .values(
                    test_command=row.command,
                    test_state="waiting",
                    test_message="",
                    test_output="",
                    tested_at=None,
                    test_ms=None,
                    claimed_by=None,
                    claimed_until=None,
                )
            )
            place = await _place(connection, row.environment_id)
            detail = {"proposal": number, "before": {"test": row.test_state}}
            await tell(connection, actor, place, row.number, "proposal.test_asked", now, detail)
            return _proposal(await _row(connection, number))

    async def claim_test(self, by: str, lease_seconds: float) -> ClaimedTest | None:
        """Return a test that nobody runs; ``None``: there is none now.

        It is the caller's until the lease ends; :meth:`keep_test` makes it longer. A test whose
        server was lost again and again fails after an hour. Namespaces take turns.

        Args:
            by: Whose it is from now on: another name for each claim.
            lease_seconds: For how long.
        """
        table = tables.proposal
        is_free = or_(
            table.c.test_state == "waiting",
            and_(table.c.test_state == "running", table.c.claimed_until < self._database.clock()),
        )
        whose = tables.environment.c.namespace_id
        statement = (
            _proposals()
            .where(table.c.state == "open", is_free)
            .order_by(case((whose > self._tested, 0), else_=1), whose, table.c.id)
            .limit(1)
        )
        async with self._database.reading() as connection:
            if (await connection.execute(statement)).first() is None:
                return None
        async with self._database.writing() as connection:
            now = self._database.now()
            row = (await connection.execute(statement)).first()
            if row is None:
                return None
            if row.tested_at is not None and row.tested_at < now - _LOST:
                lost = Verdict(has_passed=False, message="the servers that ran the test were lost")
                await _note(connection, row, lost, now)
                return None
            await connection.execute(
                update(table)
                .where(table.c.id == row.id)
                .values(
                    test_state="running",
                    # Of one that was begun before: it counts from then.
                    tested_at=row.tested_at or now,
                    claimed_by=by,
                    claimed_until=self._database.clock_after(lease_seconds),
                )
            )
            self._tested = row.namespace_id
            return ClaimedTest(
                row.id, by, row.namespace, row.environment, row.number, row.key, row.test_command
            )

    async def keep_test(self, test: ClaimedTest, lease_seconds: float) -> bool:
        """Keep a test for longer; tell whether it is still wanted, and the caller's."""
        table = tables.proposal
        async with self._database.writing(is_ordered=False) as connection:
            kept = await connection.execute(
                update(table)
                .where(_is_claimed(test))
                .values(claimed_until=self._database.clock_after(lease_seconds))
                .returning(table.c.id)
            )
            return kept.first() is not None

    async def release_test(self, test: ClaimedTest) -> None:
        """Give a test back that was not run to its end: another server may run it at once."""
        table = tables.proposal
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                update(table)
                .where(_is_claimed(test))
                .values(test_state="waiting", tested_at=None, claimed_by=None, claimed_until=None)
            )

    async def note_test(self, test: ClaimedTest, outcome: Verdict) -> Proposal | None:
        """Write down what came of a test; an automatic proposal that passes is activated at once.

        It is not activated if somebody has chosen an active version since it was asked for, if its
        build is blocked, or breaks a policy by now that forbids it: then it waits for people.

        Args:
            test: As it was claimed.
            outcome: What came of it.

        Returns:
            The proposal as it is from now on; ``None``: the test is wanted no more, or another
            server's by now.
        """
        blocked = await self._blocked(test.key) if outcome.has_passed else None
        change = 0
        async with self._database.writing() as connection:
            now = self._database.now()
            statement = _proposals().where(_is_claimed(test))
            row = (await connection.execute(statement)).first()
            if row is None:
                return None
            await _note(connection, row, outcome, now)
            if outcome.has_passed and blocked is None and await _may_be_active(connection, row):
                reason = "its test passed"
                change = await _activate(connection, SERVICE, row, now, reason)
            row = await _row(connection, row.id)
        if change:
            await self._settled(change)
        return _proposal(row)


def _proposals() -> Select[Any]:
    """Return what finds proposals of environments that are there, with all that records have."""
    table, version, place = tables.proposal, tables.version, tables.environment
    return (
        select(
            table,
            version.c.key,
            version.c.reason,
            version.c.note,
            version.c.requested_by,
            place.c.path,
            place.c.namespace_id,
            place.c.slug.label("environment"),
            place.c.active_version,
            place.c.settled_version,
            place.c.test_command.label("command"),
            tables.namespace.c.slug.label("namespace"),
        )
        .join(
            version,
            and_(
                version.c.environment_id == table.c.environment_id,
                version.c.number == table.c.number,
            ),
        )
        .join(place, and_(place.c.id == table.c.environment_id, place.c.deleted_at.is_(None)))
        .join(tables.namespace, tables.namespace.c.id == place.c.namespace_id)
    )


async def _row(connection: AsyncConnection, number: int) -> Row[Any]:
    """Return the row of a proposal.

    Raises:
        ProposalUnknown: There is none.
    """
    if not 0 < number <= MAX_NUMBER:
        raise ProposalUnknown(number)
    statement = _proposals().where(tables.proposal.c.id == number)
    row = (await connection.execute(statement)).first()
    if row is None:
        raise ProposalUnknown(number)
    return row


async def _place(connection: AsyncConnection, environment: int) -> Row[Any]:
    table = tables.environment
    statement = select(table).where(table.c.id == environment)
    return (await connection.execute(statement)).one()


def _is_claimed(test: ClaimedTest) -> Any:
    table = tables.proposal
    return and_(
        table.c.id == test.proposal,
        table.c.state == "open",
        table.c.test_state == "running",
        table.c.claimed_by == test.by,
    )


def _require_open(row: Row[Any]) -> None:
    """Return if a proposal can be decided.

    Raises:
        ProposalDecided: It is not open any more.
    """
    if row.state != "open":
        why = f" ({row.decision})" if row.state == "replaced" and row.decision else ""
        raise ProposalDecided(
            f"proposal {row.id} is {row.state}{why}: activate version {row.number} of"
            f" '{row.path}' itself if you want it"
        )


async def _may_be_active(connection: AsyncConnection, row: Row[Any]) -> bool:
    """Tell whether a proposal whose test passed becomes active unasked."""
    if not row.is_automatic or row.number <= max(row.settled_version, row.active_version or 0):
        return False
    table, finding = tables.block, tables.finding
    is_blocked = select(table.c.key).where(table.c.key == row.key)
    breaks = (
        select(finding.c.id)
        .where(
            finding.c.environment_id == row.environment_id,
            finding.c.key == row.key,
            finding.c.mode == "enforce",
        )
        .limit(1)
    )
    for statement in (is_blocked, breaks):
        if (await connection.execute(statement)).first() is not None:
            return False
    return True


async def _activate(
    connection: AsyncConnection, actor: Actor, row: Row[Any], now: datetime, reason: str
) -> int:
    place = await _place(connection, row.environment_id)
    await make_active(connection, actor, place, row.number, row.key, now, reason=reason)
    return await publish(connection, [row.path], now)


async def _note(
    connection: AsyncConnection, row: Row[Any], outcome: Verdict, now: datetime
) -> None:
    table = tables.proposal
    state = "passed" if outcome.has_passed else "failed"
    message = searchable(outcome.message)[:_MAX_MESSAGE]
    await connection.execute(
        update(table)
        .where(table.c.id == row.id)
        .values(
            test_state=state,
            test_message=message,
            test_output=searchable(outcome.output)[-MAX_OUTPUT:],
            tested_at=now,
            test_ms=max(0, outcome.duration_ms),
            claimed_by=None,
            claimed_until=None,
        )
    )
    place = await _place(connection, row.environment_id)
    detail = {"proposal": row.id, "test": state, "message": message}
    await tell(connection, SERVICE, place, row.number, "proposal.tested", now, detail)


def _proposal(row: Row[Any]) -> Proposal:
    return Proposal(
        row.id,
        row.environment_id,
        row.namespace,
        row.environment,
        row.number,
        row.key,
        row.active_version if row.state == "open" else row.base_number,
        row.state,
        bool(row.is_automatic),
        row.number <= max(row.settled_version, row.active_version or 0),
        row.reason,
        row.note,
        row.requested_by,
        row.created_at,
        row.decided_by,
        row.decided_at,
        row.decision,
        ProposalTest(
            row.test_command,
            row.test_state,
            row.test_message,
            row.test_output,
            row.tested_at,
            row.test_ms,
        ),
    )
