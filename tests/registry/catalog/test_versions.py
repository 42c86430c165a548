import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from builder.errors import StoreUnavailable
from registry.catalog import queueing, runner
from registry.catalog.records import EVERYTHING, SERVICE, Actor
from registry.database import tables
from registry.errors import TooManyVersions, VersionEnded, VersionNotBuilt, VersionUnknown
from tests.registry.catalog.house import ADA, BOB, House, key_of, stop

pytestmark = pytest.mark.anyio
PATH = "analytics/forecast"


async def test_a_version_goes_through_all_states_and_becomes_active(house: House) -> None:
    await house.environment()
    asked, is_new = await house.versions.ask(ADA, "analytics", "forecast", b"numpy", note="first")
    assert (asked.number, asked.state, is_new, asked.key) == (1, "queued", True, None)
    built = await house.ended(PATH, 1)
    assert (built.state, built.key, built.note) == ("built", key_of(b"numpy"), "first")
    assert (await house.environments.get("analytics", "forecast")).active == 1
    assert await house.actions(PATH) == [
        "environment.created",
        "version.queued",
        "version.building",
        "version.built",
        "version.activated",
    ]
    pointer = house.memory.pointers[PATH]
    assert (pointer.active, pointer.versions) == (built.key, {1: built.key})


async def test_nothing_changed_makes_no_new_version(house: House) -> None:
    await house.environment()
    first, _ = await house.versions.ask(ADA, "analytics", "forecast", b"numpy")
    assert await house.versions.ask(BOB, "analytics", "forecast", b"numpy") == (first, False)
    built = await house.ended(PATH, 1)
    assert await house.versions.ask(BOB, "analytics", "forecast", b"numpy") == (built, False)
    await house.built(PATH, b"scipy")
    again, is_new = await house.versions.ask(ADA, "analytics", "forecast", b"numpy")
    assert (again.number, is_new) == (3, True)


async def test_a_failed_version_is_tried_again_as_a_new_one(house: House) -> None:
    await house.environment()
    house.requests.failures[b"nunpy"] = "no package 'nunpy'"
    failed = await house.built(PATH, b"nunpy")
    assert (failed.state, failed.message) == ("failed", "no package 'nunpy'")
    assert (await house.environments.get("analytics", "forecast")).active is None
    again, is_new = await house.versions.ask(ADA, "analytics", "forecast", b"nunpy")
    assert (again.number, is_new) == (2, True)


async def test_an_older_build_that_ends_later_does_not_become_active(house: House) -> None:
    await house.environment()
    letting = house.requests.hold(b"slow")
    running = asyncio.create_task(house.runner.run())
    await house.versions.ask(ADA, "analytics", "forecast", b"slow")
    await house.reached(PATH, 1, "building")
    await house.versions.ask(ADA, "analytics", "forecast", b"fast")
    await house.reached(PATH, 2)
    letting.set()
    assert (await house.reached(PATH, 1)).state == "built"
    await stop(running)
    assert (await house.environments.get("analytics", "forecast")).active == 2
    assert house.memory.pointers[PATH].active == key_of(b"fast")


async def test_what_somebody_chose_since_stays_active(house: House) -> None:
    await house.environment()
    await house.built(PATH, b"one")
    letting = house.requests.hold(b"two")
    running = asyncio.create_task(house.runner.run())
    await house.versions.ask(ADA, "analytics", "forecast", b"two")
    await house.reached(PATH, 2, "building")
    await house.versions.activate(BOB, "analytics", "forecast", 1)
    letting.set()
    await house.reached(PATH, 2)
    await stop(running)
    assert (await house.environments.get("analytics", "forecast")).active == 1
    await house.built(PATH, b"three")
    assert (await house.environments.get("analytics", "forecast")).active == 3


async def test_a_rebuild_that_comes_out_the_same_is_unchanged(house: House) -> None:
    await house.environment()
    await house.built(PATH, b"numpy")
    rebuilt, is_new = await house.versions.ask(
        ADA, "analytics", "forecast", b"numpy", reason="rebuild", renew=True
    )
    assert is_new
    ended = await house.ended(PATH, rebuilt.number)
    assert ended.state == "unchanged"
    assert "version 1" in ended.message
    assert house.memory.pointers[PATH].versions == {1: key_of(b"numpy")}
    with pytest.raises(VersionNotBuilt):
        await house.versions.activate(ADA, "analytics", "forecast", ended.number)
    house.requests.keys[b"numpy"] = "f" * 32
    newer, _ = await house.versions.ask(ADA, "analytics", "forecast", b"numpy", renew=True)
    assert (await house.ended(PATH, newer.number)).state == "built"
    assert house.memory.pointers[PATH].active == "f" * 32


