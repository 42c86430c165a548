"""Schedules over a database: who is due, once, and what is in the way."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from registry.catalog.due_schedules import BATCH, DueSchedules
from registry.catalog.limits import Limits
from registry.catalog.queueing import MAX_OPEN, queue_version
from registry.catalog.records import EVERYTHING, SERVICE, Actor, Visibility
from registry.catalog.runner import _waiting
from registry.catalog.schedule_records import ScheduleRecord, ScheduleWish, Then
from registry.catalog.schedules import Schedules
from registry.catalog.versions import Versions
from registry.database import Database, tables
from registry.errors import (
    CursorInvalid,
    EnvironmentUnknown,
    NothingToSolve,
    QuotaExceeded,
    RevisionConflict,
    ScheduleInvalid,
    ScheduleUnknown,
)
from registry.webhooks.messages import sentence_of
from tests.registry.catalog.house import ADA, BOB, House, key_of

pytestmark = pytest.mark.anyio

PATH = "analytics/forecast"
PLACE = ("analytics", "forecast")
TEXT = b"dependencies: [numpy]"
WEEKLY = ScheduleWish("weekly", "Europe/Berlin")


async def scheduled(
    house: House, path: str = PATH, wish: ScheduleWish = WEEKLY, data: bytes = TEXT
) -> ScheduleRecord:
    """Have an environment with a version that is active, and a schedule."""
    await house.environment(path)
    assert (await house.built(path, data)).state == "built"
    namespace, _, name = path.partition("/")
    return await house.schedules.set(ADA, namespace, name, wish)


async def change(database: Database, **values: Any) -> None:
    """Write something into every schedule."""
    async with database.writing() as connection:
        await connection.execute(update(tables.schedule).values(**values))


async def make_due(house: House, ago: timedelta = timedelta(seconds=1)) -> None:
    """Have every schedule be due since a while."""
    await change(house.database, next_at=house.database.now() - ago)


async def numbers(house: House, path: str = PATH) -> list[int]:
    """Return the numbers of an environment's versions, the newest first."""
    page = await house.versions.list(*path.split("/"))
    return [version.number for version in page.items]


async def told(house: House, path: str = PATH) -> list[str]:
    return [one for one in await house.actions(path) if one.startswith("schedule")]


async def test_a_schedule_is_set_shown_changed_and_deleted(house: House) -> None:
    await house.environment(PATH)
    with pytest.raises(ScheduleUnknown, match="pullforge schedule set analytics/forecast weekly"):
        await house.schedules.get(*PLACE)
    made = await house.schedules.set(ADA, *PLACE, ScheduleWish("@weekly", "europe/berlin"))
    assert (made.cron, made.timezone, made.then, made.revision) == (
        *("weekly", "Europe/Berlin", "propose", 1),
    )
    assert made.in_words.startswith("Mondays at 0")
    assert made.in_words.endswith(", Europe/Berlin")
    assert made.updated_by == "ada"
    now = house.database.now()
    assert made.next_at is not None
    assert now < made.next_at <= now + timedelta(days=8)
    assert made.upcoming[0] == made.next_at
    assert len(made.upcoming) == 3
    assert await house.schedules.get(*PLACE) == made
    # The same again changes nothing.
    assert (await house.schedules.set(BOB, *PLACE, WEEKLY)).revision == 1
    wish = ScheduleWish("30 3 * * *", "UTC", "activate", on_advisories=False, is_paused=True)
    changed = await house.schedules.set(BOB, *PLACE, wish, revision=1)
    assert (changed.revision, changed.next_at, changed.upcoming) == (2, None, ())
    assert (changed.is_paused, changed.on_advisories, changed.updated_by) == (True, False, "bob")
    with pytest.raises(RevisionConflict):
        await house.schedules.set(ADA, *PLACE, WEEKLY, revision=1)
    with pytest.raises(RevisionConflict):
        await house.schedules.delete(ADA, *PLACE, revision=1)
    await house.schedules.delete(ADA, *PLACE, revision=2)
    for work in (house.schedules.get, house.schedules.run, house.schedules.delete):
        with pytest.raises(ScheduleUnknown):
            await (work(*PLACE) if work == house.schedules.get else work(ADA, *PLACE))  # type: ignore[call-arg, arg-type]
    assert await told(house) == ["schedule.set", "schedule.set", "schedule.deleted"]
    with pytest.raises(EnvironmentUnknown):
        await house.schedules.set(ADA, "analytics", "none", WEEKLY)
    for wish in (ScheduleWish("* * * * *"), ScheduleWish("weekly", "Berlin")):
        with pytest.raises(ScheduleInvalid):
            await house.schedules.set(ADA, *PLACE, wish)


