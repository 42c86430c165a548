"""Three servers carry out the same schedules, and two of them are killed meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Final

import pytest
from sqlalchemy import func, select, update

from conformance.catalog.person import environment, specification
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server
from conformance.upkeep.trio import Trio
from registry.database import Database, open_database, tables

#: More than are carried out in four transactions.
ENVIRONMENTS: Final = 24
#: The time of day and of the week does not matter to it.
CRON: Final = {"cron": "0 0 1 1 *", "timezone": "Europe/Berlin", "then": "activate"}
#: A server looks every 5 seconds; the lease of a version of one that was killed takes 15.
_DONE_SECONDS: Final = 120


@pytest.fixture(scope="module")
def trio(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Trio]:
    """Start three servers; they are stopped after the module."""
    with Trio(paths.base, channel.url) as trio:
        yield trio


def test_each_is_carried_out_once_whoever_is_killed(trio: Trio) -> None:
    """First after weeks in which nobody was there, then while two of the three are killed."""
    chance = Random(17)
    furnish(trio)
    survivor, *victims = chance.sample(trio.servers, 3)
    try:
        asyncio.run(carried_out_twice(trio, victims, chance))
        require_what_is_told(trio, survivor)
    except AssertionError:
        print(trio.log_end())
        raise


async def carried_out_twice(trio: Trio, victims: Sequence[Server], chance: Random) -> None:
    """Have all be due, and due again, and assert that each was carried out once each time."""
    once = Counter(dict.fromkeys(paths_of(), 1))
    async with open_database(trio.database) as database:
        await make_due(database, timedelta(weeks=5))
        await wait_until_done(database)
        assert await ran(database) == once
        await make_due(database, timedelta(seconds=1))
        # At any moment of the one look that all of them have meanwhile.
        await until_one_ran(database, once)
        await asyncio.sleep(chance.uniform(0, 0.4))
        for server in victims:
            server.kill()
        await wait_until_done(database)
        assert await ran(database) == once + once


def paths_of() -> list[str]:
    """Return the paths of the environments."""
    return [f"team/e{number}" for number in range(ENVIRONMENTS)]


def furnish(trio: Trio) -> None:
    """Make environments that have a version and a schedule each: one is built, others copied."""
    server, admin = trio.servers[0], trio.admin
    admin.must(server, "POST", "/namespaces", {"name": "team"})
    first, *others = paths_of()
    admin.build(server, first, specification("emptydirdemo"))
    for path in others:
        name = path.partition("/")[2]
        admin.must(server, "POST", f"{environment(first)}/copy", {"name": name})
    for number, path in enumerate(paths_of()):
        said_by = trio.servers[number % len(trio.servers)]
        admin.must(said_by, "PUT", f"{environment(path)}/schedule", CRON)


async def make_due(database: Database, ago: timedelta) -> None:
    """Have every schedule be due since then."""
    async with database.writing() as connection:
        past = database.now() - ago
        await connection.execute(update(tables.schedule).values(next_at=past))


async def ran(database: Database) -> Counter[str]:
    """Return how many versions schedules have asked for, by environment."""
    version, place = tables.version, tables.environment
    statement = (
        select(place.c.path)
        .join(version, version.c.environment_id == place.c.id)
        .where(version.c.reason == "schedule")
    )
    async with database.reading() as connection:
        return Counter((await connection.execute(statement)).scalars())


async def until_one_ran(database: Database, before: Counter[str]) -> None:
    """Return when some of what is due was carried out."""
    async with asyncio.timeout(_DONE_SECONDS):
        while True:
            if await ran(database) != before:
                return
            await asyncio.sleep(0.01)


async def wait_until_done(database: Database) -> None:
    """Return when nothing is due, and nothing under way."""
    due = select(func.count()).where(tables.schedule.c.next_at <= database.clock())
    open_ = select(func.count(tables.version.c.id)).where(tables.OPEN)
    async with asyncio.timeout(_DONE_SECONDS):
        while True:
            async with database.reading() as connection:
                left = [(await connection.execute(one)).scalar_one() for one in (due, open_)]
            if not any(left):
                return
            await asyncio.sleep(0.2)


def require_what_is_told(trio: Trio, server: Server) -> None:
    """Assert that a server tells of two versions and events of each, and that nothing was wrong."""
    found = trio.admin.must(server, "GET", "/schedules?limit=100")
    assert len(found["items"]) == ENVIRONMENTS
    for one in found["items"]:
        assert one["problem"] == "", one
        assert one["last_version"] == 3, one
    for path in paths_of():
        events = trio.admin.must(server, "GET", f"{environment(path)}/events")["items"]
        assert [event["action"] for event in events].count("schedule.ran") == 2
        versions = trio.admin.must(server, "GET", f"{environment(path)}/versions")["items"]
        assert [version["state"] for version in versions] == ["unchanged", "unchanged", "built"]