async def test_cancelling_is_of_the_version_alone(house: House) -> None:
    await house.environment()
    letting = house.requests.hold(b"numpy")
    running = asyncio.create_task(house.runner.run())
    await house.versions.ask(ADA, "analytics", "forecast", b"numpy")
    await house.reached(PATH, 1, "building")
    cancelled = await house.versions.cancel(ADA, "analytics", "forecast", 1)
    assert cancelled.state == "cancelled"
    assert await house.versions.cancel(ADA, "analytics", "forecast", 1) == cancelled
    letting.set()
    await house.versions.ask(ADA, "analytics", "forecast", b"scipy")
    await house.reached(PATH, 2)
    await stop(running)
    assert (await house.versions.get("analytics", "forecast", 1)).state == "cancelled"
    with pytest.raises(VersionEnded):
        await house.versions.cancel(ADA, "analytics", "forecast", 2)


async def test_deleting_an_environment_cancels_what_runs_in_it(house: House) -> None:
    await house.environment()
    await house.versions.ask(ADA, "analytics", "forecast", b"numpy")
    await house.environments.delete(ADA, "analytics", "forecast")
    assert "version.cancelled" in await house.actions(PATH)
    await house.environments.restore(ADA, "analytics", "forecast")
    assert (await house.versions.get("analytics", "forecast", 1)).state == "cancelled"


async def test_what_somebody_may_not_pull_is_no_base_of_theirs(house: House) -> None:
    await house.environment()
    await house.versions.ask(BOB, "analytics", "forecast", b"registry:team/base")
    failed = await house.ended(PATH, 1)
    assert (failed.state, failed.message) == ("failed", "'bob' may not pull team/base")
    await house.versions.ask(ADA, "analytics", "forecast", b"registry:team/base")
    assert (await house.ended(PATH, 2)).state == "built"


async def test_a_store_that_is_down_fails_no_version(house: House) -> None:
    await house.environment()
    house.requests.errors[b"numpy"] = StoreUnavailable("the store is full")
    await house.versions.ask(ADA, "analytics", "forecast", b"numpy")
    running = asyncio.create_task(house.runner.run())
    await house.reached(PATH, 1, "building")
    while not house.requests.asked:  # noqa: ASYNC110 (nobody announces it)
        await asyncio.sleep(0.01)
    del house.requests.errors[b"numpy"]
    assert (await house.reached(PATH, 1)).state == "built"
    await stop(running)


async def test_a_server_that_ends_hands_its_versions_to_another(house: House) -> None:
    await house.environment()
    house.requests.hold(b"numpy")
    await house.versions.ask(ADA, "analytics", "forecast", b"numpy")
    running = asyncio.create_task(house.runner.run())
    await house.reached(PATH, 1, "building")
    await stop(running)
    other = House(house.database, "two")
    assert (await other.ended(PATH, 1)).state == "built"
    assert (await house.actions(PATH)).count("version.building") == 1


async def test_two_servers_make_each_version_once(house: House) -> None:
    other = House(house.database, "two")
    await house.environment()
    for number in range(12):
        await house.environments.create(ADA, "analytics", f"e{number}")
        await house.versions.ask(ADA, "analytics", f"e{number}", b"%d" % number)
    running = [asyncio.create_task(one.runner.run()) for one in (house, other)]
    for number in range(12):
        assert (await house.reached(f"analytics/e{number}", 1)).state == "built"
    await stop(*running)
    assert len(house.requests.asked) + len(other.requests.asked) == 12
    assert (await house.actions()).count("version.built") == 12


async def test_who_asks_for_much_leaves_others_their_turn(house: House) -> None:
    await house.environment()
    for number in range(20):
        await house.environments.create(ADA, "analytics", f"e{number}")
        await house.versions.ask(ADA, "analytics", f"e{number}", b"%d" % number)
    await house.versions.ask(BOB, "analytics", "forecast", b"bob")
    assert (await house.ended(PATH, 1)).state == "built"
    asked = [data for data, _ in house.requests.asked]
    assert asked.index(b"bob") < 8