async def test_what_is_due_is_solved_anew_and_becomes_what_is_said(house: House) -> None:
    thens: tuple[Then, ...] = ("propose", "test", "activate")
    for then in thens:
        await scheduled(house, f"analytics/{then}", ScheduleWish("weekly", then=then))
    assert await house.due_schedules.carry_out() == 0
    await make_due(house)
    house.requests.keys[TEXT] = key_of(b"newer packages")
    assert await house.due_schedules.carry_out() == 3
    assert await house.due_schedules.carry_out() == 0
    for then in thens:
        path, place = f"analytics/{then}", ("analytics", then)
        version = await house.ended(path, 2)
        assert (version.state, version.reason, version.requested_by) == ("built", "schedule", "ada")
        assert house.requests.asked[-1] == (TEXT, True)
        environment = await house.environments.get(*place)
        assert environment.active == (2 if then == "activate" else 1)
        async with house.database.reading() as connection:
            table = tables.version
            mine = (table.c.environment_id == environment.id) & (table.c.number == 2)
            proposes = await connection.execute(select(table.c.propose).where(mine))
            assert proposes.scalar() == int(then != "activate")
        after = await house.schedules.get(*place)
        assert (after.last_version, after.problem) == (2, "")
        assert after.next_at is not None
        assert after.last_at is not None
        assert after.next_at > house.database.now() >= after.last_at
        assert await told(house, path) == ["schedule.set", "schedule.ran"]


async def test_nothing_new_is_no_new_version(house: House) -> None:
    await scheduled(house, wish=ScheduleWish("weekly", then="activate"))
    await make_due(house)
    await house.due_schedules.carry_out()
    version = await house.ended(PATH, 2)
    assert version.state == "unchanged"
    assert (await house.environments.get(*PLACE)).active == 1


async def test_what_was_missed_for_weeks_is_made_up_for_once(house: House) -> None:
    await scheduled(house, wish=ScheduleWish("*/15 * * * *"))
    await make_due(house, timedelta(days=40))
    assert [await house.due_schedules.carry_out() for _ in range(3)] == [1, 0, 0]
    assert await numbers(house) == [2, 1]
    after = await house.schedules.get(*PLACE)
    assert after.next_at is not None
    assert after.next_at > house.database.now()


async def test_any_number_of_servers_do_each_once(house: House) -> None:
    for number in range(12):
        await house.environment(f"analytics/e{number}")
        await house.schedules.set(ADA, "analytics", f"e{number}", WEEKLY)
    async with house.database.writing() as connection:
        # Active without a build each: a dozen of them would take their time.
        now = house.database.now()
        table, place = tables.version, tables.environment
        ids = (await connection.execute(select(place.c.id))).scalars().all()
        made = insert(tables.specification).values(sha256="0" * 64, data=TEXT, created_at=now)
        key = (await connection.execute(made.returning(tables.specification.c.id))).scalar_one()
        common = {"number": 1, "specification_id": key, "state": "built", "reason": "person"}
        rows = [{**common, "environment_id": one, "created_at": now} for one in ids]
        await connection.execute(insert(table), rows)
        await connection.execute(update(place).values(active_version=1, last_version=1))
    await make_due(house)
    servers = [DueSchedules(house.database, house.wanted_of) for _ in range(4)]

    async def all_of(server: DueSchedules) -> int:
        done = 0
        while found := await server.carry_out():
            assert found <= BATCH
            done += found
        return done

    assert sum(await asyncio.gather(*map(all_of, servers))) == 12
    async with house.database.reading() as connection:
        asked = select(func.count()).where(tables.version.c.reason == "schedule")
        assert (await connection.execute(asked)).scalar() == 12


