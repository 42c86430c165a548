"""What another system has made is here afterwards as it was there, each build once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from builder.errors import ChannelUnavailable, InputError
from builder.lock import Lock
from builder.records import PackageRecord
from registry.catalog.imported import ForeignVersion, ForeignVersions, Imported
from registry.catalog.importing import Imports
from registry.catalog.records import EVERYTHING, Actor
from registry.database import tables
from registry.errors import (
    CatalogNameInvalid,
    CatalogNameTaken,
    EnvironmentArchived,
    EnvironmentUnknown,
    NamespaceUnknown,
)
from tests.registry.catalog.house import ADA, House

pytestmark = pytest.mark.anyio

SOURCE = "https://old.example/conda-store"
ROOT = Actor("root", address="192.0.2.9", via="cli")
PATH = "analytics/forecast"
DAY = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Keeper:
    """Reads locks as tests write them: a lock's text is the name of its only package."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.unavailable = False

    async def keep(self, data: bytes) -> Lock:
        self.read.append(data)
        if self.unavailable:
            raise ChannelUnavailable("main", "it does not answer")
        if data.startswith(b"bad"):
            raise InputError("there is no such channel here")
        return lock_of(data.decode())


def lock_of(name: str) -> Lock:
    url = f"http://channel.test/main/linux-64/{name}-1.0-0.conda"
    record = PackageRecord(name, "1.0", "0", 0, "linux-64", url, "a" * 64, "b" * 32, 10)
    return Lock({"linux-64": (record,)}, (), (), None)


def build(number: int, lock: str | None = "", day: int = 0, **more: Any) -> ForeignVersion:
    """Return a completed build; its lock is called by its number where nothing else is said."""
    ended = DAY + timedelta(days=day, hours=1)
    said: dict[str, Any] = {
        "specification": f"dependencies: [p{number}]\n".encode(),
        "lock": None if lock is None else (lock or f"p{number}").encode(),
        "state": "completed",
        "message": "",
        "requested_by": None,
        "created_at": DAY + timedelta(days=day),
        "started_at": DAY + timedelta(days=day, minutes=1),
        "ended_at": ended,
    }
    return ForeignVersion(number, **{**said, **more})


class Moved(House):
    """A catalog that builds of another system come to."""

    keeper: Keeper
    imports: Imports

    async def put(
        self, *versions: ForeignVersion, path: str = PATH, name: str = "", **more: Any
    ) -> Imported:
        namespace, _, slug = path.partition("/")
        sent = ForeignVersions(SOURCE, name or slug, "what comes", versions, **more)
        return await self.imports.put(ROOT, namespace, slug, sent)

    async def rows(self) -> list[tuple[int, int, str, str | None]]:
        table = tables.version
        statement = select(table.c.id, table.c.number, table.c.state, table.c.key)
        async with self.database.reading() as connection:
            found = (await connection.execute(statement.order_by(table.c.number, table.c.id))).all()
        return [tuple(row) for row in found]


@pytest.fixture
async def moved(house: House) -> Moved:
    await house.namespaces.create(ADA, "analytics", owner="ada")
    house.__class__ = Moved
    assert isinstance(house, Moved)
    house.keeper = Keeper()
    settled = house.follower.settled
    house.imports = Imports(house.database, house.keeper, house.pushed, settled)
    return house


async def test_builds_become_versions_with_their_ids_times_and_keys(moved: Moved) -> None:
    failed = build(9, None, 1, state="failed", message="no\0such package", requested_by="bob")
    cancelled = build(12, None, 2, state="cancelled", started_at=None, ended_at=None)
    done = await moved.put(build(7), failed, cancelled, name="Forecast", active=7)
    key = lock_of("p7").key
    assert [(one.id, one.number, one.version_id, one.key) for one in done.made] == [
        (7, 1, 7, key),
        (9, 2, 9, None),
        (12, 3, 12, None),
    ]
    assert (done.known, done.refused, done.active, done.messages) == ([], [], 7, ())
    assert await moved.rows() == [
        (7, 1, "built", key),
        (9, 2, "failed", None),
        (12, 3, "cancelled", None),
    ]
    place = await moved.environments.get("analytics", "forecast")
    assert (place.name, place.description, place.active) == ("Forecast", "what comes", 1)
    first = await moved.versions.get("analytics", "forecast", 1)
    assert (first.created_at, first.started_at) == (DAY, DAY + timedelta(minutes=1))
    assert (first.ended_at, first.reason) == (DAY + timedelta(hours=1), "import")
    second = await moved.versions.get("analytics", "forecast", 2)
    assert (second.message, second.requested_by) == ("nosuch package", "bob")
    text = await moved.versions.specification("analytics", "forecast", 1)
    assert text == b"dependencies: [p7]\n"
    users = await moved.directory.users(EVERYTHING, "p7")
    assert [one.environment.path for one in users.items] == [PATH]
    assert await moved.actions(PATH) == [
        "environment.created",
        *["version.imported"] * 3,
        "version.activated",
    ]
    events = await moved.events.list(visible=EVERYTHING, namespace="analytics", limit=50)
    (event,) = (one for one in events if one.number == 3)
    assert (event.actor, event.address, event.via) == ("root", "192.0.2.9", "cli")
    assert event.detail == {"source": SOURCE, "build": 12, "state": "cancelled", "key": None}