async def test_who_asks_for_more_than_is_looked_at_holds_up_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LOOK_AHEAD", 5)
    await house.environment()
    await house.environment("analytics/many")
    for number in range(20):
        data = b"%d" % number
        house.requests.hold(data)
        await house.versions.ask(ADA, "analytics", "many", data)
    for name, path in (("bob", "forecast"), ("eve", "other")):
        if path != "forecast":
            await house.environment(f"analytics/{path}")
        await house.versions.ask(Actor(name), "analytics", path, name.encode())
    assert (await house.ended("analytics/other", 1)).state == "built"
    assert (await house.ended(PATH, 1)).state == "built"


async def test_one_person_has_so_many_versions_under_way(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "MAX_OPEN", 3)
    await house.environment()
    for number in range(3):
        await house.versions.ask(ADA, "analytics", "forecast", b"%d" % number)
    with pytest.raises(TooManyVersions, match="3 versions that 'ada' asked for"):
        await house.versions.ask(ADA, "analytics", "forecast", b"3")
    with pytest.raises(TooManyVersions):
        await house.environments.create_from(ADA, "analytics", "new", b"new")
    same, is_new = await house.versions.ask(ADA, "analytics", "forecast", b"2")
    assert (same.number, is_new) == (3, False)
    await house.versions.ask(BOB, "analytics", "forecast", b"bob")
    await house.versions.ask(SERVICE, "analytics", "forecast", b"rebuilt")
    await house.versions.cancel(ADA, "analytics", "forecast", 1)
    await house.versions.ask(ADA, "analytics", "forecast", b"3")


async def test_of_each_day_the_last_activation_is_kept(house: House) -> None:
    await house.environment()
    for data in (b"one", b"two"):
        await house.built("analytics/forecast", data)
    for hours, number in ((0, 1), (1, 2), (2, 1), (30, 2), (31, 1), (60, 2)):
        day = datetime(2100, 1, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        house.database.now = lambda day=day: day  # type: ignore[misc]  # (this one)
        await house.versions.activate(ADA, "analytics", "forecast", number)
    pointer = house.memory.pointers["analytics/forecast"]
    later = pointer.activations[-3:]
    assert [datetime.fromtimestamp(at, UTC).day for at, _ in later] == [1, 2, 3]
    assert [key for _, key in later] == [pointer.versions[number] for number in (1, 1, 2)]
    assert len(pointer.activations) == 4
    async with house.database.reading() as connection:
        counted = select(func.count()).select_from(tables.activation)
        assert (await connection.execute(counted)).scalar() == 4


async def test_versions_are_listed_from_the_newest(house: House) -> None:
    await house.environment()
    for number in range(5):
        await house.versions.ask(ADA, "analytics", "forecast", b"%d" % number)
    page = await house.versions.list("analytics", "forecast", limit=3)
    assert [one.number for one in page.items] == [5, 4, 3]
    page = await house.versions.list("analytics", "forecast", after=page.next, limit=3)
    assert [one.number for one in page.items] == [2, 1]
    assert page.next is None
    assert await house.versions.specification("analytics", "forecast", 5) == b"4"
    for number in (0, -1, 6, 2**40):
        with pytest.raises(VersionUnknown):
            await house.versions.get("analytics", "forecast", number)


async def test_many_who_ask_and_activate_at_once_leave_one_order(house: House) -> None:
    other = House(house.database, "two")
    await house.environment()
    await house.built(PATH, b"zero")
    await asyncio.gather(
        *(
            one.versions.ask(Actor(f"u{number}"), "analytics", "forecast", b"%d" % number)
            for number in range(10)
            for one in (house, other)
        ),
        *(one.versions.activate(ADA, "analytics", "forecast", 1) for one in (house, other)),
    )
    page = await house.versions.list("analytics", "forecast")
    numbers = sorted(one.number for one in page.items)
    assert numbers == list(range(1, len(numbers) + 1))
    ids = [event.id for event in await house.events.list(visible=EVERYTHING, limit=500)]
    assert ids == sorted(ids)