async def test_what_leaves_nothing_to_solve_is_said(house: House) -> None:
    said = {"lock": "is made of a lock", "list": "is made of a list of exact packages"}
    house.kinds |= {b"lock": "lock", b"list": "list"}
    for kind in said:
        await scheduled(house, f"analytics/{kind}", data=kind.encode())
    await make_due(house)
    assert await house.due_schedules.carry_out() == 2
    for kind, says in said.items():
        after = await house.schedules.get("analytics", kind)
        assert says in after.problem
        assert "send an environment.yml, or delete the schedule" in after.problem
        assert (await numbers(house, f"analytics/{kind}"), after.last_version) == ([1], None)
        with pytest.raises(NothingToSolve, match=says):
            await house.schedules.run(ADA, "analytics", kind)
    # The same week after week is told once.
    await make_due(house)
    await house.due_schedules.carry_out()
    assert await told(house, "analytics/list") == ["schedule.set", "schedule.skipped"]


async def test_what_cannot_be_read_any_more_fails_with_its_sentence(house: House) -> None:
    house.kinds[TEXT] = "unreadable"
    await scheduled(house)
    await make_due(house)
    await house.due_schedules.carry_out()
    assert await numbers(house) == [2, 1]


async def test_what_has_no_version_yet_and_what_is_archived_is_skipped(house: House) -> None:
    await house.environment(PATH)
    await house.schedules.set(ADA, *PLACE, WEEKLY)
    await make_due(house)
    await house.due_schedules.carry_out()
    assert "has no active version yet" in (await house.schedules.get(*PLACE)).problem
    await house.built(PATH, TEXT)
    async with house.database.writing() as connection:
        archived = update(tables.environment).values(archived_at=house.database.now())
        await connection.execute(archived)
    await make_due(house)
    await house.due_schedules.carry_out()
    after = await house.schedules.get(*PLACE)
    assert after.problem == (
        "'analytics/forecast' is archived: unarchive it, or delete its schedule"
    )
    assert await numbers(house) == [1]
    assert [one.path for one in (await problems(house)).items] == [PATH]


async def problems(house: House) -> Any:
    return await house.schedules.list(EVERYTHING, has_problem=True)


async def test_while_a_version_is_under_way_it_is_tried_again_soon(house: House) -> None:
    await scheduled(house)
    held = house.requests.hold(b"other")
    version, _ = await house.versions.ask(ADA, *PLACE, b"other")
    await make_due(house)
    await house.due_schedules.carry_out()
    after = await house.schedules.get(*PLACE)
    assert after.problem.startswith("version 2 of 'analytics/forecast' is under way: it is tried")
    assert after.next_at is not None
    assert after.next_at <= house.database.now() + timedelta(minutes=10)
    with pytest.raises(NothingToSolve, match="version 2 of 'analytics/forecast' is under way"):
        await house.schedules.run(ADA, *PLACE)
    held.set()
    await house.ended(PATH, version.number)
    await make_due(house)
    await house.due_schedules.carry_out()
    after = await house.schedules.get(*PLACE)
    assert (after.problem, after.last_version) == ("", 3)
    assert house.requests.asked[-1][0] == b"other"


async def test_one_that_is_deleted_waits_and_goes_on_when_it_is_restored(house: House) -> None:
    await scheduled(house)
    await house.environments.delete(ADA, *PLACE)
    await make_due(house)
    assert await house.due_schedules.carry_out() == 1
    assert await house.due_schedules.carry_out() == 0, "nobody looks at it again and again"
    assert (await house.schedules.list(EVERYTHING)).items == []
    await house.environments.restore(ADA, *PLACE)
    after = await house.schedules.get(*PLACE)
    assert (after.last_version, after.problem) == (None, "")
    assert await numbers(house) == [1]
    await make_due(house)
    await house.due_schedules.carry_out()
    assert await numbers(house) == [2, 1]


async def test_it_moves_with_its_environment_and_is_not_copied(house: House) -> None:
    await scheduled(house)
    await house.environments.copy(ADA, *PLACE, "analytics", "copied")
    await house.environments.move(ADA, *PLACE, "analytics", "moved")
    assert [one.path for one in (await house.schedules.list(EVERYTHING)).items] == [
        "analytics/moved"
    ]


