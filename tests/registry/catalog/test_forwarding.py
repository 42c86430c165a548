"""Events as log lines: each at least once, in their order, by one server at a time."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from registry.auth.trail import Noted, Trail
from registry.catalog.audit import Audit, AuditFilter
from registry.catalog.forwarding import Forwarder
from registry.catalog.records import EVERYTHING, Event
from registry.catalog.trail_writer import TrailWriter
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from tests.registry.catalog.house import ADA, House, stop

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


def forwarder(house: House, lines: list[int]) -> Forwarder:
    def write(event: Event) -> None:
        lines.append(event.id)

    return Forwarder(house.database, house.events, write)


async def people(house: House, *names: str) -> None:
    for name in names:
        await house.principals.create(ADA, name)


async def test_what_happens_from_now_on_is_written_once_by_whichever_server(house: House) -> None:
    await people(house, "before")
    one: list[int] = []
    two: list[int] = []
    servers = forwarder(house, one), forwarder(house, two)
    for server in servers:
        assert await server.forward() == 0
    await people(house, "a", "b")
    assert [await server.forward() for server in servers] == [2, 0]
    await people(house, "c")
    assert [await server.forward() for server in reversed(servers)] == [0, 1]
    assert (one, two) == ([2, 3, 4], [])


async def test_another_server_goes_on_when_the_one_is_gone(house: House) -> None:
    one: list[int] = []
    two: list[int] = []
    first, second = forwarder(house, one), forwarder(house, two)
    await first.forward()
    await people(house, "a")
    await first.forward()
    await people(house, "b")
    now = house.database.now()
    house.database.now = lambda: now + timedelta(seconds=31)
    if house.database.is_shared:  # its clock is that of the database
        async with house.database.writing() as connection:
            earlier = house.database.clock_after(-1)
            await connection.execute(update(tables.forwarded).values(claimed_until=earlier))
    await second.forward()
    assert (one, two) == ([1], [2])


async def test_what_was_written_by_a_server_that_died_is_written_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[int] = []
    server = forwarder(house, lines)
    await server.forward()
    await people(house, "a", "b")

    async def died(number: int) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as context:
        context.setattr(server, "_note", died)
        with pytest.raises(DatabaseUnavailable):
            await server.forward()
    await server.forward()
    assert lines == [1, 2, 1, 2]


async def test_many_events_are_written_in_their_order(house: House) -> None:
    lines: list[int] = []
    done = asyncio.Event()

    def write(event: Event) -> None:
        lines.append(event.id)
        if len(lines) == 430:
            done.set()

    server = Forwarder(house.database, house.events, write)
    await server.forward()
    await people(house, *(f"user{number}" for number in range(430)))
    running = asyncio.create_task(server.run())
    async with asyncio.timeout(20):
        await done.wait()
    await stop(running)
    assert lines == list(range(1, 431))


def failed(text: str) -> Noted:
    return Noted("login.failed", "api", address="192.0.2.1", detail={"sentence": text})


async def rows(database: Database) -> list[tuple[str, str | None]]:
    table = tables.event
    async with database.reading() as connection:
        found = await connection.execute(
            select(table.c.action, table.c.namespace).order_by(table.c.id)
        )
        return [(row.action, row.namespace) for row in found]


async def test_whatever_clients_send_can_be_written(house: House) -> None:
    trail = Trail()
    writer = TrailWriter(house.database, trail, lambda _: True)
    odd = "\0 \ud800 é \u2028 " + "x" * 100_000
    trail.note(failed(odd))
    trail.note(
        Noted(
            *("access.refused", "registry", odd, 2**40, odd, odd, odd),
            {"path": odd, "list": [odd, {"a": odd}], "number": 7},
        )
    )
    assert await writer.write() == 2
    page = await Audit(house.database).page(AuditFilter())
    assert len(page.items) == 2
    assert max(len(str(one.detail)) for one in page.items) < 2000
    assert not await house.events.latest(visible=EVERYTHING, namespace=odd)


async def test_what_is_asked_for_and_is_not_there_is_not_told(house: House) -> None:
    trail = Trail()
    writer = TrailWriter(house.database, trail, {"there"}.__contains__)
    for slug in ("there", "absent"):
        trail.note(Noted("access.refused", "api", "bob", namespace=slug, needs_namespace=True))
    assert await writer.write() == 2
    assert await rows(house.database) == [("access.refused", "there")]


async def test_the_rest_is_written_when_a_server_ends(house: House) -> None:
    trail = Trail()
    running = asyncio.create_task(TrailWriter(house.database, trail, lambda _: True).run())
    await asyncio.sleep(0)
    for _ in range(3):
        trail.note(failed("x"))
    for number in range(1200):
        trail.change(Noted("blob.pushed", "registry", f"user{number}"))
    await stop(running)
    written = [action for action, _ in await rows(house.database)]
    assert written.count("blob.pushed") == 1200
    assert written.count("login.failed") == 2
