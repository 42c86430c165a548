import asyncio
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select

from builder.errors import StoreUnavailable
from builder.ports import Store
from registry.catalog.comparing import compare
from registry.catalog.follower import Follower, forget_old, has_ended, server_name
from registry.catalog.outbox import OutboxWriter
from registry.database import Database, open_database, tables
from registry.sources.directory import dump_pointer, parse_pointer
from registry.storage.filesystem import FilesystemStore
from registry.wiring.catalog import StoredDocuments
from tests.registry.catalog.house import ADA, House, Memory, key_of, stop

pytestmark = pytest.mark.anyio


async def test_what_is_answered_after_a_change_holds_on_every_server(database: Database) -> None:
    one, two = House(database, "one"), House(database, "two")
    await two.follower.start()
    following = asyncio.create_task(two.follower.run())
    await one.environment("ada/notebook")
    assert two.memory.namespaces == {"ada"}
    await one.built("ada/notebook", b"one")
    await one.built("ada/notebook", b"two")
    await one.versions.activate(ADA, "ada", "notebook", 1)
    assert two.memory.pointers["ada/notebook"].active == key_of(b"one")
    token, _ = await one.tokens.create(ADA, "ada", "laptop")
    assert token.id in two.memory.tokens
    await one.tokens.revoke(ADA, token.id)
    assert token.id not in two.memory.tokens
    await stop(following)


async def test_a_server_that_is_gone_holds_nobody_up_for_long(database: Database) -> None:
    one, two = House(database, "one"), House(database, "two")
    await two.follower.start()  # and never looks again
    async with asyncio.timeout(5):
        await one.namespaces.create(ADA, "ada")
    following = asyncio.create_task(two.follower.run())
    await asyncio.sleep(0)
    await stop(following)
    clock = asyncio.get_running_loop().time
    before = clock()
    await one.namespaces.create(ADA, "bob")
    assert clock() - before < 1.5


async def test_a_server_that_starts_knows_all(house: House, database: Database) -> None:
    for number in range(3):
        await house.environment(f"ada/e{number}")
        await house.built(f"ada/e{number}", b"%d" % number)
    await house.principals.add_member(ADA, "data", "bob")
    await house.principals.create(ADA, "eve")
    await house.principals.set_disabled(ADA, "eve", is_disabled=True)
    await house.principals.create(ADA, "fay", source="file")
    token, _ = await house.tokens.create(ADA, "ada", "laptop")
    other = House(database, "two")
    await other.follower.start()
    for part in ("pointers", "namespaces", "grants", "tokens", "disabled", "of_file"):
        assert getattr(other.memory, part) == getattr(house.memory, part), part
    assert other.memory.disabled == {"eve"}
    assert other.memory.of_file == {"fay"}
    assert other.memory.groups["bob"] == ("data",)
    assert set(other.memory.tokens) == {token.id}


async def test_a_server_that_was_away_for_too_long_reads_everything(
    house: House, database: Database
) -> None:
    other = House(database, "two")
    await house.environment("ada/one")
    await other.follower.start()
    await house.environments.delete(ADA, "ada", "one")
    await house.environment("ada/two")
    now = database.now
    database.now = lambda: now().replace(year=now().year + 1)
    await forget_old(database)
    database.now = now
    following = asyncio.create_task(other.follower.run())
    async with asyncio.timeout(10):
        while set(other.memory.pointers) != {"ada/two"}:
            await other.follower.changed(0.1)
    await stop(following)
    assert set(other.memory.pointers) == {"ada/two"}


def test_a_server_of_this_machine_is_known_to_have_ended() -> None:
    mine = server_name()
    host, process, start, _ = mine.split(" ")
    assert not has_ended(mine)
    assert has_ended(f"{host} {process} before x")
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert has_ended(f"{host} {ended.pid} {start} x")
    assert not has_ended(f"elsewhere {ended.pid} {start} x")
    assert not has_ended("odd")


async def namespaces(store: Store) -> list[str]:
    return sorted([slug async for slug in StoredDocuments(store).namespaces()])


async def documents(store: Store) -> dict[str, str | None]:
    found = {}
    async for entry in store.entries("environments/"):
        data = await store.read(entry.key)
        assert data is not None
        pointer = parse_pointer(data)
        found[f"{pointer.namespace}/{pointer.environment}"] = pointer.active
    return found


async def test_the_store_has_what_is_active(house: House, store: FilesystemStore) -> None:
    writer = OutboxWriter(house.database, store, dump_pointer)
    await house.environment("ada/notebook")
    version = await house.built("ada/notebook", b"one")
    while await writer.write():
        pass
    assert await documents(store) == {"ada/notebook": version.key}
    await house.namespaces.create(ADA, "analytics")
    await house.environments.move(ADA, "ada", "notebook", "analytics", "notes")
    while await writer.write():
        pass
    assert await documents(store) == {"analytics/notes": version.key}
    await house.grants.give(
        ADA, subject_kind="everyone", subject=None, namespace_glob="ana*", role="viewer"
    )
    while await writer.write():
        pass
    data = await store.read("environments/analytics/notes")
    assert data is not None
    assert parse_pointer(data).is_public
    assert house.memory.pointers["analytics/notes"].is_public