async def test_whoever_may_have_no_more_builds_is_told_so(house: House) -> None:
    await scheduled(house)
    limits = Limits(builds_a_day=1)
    due = DueSchedules(house.database, house.wanted_of, limits=limits)
    await make_due(house)
    await due.carry_out()
    after = await house.schedules.get(*PLACE)
    assert after.problem.startswith("'analytics' has asked for 1 build today")
    none = Schedules(house.database, house.wanted_of, limits=Limits(builds_a_day=0))
    with pytest.raises(QuotaExceeded):
        await none.run(ADA, *PLACE)
    assert await numbers(house) == [1]


async def test_it_runs_at_once_for_whoever_asks(house: House) -> None:
    before = await scheduled(house, wish=ScheduleWish("weekly", then="activate"))
    version = await house.schedules.run(BOB, *PLACE)
    assert (version.number, version.reason, version.requested_by) == (2, "schedule", "bob")
    after = await house.schedules.get(*PLACE)
    assert (after.next_at, after.last_version) == (before.next_at, 2)
    assert after.last_at is not None


async def found_against(house: House, at: datetime, kind: str = "advisories") -> None:
    """Have a policy find something against the active version."""
    environment = await house.environments.get(*PLACE)
    async with house.database.writing() as connection:
        number = (await connection.execute(select(func.count(tables.finding.c.id)))).scalar_one()
        await connection.execute(
            insert(tables.finding).values(
                environment_id=environment.id,
                key=key_of(TEXT),
                policy="company",
                mode="warn",
                kind=kind,
                name="numpy",
                advisory=f"GHSA-{number}",
                sentence="numpy 1.0 has a hole",
                found_at=at,
            )
        )


async def test_a_new_advisory_has_it_solved_at_once_and_once(house: House) -> None:
    await scheduled(house)
    now = house.database.now()
    await found_against(house, now, "licence")
    await found_against(house, now - timedelta(days=1))
    # By a clock that is a year ahead: it would be new for a year.
    await found_against(house, now + timedelta(days=365))
    assert await house.due_schedules.heed_advisories() == 0
    await found_against(house, house.database.now())
    assert await house.due_schedules.heed_advisories() == 1
    assert await house.due_schedules.carry_out() == 1
    assert await house.due_schedules.heed_advisories() == 0
    await house.ended(PATH, 2)
    for wish in (
        ScheduleWish("weekly", on_advisories=False),
        ScheduleWish("weekly", is_paused=True),
    ):
        await house.schedules.set(ADA, *PLACE, wish)
        await found_against(house, house.database.now())
        assert await house.due_schedules.heed_advisories() == 0
    await house.schedules.set(ADA, *PLACE, WEEKLY)
    assert await house.due_schedules.heed_advisories() == 1
    assert await numbers(house) == [2, 1]


@pytest.fixture
def clock(house: House, database: Database) -> Callable[[datetime], None]:
    """Give what sets the clock of the server; that of the database cannot be set."""

    def set_(now: datetime) -> None:
        database.now = lambda: now

    return set_


async def test_a_clock_that_was_years_ahead_puts_nothing_off(
    house: House, clock: Callable[[datetime], None]
) -> None:
    real = datetime.now(UTC)
    await scheduled(house)
    if house.database.is_shared:
        # Whatever a server's own clock says, the database's counts.
        clock(real + timedelta(days=4000))
        assert await house.due_schedules.carry_out() == 0
        await change(house.database, next_at=real + timedelta(days=4000))
    else:
        clock(real + timedelta(days=4000))
        assert await house.due_schedules.carry_out() == 1
        await house.ended(PATH, 2)
    clock(real)
    late = (await house.schedules.get(*PLACE)).next_at
    assert late is not None
    assert late > real + timedelta(days=3000)
    assert await house.due_schedules.put_right() == 1
    after = await house.schedules.get(*PLACE)
    assert after.next_at is not None
    assert after.next_at < real + timedelta(days=8)
    assert after.last_at is None or after.last_at <= datetime.now(UTC)
    assert await house.due_schedules.put_right() == 0