async def test_what_is_sent_again_changes_nothing_and_is_not_read(moved: Moved) -> None:
    await moved.put(build(7), build(8), active=8)
    before, actions = await moved.rows(), await moved.actions()
    moved.keeper.read.clear()
    again = await moved.put(build(7), build(8), active=8)
    assert (again.made, again.known, again.active) == ((), [7, 8], 8)
    assert moved.keeper.read == []
    assert (await moved.rows(), await moved.actions()) == (before, actions)
    more = await moved.put(build(8), build(9), active=9)
    assert ([one.number for one in more.made], more.known, more.active) == ([3], [8], 9)


async def test_two_who_import_at_once_make_each_version_once(moved: Moved) -> None:
    found = await asyncio.gather(*(moved.put(build(7), build(8), active=8) for _ in range(3)))
    assert sorted(len(one.made) for one in found) == [0, 0, 2]
    assert len(await moved.rows()) == 2


async def test_a_lock_that_cannot_be_used_is_refused_and_the_others_are_made(moved: Moved) -> None:
    done = await moved.put(build(7, "bad"), build(8), active=7)
    assert [(one.id, one.message) for one in done.refused] == [
        (7, "its lock cannot be used here: there is no such channel here")
    ]
    assert [one.id for one in done.made] == [8]
    assert done.active is None
    assert done.messages == (
        "build 7 is active there and cannot be pulled here: see what is said of it",
    )
    mended = await moved.put(build(7), build(8), active=7)
    assert ([one.number for one in mended.made], mended.known) == ([2], [8])
    assert mended.active == 7


async def test_a_build_whose_lock_is_lost_is_told_as_failed(moved: Moved) -> None:
    done = await moved.put(build(7, None))
    assert (done.made[0].key, done.made[0].message) == (
        None,
        "it was built elsewhere, and which packages it had is not known any more: ask for it anew",
    )
    assert [row[2] for row in await moved.rows()] == ["failed"]


async def test_nothing_is_made_while_a_channel_does_not_answer(moved: Moved) -> None:
    moved.keeper.unavailable = True
    with pytest.raises(ChannelUnavailable):
        await moved.put(build(7, None), build(8))
    assert await moved.rows() == []
    with pytest.raises(EnvironmentUnknown):
        await moved.environments.get("analytics", "forecast")


async def test_an_id_that_is_taken_gives_way_and_what_is_asked_for_then_gets_a_new_one(
    moved: Moved,
) -> None:
    await moved.environment("analytics/other")
    await moved.built("analytics/other", b"one")
    done = await moved.put(build(1), build(2), build(40))
    assert [one.version_id for one in done.made] == [41, 2, 40]
    await moved.built("analytics/other", b"two")
    assert [row[0] for row in await moved.rows()] == [1, 41, 2, 42, 40]
    free = await moved.put(build(50), path="analytics/third", keeps_ids=False)
    assert [one.version_id for one in free.made] == [43]


async def test_tags_with_dates_lead_to_what_was_active_that_day(moved: Moved) -> None:
    await moved.put(build(7), build(8, day=0, ended_at=DAY + timedelta(hours=5)), build(9, day=2))
    await moved.put(build(10, None, 3, state="failed"), build(11, day=3), active=8)
    async with moved.database.reading() as connection:
        table = tables.activation
        rows = (await connection.execute(select(table).order_by(table.c.at))).all()
    assert [(row.at.date().isoformat(), row.number, row.by) for row in rows[:-1]] == [
        ("2025-03-01", 2, None),
        ("2025-03-03", 3, None),
        ("2025-03-04", 5, None),
    ]
    assert (rows[-1].number, rows[-1].key) == (2, lock_of("p8").key)
    await moved.follower.catch_up()
    pointer = moved.memory.pointers[PATH]
    assert pointer.active == lock_of("p8").key
    assert sorted(pointer.versions) == [1, 2, 3, 5]