async def test_the_store_has_which_namespaces_there_are(
    house: House, store: FilesystemStore
) -> None:
    writer = OutboxWriter(house.database, store, dump_pointer)
    for name in ("ada", "bob", "eve"):
        await house.namespaces.create(ADA, name)
    await house.namespaces.update(ADA, "bob", name="rob")
    await house.namespaces.delete(ADA, "eve")
    while await writer.write():
        pass
    assert await namespaces(store) == ["ada", "rob"]
    await house.namespaces.restore(ADA, "eve")
    await store.delete("namespaces/ada")
    await store.write("namespaces/zoe", b"{}")
    found: list[str] = []
    assert await compare(house.database, store, dump_pointer, found.append) == 3
    assert found == ["ada", "eve", "zoe"]
    while await writer.write():
        pass
    assert await namespaces(store) == ["ada", "eve", "rob"]
    assert await compare(house.database, store, dump_pointer) == 0


class BrokenStore(FilesystemStore):
    """A store whose writes fail, or take as long as a test wants."""

    is_broken = False
    held: asyncio.Event | None = None

    async def write(self, key: str, data: bytes) -> None:
        if self.is_broken:
            raise StoreUnavailable("the store is full")
        if self.held is not None:
            held, self.held = self.held, None
            await held.wait()
        await super().write(key, data)


async def test_what_the_store_did_not_take_is_written_again(house: House, tmp_path: Path) -> None:
    store = BrokenStore(tmp_path / "broken")
    writer = OutboxWriter(house.database, store, dump_pointer)
    await house.environment("ada/notebook")
    store.is_broken = True
    with pytest.raises(StoreUnavailable):
        await writer.write()
    store.is_broken = False
    writing = asyncio.create_task(writer.run())
    async with asyncio.timeout(10):
        while not await documents(store):  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0.05)
    await stop(writing)
    store.close()


class FullHouse(FilesystemStore):
    """A store that cannot have one key, whatever the reason."""

    async def write(self, key: str, data: bytes) -> None:
        if key.endswith("/odd"):
            raise ValueError("embedded null byte")
        await super().write(key, data)


async def test_a_document_that_cannot_be_written_holds_up_no_other(
    house: House, tmp_path: Path
) -> None:
    store = FullHouse(tmp_path / "full")
    writer = OutboxWriter(house.database, store, dump_pointer)
    for name in ("odd", "even"):
        await house.environment(f"ada/{name}")
    assert await writer.write() == 2  # the namespace's is one of them
    assert await writer.write() == 0
    assert await documents(store) == {"ada/even": None}
    async with house.database.reading() as connection:
        waiting = (await connection.execute(select(tables.outbox.c.path))).scalars().all()
    assert list(waiting) == ["ada/odd"]
    store.close()


async def test_a_change_while_its_document_is_written_is_written_too(
    house: House, tmp_path: Path
) -> None:
    store = BrokenStore(tmp_path / "slow")
    writer = OutboxWriter(house.database, store, dump_pointer)
    await house.environment("ada/notebook")
    store.held = letting = asyncio.Event()
    writing = asyncio.create_task(writer.write())
    while store.held is not None:  # noqa: ASYNC110 (nobody announces it)
        await asyncio.sleep(0.01)
    version = await house.built("ada/notebook", b"one")
    assert await writer.write() == 0  # by this one, or another server: it is claimed
    letting.set()
    assert await writing == 2  # with that of the namespace
    assert await writer.write() == 1
    assert await documents(store) == {"ada/notebook": version.key}
    assert await writer.write() == 0
    store.close()


async def test_what_differs_between_database_and_store_is_mended(
    house: House, store: FilesystemStore
) -> None:
    writer = OutboxWriter(house.database, store, dump_pointer)
    for name in ("a", "b", "c"):
        await house.environment(f"ada/{name}")
    while await writer.write():
        pass
    assert await compare(house.database, store, dump_pointer) == 0
    await store.write("environments/ada/b", b"{}")
    await store.delete("environments/ada/a")
    await store.write("environments/zoe/x", b"{}")
    found: list[str] = []
    assert await compare(house.database, store, dump_pointer, found.append) == 3
    assert found == ["ada/a", "ada/b", "zoe/x"]
    while await writer.write():
        pass
    assert await documents(store) == {"ada/a": None, "ada/b": None, "ada/c": None}


async def test_without_a_database_the_store_says_where_environments_lead(
    house: House, store: FilesystemStore, tmp_path: Path
) -> None:
    writer = OutboxWriter(house.database, store, dump_pointer)
    await house.environment("ada/notebook")
    await house.namespaces.create(ADA, "empty")
    version = await house.built("ada/notebook", b"one")
    while await writer.write():
        pass
    memory = Memory()
    async with open_database(f"sqlite:///{tmp_path}/no/such/place.db") as database:
        follower = Follower(database, memory, memory, "three", StoredDocuments(store))
        await follower.start()
        await follower.settled(1)
    assert memory.pointers["ada/notebook"].active == version.key
    assert memory.namespaces == {"ada", "empty"}