async def test_a_clock_that_was_behind_makes_nothing_due_twice(
    house: House, clock: Callable[[datetime], None]
) -> None:
    real = datetime.now(UTC)
    await scheduled(house)
    await make_due(house)
    await house.due_schedules.carry_out()
    await house.ended(PATH, 2)
    for day in range(1, 30):
        clock(real - timedelta(days=day))
        assert await house.due_schedules.carry_out() == 0
    assert await numbers(house) == [2, 1]


async def test_what_soon_is_tried_again_is_not_put_off_to_the_next_time(house: House) -> None:
    await scheduled(house)
    soon = house.database.now() + timedelta(minutes=5)
    await change(house.database, next_at=soon)
    assert await house.due_schedules.put_right() == 0


async def test_a_zone_that_this_server_does_not_know_stops_nothing_else(house: House) -> None:
    await scheduled(house)
    await change(house.database, timezone="Europe/Atlantis")
    await scheduled(house, "analytics/other")
    await make_due(house)
    assert await house.due_schedules.carry_out() == 2
    after = await house.schedules.get(*PLACE)
    assert "'Europe/Atlantis' is not known to this server" in after.problem
    assert len(after.upcoming) == 1
    assert await numbers(house, "analytics/other") == [2, 1]
    assert await house.due_schedules.put_right() == 0


async def test_lists_have_what_one_may_see_page_by_page(house: House) -> None:
    for path in ("analytics/a", "analytics/b", "sales/c", "sales2/d"):
        await house.environment(path)
        await house.schedules.set(ADA, *path.split("/"), WEEKLY)  # type: ignore[call-arg, arg-type]
    first = await house.schedules.list(EVERYTHING, limit=3)
    assert [one.path for one in first.items] == ["analytics/a", "analytics/b", "sales/c"]
    rest = await house.schedules.list(EVERYTHING, limit=3, after=first.next)
    assert ([one.path for one in rest.items], rest.next) == (["sales2/d"], None)
    of_one = await house.schedules.list(EVERYTHING, namespace="sales")
    assert [one.path for one in of_one.items] == ["sales/c"]
    for odd in ("", "a/b", "%", "A"):
        assert (await house.schedules.list(EVERYTHING, namespace=odd)).items == []
    some = Visibility((("sales*", "*"), ("analytics", "b")))
    seen = await house.schedules.list(some)
    assert [one.path for one in seen.items] == ["analytics/b", "sales/c", "sales2/d"]
    assert (await house.schedules.list(Visibility())).items == []
    with pytest.raises(CursorInvalid):
        await house.schedules.list(EVERYTHING, after="%%%")


async def test_whoever_set_it_decides_what_it_may_pull(house: House) -> None:
    """Who has left may pull nothing: the version fails, and says so."""
    await scheduled(house)
    robot = Actor("robot")
    await house.schedules.set(robot, *PLACE, ScheduleWish("daily"))
    await make_due(house)
    await house.due_schedules.carry_out()
    assert (await house.versions.get(*PLACE, 2)).requested_by == "robot"


async def test_thousands_are_found_by_an_index(house: House) -> None:
    now = house.database.now()
    space = (await house.namespaces.create(ADA, "many", owner="ada")).id
    async with house.database.writing() as connection:
        common = {"namespace_id": space, "created_at": now, "updated_at": now}
        rows = [
            {**common, "name": f"e{n}", "slug": f"e{n}", "path": f"many/e{n}"} for n in range(3000)
        ]
        await connection.execute(insert(tables.environment), rows)
        ids = (await connection.execute(select(tables.environment.c.id))).scalars().all()
        common = {"cron": "0 0 1 1 *", "timezone": "UTC", "then": "propose", "problem": ""}
        common |= {"created_at": now, "updated_at": now}
        soon = now + timedelta(minutes=5)
        late = [{**common, "environment_id": one, "next_at": soon} for one in ids]
        for one in late[:12]:
            one["next_at"] = now - timedelta(1)
        await connection.execute(insert(tables.schedule), late)
        is_sqlite = not house.database.is_shared
        if not is_sqlite:
            await connection.execute(text("ANALYZE"))
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        due = "SELECT environment_id FROM schedule WHERE next_at <= CURRENT_TIMESTAMP"
        due += " ORDER BY next_at, environment_id LIMIT 20"
        plan = (await connection.execute(text(f"{explain} {due}"))).all()
        assert "ix_schedule_next_at" in str(plan), plan
    assert await house.due_schedules.carry_out() == BATCH
    assert await house.due_schedules.carry_out() == BATCH
    assert await house.due_schedules.carry_out() == 12 - 2 * BATCH
    assert await house.due_schedules.carry_out() == 0
    assert await house.due_schedules.put_right() == 0
    assert await house.due_schedules.heed_advisories() == 0