async def test_what_people_have_chosen_here_stays_active(moved: Moved) -> None:
    await moved.put(build(7), build(8), active=7)
    followed = await moved.put(build(7), build(8), active=8)
    assert (followed.active, followed.messages) == (8, ())
    await moved.versions.activate(ADA, "analytics", "forecast", 1)
    chosen = await moved.put(build(9), active=9)
    assert (chosen.active, [one.number for one in chosen.made]) == (7, [3])
    assert chosen.messages == (
        "build 9 is active there, and version 1 stays so here, as somebody has chosen it",
    )
    await moved.built(PATH, b"made here")
    later = await moved.put(build(10), active=10)
    assert later.active is None
    assert (await moved.environments.get("analytics", "forecast")).active == 4


async def test_what_people_have_deleted_here_is_not_active_again(moved: Moved) -> None:
    await moved.put(build(7), build(8), active=8)
    await moved.versions.delete(ADA, "analytics", "forecast", 1)
    done = await moved.put(build(7), build(8), active=7)
    assert (done.known, done.active, len(done.messages)) == ([7, 8], 8, 1)
    assert (await moved.environments.get("analytics", "forecast")).active == 2


async def test_times_that_are_still_to_come_are_those_of_the_import(moved: Moved) -> None:
    ahead = moved.database.now() + timedelta(hours=2)
    await moved.put(build(7, created_at=ahead, started_at=ahead, ended_at=ahead), active=7)
    version = await moved.versions.get("analytics", "forecast", 1)
    assert version.ended_at is not None
    assert version.created_at <= moved.database.now()
    assert version.ended_at <= moved.database.now()


async def test_an_environment_that_people_have_deleted_does_not_come_back(moved: Moved) -> None:
    await moved.put(build(7), active=7)
    await moved.environments.delete(ADA, "analytics", "forecast")
    done = await moved.put(build(7), build(8), active=8)
    why = f"'{PATH}' was imported before and is deleted here: restore it, and import again"
    assert (done.made, done.known, done.messages) == ((), [7], (why,))
    assert [(one.id, one.message) for one in done.refused] == [(8, why)]
    await moved.environments.restore(ADA, "analytics", "forecast")
    assert [one.id for one in (await moved.put(build(8))).made] == [8]


async def test_names_that_others_have_are_refused(moved: Moved) -> None:
    with pytest.raises(NamespaceUnknown):
        await moved.put(build(7), path="nobody/forecast")
    with pytest.raises(CatalogNameInvalid, match="ends in 'other'"):
        await moved.put(build(7), name="Other")
    moved.pushed.names.add(PATH)
    with pytest.raises(CatalogNameTaken, match="images were pushed to"):
        await moved.put(build(7))
    moved.pushed.names.clear()
    await moved.environment(PATH)
    with pytest.raises(CatalogNameTaken, match="is called 'forecast', not 'Forecast'"):
        await moved.put(build(7), name="Forecast")
    assert [one.id for one in (await moved.put(build(7))).made] == [7]
    await moved.environments.update(ADA, "analytics", "forecast", name="FORECAST")
    assert [one.id for one in (await moved.put(build(8))).made] == [8]
    await moved.environments.update(ADA, "analytics", "forecast", archived=True)
    with pytest.raises(EnvironmentArchived):
        await moved.put(build(9))


async def test_what_was_imported_is_listed_by_pages(moved: Moved) -> None:
    await moved.put(*(build(number) for number in (3, 5, 8)))
    await moved.built(PATH, b"made here")
    page = await moved.imports.list("analytics", "forecast", SOURCE, limit=2)
    assert [(one.id, one.number) for one in page.items] == [(3, 1), (5, 2)]
    rest = await moved.imports.list("analytics", "forecast", SOURCE, after=page.next)
    assert [(one.id, one.number, rest.next) for one in rest.items] == [(8, 3, None)]
    assert not (await moved.imports.list("analytics", "forecast", f"{SOURCE}/x")).items
    with pytest.raises(EnvironmentUnknown):
        await moved.imports.list("analytics", "nothing", SOURCE)
