"""What is under way in all namespaces, and where it does not go on."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from registry.catalog.queue import QueueReports
from registry.database import tables
from tests.registry.catalog.house import ADA, House

pytestmark = pytest.mark.anyio


async def ask(house: House, *names: str) -> None:
    for name in names:
        await house.environment(f"analytics/{name}")
        await house.versions.ask(ADA, "analytics", name, name.encode())


async def change(house: House, name: str, **values: Any) -> None:
    """Have the version of an environment be like this."""
    table, environment = tables.version, tables.environment
    async with house.database.writing() as connection:
        await connection.execute(
            update(table)
            .where(table.c.environment_id == environment.c.id, environment.c.slug == name)
            .values(**values)
        )


async def test_what_waits_and_is_made_is_told_the_oldest_first(house: House) -> None:
    reports = QueueReports(house.database)
    counts = await reports.counts()
    assert (counts.building, counts.queued, counts.stuck, counts.oldest_at) == (0, 0, 0, None)
    assert (await reports.list()).items == []
    await ask(house, "a", "b", "c")
    soon = house.database.clock_after(60)
    now = house.database.now()
    values = {"state": "building", "claimed_by": "one 12 abc def 99", "claimed_until": soon}
    await change(house, "b", started_at=now, **values)
    counts = await reports.counts()
    assert (counts.building, counts.queued, counts.stuck) == (1, 2, 0)
    assert counts.oldest_at is not None
    first = await reports.list(limit=2)
    rest = await reports.list(limit=2, after=int(first.next or 0))
    found = [*first.items, *rest.items]
    assert [(one.environment, one.state) for one in found] == [
        ("a", "queued"),
        ("b", "building"),
        ("c", "queued"),
    ]
    assert rest.next is None
    assert (found[1].server, found[0].server) == ("one 12 abc def", None)
    assert (found[0].requested_by, found[0].trouble) == ("ada", "")
    assert [one.environment for one in (await reports.list("building")).items] == ["b"]
    assert [one.environment for one in (await reports.list("queued")).items] == ["a", "c"]
    assert (await reports.list("stuck")).items == []


async def test_what_does_not_go_on_is_told_with_the_reason(house: House) -> None:
    reports = QueueReports(house.database)
    await ask(house, "waits", "left", "slow", "fine")
    clock, now = house.database.clock_after, house.database.now()
    await change(house, "waits", created_at=now - timedelta(minutes=11))
    made = {"state": "building", "claimed_by": "one 1 a b 9"}
    await change(house, "left", started_at=now, claimed_until=clock(-60), **made)
    slow = now - timedelta(hours=2)
    await change(house, "slow", started_at=slow, claimed_until=clock(60), **made)
    await change(house, "fine", started_at=now, claimed_until=clock(60), **made)
    found = {one.environment: one.trouble for one in (await reports.list("stuck")).items}
    assert found.keys() == {"waits", "left", "slow"}
    assert "more than 10 minutes" in found["waits"]
    assert "no server is at it" in found["left"]
    assert "more than an hour" in found["slow"]
    everything = {one.environment: one.trouble for one in (await reports.list()).items}
    assert everything == {**found, "fine": ""}
    assert (await reports.counts()).stuck == 3


async def test_servers_are_told_with_their_last_sign_of_life(house: House) -> None:
    clock = house.database.clock_after
    async with house.database.writing() as connection:
        for name, seconds in (("gone 1 a b", -3600), ("here 2 a b", 0)):
            row = {"name": name, "seen_change": 0, "at": clock(seconds)}
            await connection.execute(insert(tables.server).values(**row))
    servers = await QueueReports(house.database).servers()
    assert [(one.name, one.is_alive) for one in servers] == [
        ("gone 1 a b", False),
        ("here 2 a b", True),
    ]