async def test_nobody_waits_for_what_schedules_ask_in_their_name(house: House) -> None:
    """Neither at the queue nor for having too many under way."""
    await scheduled(house)
    for number in range(4):
        await house.environments.copy(ADA, *PLACE, "analytics", f"e{number}")
        await house.schedules.set(ADA, "analytics", f"e{number}", WEEKLY)
    await make_due(house)
    assert await house.due_schedules.carry_out() == 5
    mine, _ = await house.versions.ask(ADA, *PLACE, b"mine")
    order = [row.requested_by for row in await claimed(house)]
    assert order == ["ada"] * 6
    first = [row.reason for row in await claimed(house)][:2]
    assert sorted(first) == ["person", "schedule"]
    async with house.database.writing() as connection:
        place = select(tables.environment).where(tables.environment.c.path == PATH)
        row = (await connection.execute(place)).one()
        for _ in range(MAX_OPEN):
            await queue_version(
                connection, SERVICE, row, TEXT, row.created_at, reason="schedule", for_whom="ada"
            )
            row = (await connection.execute(place)).one()
    version, is_new = await house.versions.ask(ADA, *PLACE, b"more")
    assert (is_new, version.number) == (True, mine.number + MAX_OPEN + 1)


async def claimed(house: House) -> Any:
    """Return what is made next, in order."""
    version = tables.version
    async with house.database.reading() as connection:
        waiting = _waiting(house.database.clock(), Limits(), 10)
        ids = [row.id for row in (await connection.execute(waiting)).all()]
        rows = (await connection.execute(select(version).where(version.c.id.in_(ids)))).all()
    return sorted(rows, key=lambda row: ids.index(row.id))


async def test_versions_can_be_asked_for_beside(house: House) -> None:
    """What people ask for is another matter, and quotas count both."""
    await scheduled(house)
    limited = Versions(house.database, limits=Limits(builds_a_day=2))
    await make_due(house)
    await house.due_schedules.carry_out()
    await house.ended(PATH, 2)
    with pytest.raises(Exception, match="has asked for 2 builds today"):
        await limited.ask(ADA, *PLACE, b"more")


async def test_what_happens_to_schedules_is_told_in_sentences(house: House) -> None:
    await scheduled(house, wish=ScheduleWish("30 3 * * MON", "UTC", "test"))
    await house.schedules.set(ADA, *PLACE, ScheduleWish("daily", "UTC", "test", is_paused=True))
    await house.schedules.set(ADA, *PLACE, ScheduleWish("daily", "UTC", "test"))
    await make_due(house)
    await house.due_schedules.carry_out()
    await make_due(house)
    await house.due_schedules.carry_out()
    await house.schedules.delete(ADA, *PLACE)
    events = await house.events.list(visible=EVERYTHING, limit=100)
    said = [sentence_of(one) for one in events if one.action.startswith("schedule")]
    assert said == [
        f"ada set the schedule of {PATH}: 30 3 * * MON, UTC, test",
        f"ada set the schedule of {PATH}: daily, paused",
        f"ada set the schedule of {PATH}: resumed",
        f"{PATH} v2 is solved anew by its schedule",
        said[-2],
        f"ada deleted the schedule of {PATH}",
    ]
    assert said[-2].startswith(f"{PATH} was not solved anew: version 2 of '{PATH}' is under way:")


async def test_what_a_file_defines_is_solved_anew_too(house: House) -> None:
    await scheduled(house)
    async with house.database.writing() as connection:
        await connection.execute(update(tables.environment).values(source_id=7))
    await make_due(house)
    await house.due_schedules.carry_out()
    assert await numbers(house) == [2, 1]
