"""Files of versions that are not active go, and come back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from builder.oci.digest import digest_of
from registry.catalog.limits import NO_LIMIT
from registry.catalog.measuring import Measuring
from registry.catalog.pull_writer import write_pulls
from registry.catalog.quotas import Quotas
from registry.catalog.records import EVERYTHING
from registry.catalog.retention import Freed, Retentions
from registry.catalog.sizes import BuildBlob, keep_blobs
from registry.catalog.unneeded import Keeping
from registry.database import tables
from registry.errors import NamespaceUnknown, RevisionConflict
from registry.sources.directory import Directory, Pointer
from registry.sources.pulls import PullCounts
from registry.storage.filesystem import FilesystemStore
from tests.registry.catalog.house import ADA, House, key_of
from tests.registry.maintenance.store_builder import ZSTD_MAGIC, Shelf

pytestmark = pytest.mark.anyio

#: All is built at that time, and looked at thirty days later.
BUILT = datetime(2026, 10, 1, 12, tzinfo=UTC)
NOW = BUILT + timedelta(days=30)
PATH = "analytics/forecast"


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    store = FilesystemStore(tmp_path / "store")
    yield Shelf(tmp_path / "store", store)
    store.close()


@pytest.fixture
def old(house: House) -> House:
    house.database.now = lambda: BUILT
    return house


class Upkeep:
    """A namespace whose versions are built, with their images in a store."""

    def __init__(self, house: House, shelf: Shelf) -> None:
        self.house = house
        self.shelf = shelf
        self.retentions = Retentions(house.database, shelf.store, NOW.timestamp)

    async def version(self, data: bytes, *layers: str, path: str = PATH) -> int:
        """Have a version built whose image has layers."""
        digests = [await self.shelf.layer(name, BUILT.timestamp()) for name in layers]
        await self.shelf.image(key_of(data), digests, at=BUILT.timestamp())
        async with self.house.database.writing() as connection:
            parts = [BuildBlob(digest, 100) for digest in digests]
            await keep_blobs(connection, key_of(data), parts)
        return (await self.house.built(path, data)).number

    async def later(self, **said: int) -> None:
        """Let thirty days go by, and set what is kept."""
        self.house.database.now = lambda: NOW
        if said:
            await self.retentions.set(ADA, "analytics", said)

    async def free(self, slug: str = "analytics") -> Freed:
        return await self.retentions.free(ADA, slug)

    async def layers(self, *names: str) -> list[str]:
        """Return which of these layers are in the store."""
        has = self.shelf.has
        return [name for name in names if await has(digest_of(ZSTD_MAGIC + name.encode()))]

    async def freed(self) -> list[str]:
        """Return the versions that have given up their files."""
        version, environment = tables.version, tables.environment
        statement = (
            select(environment.c.path, version.c.number)
            .join(environment, environment.c.id == version.c.environment_id)
            .where(version.c.freed_at.is_not(None))
            .order_by(environment.c.path, version.c.number)
        )
        async with self.house.database.reading() as connection:
            return [f"{path}:{one}" for path, one in await connection.execute(statement)]


@pytest.fixture
async def upkeep(old: House, shelf: Shelf) -> Upkeep:
    await old.environment(PATH)
    return Upkeep(old, shelf)


def told(freed: Freed) -> dict[str, Any]:
    return {f"{one.path}:{one.number}": freed.by_build.get(one.key, 0) for one in freed.versions}


async def test_a_preview_says_what_goes_and_frees_nothing_and_free_frees_just_that(
    upkeep: Upkeep,
) -> None:
    for number, data in enumerate((b"a", b"b", b"c"), 1):
        await upkeep.version(data, "base", f"own {number}")
    await upkeep.shelf.form(key_of(b"a"), "an archive", BUILT.timestamp())
    await upkeep.later(days=30, keep=0)
    seen = await upkeep.retentions.preview("analytics")
    own, form = len("own 1") + 4, len("an archive")
    assert told(seen) == {f"{PATH}:1": own + form, f"{PATH}:2": own}
    assert seen.size_bytes == 2 * own + form
    assert await upkeep.freed() == []
    freed = await upkeep.free()
    assert (told(freed), freed.size_bytes) == (told(seen), seen.size_bytes)
    assert await upkeep.freed() == [f"{PATH}:1", f"{PATH}:2"]
    assert await upkeep.layers("base", "own 1", "own 2", "own 3") == ["base", "own 3"]
    # Locks stay for ever, and what the image was made of is still known.
    for data in (b"a", b"b", b"c"):
        assert await upkeep.shelf.store.size(f"locks/{key_of(data)}.yml") is not None
        assert await upkeep.shelf.store.size(f"images/{key_of(data)}.oci-zstd.json") is not None
    assert told(await upkeep.free()) == {}
    events = await upkeep.house.events.list(visible=EVERYTHING, namespace="analytics")
    found = [(one.number, one.actor, one.detail) for one in events if one.action == "version.freed"]
    after = {"freed_at": NOW.isoformat()}
    assert found == [
        (number, "ada", {"key": key_of(data), "before": {"freed_at": None}, "after": after})
        for number, data in ((1, b"a"), (2, b"b"))
    ]


async def test_the_newest_are_kept_in_any_case_and_the_active_one_however_old(
    upkeep: Upkeep,
) -> None:
    for data in (b"a", b"b", b"c", b"d"):
        await upkeep.version(data, data.decode())
    await upkeep.house.versions.activate(ADA, "analytics", "forecast", 1)
    await upkeep.later(days=0, keep=2)
    assert told(await upkeep.free()) == {f"{PATH}:2": 5}
    assert await upkeep.layers("a", "b", "c", "d") == ["a", "c", "d"]


async def test_what_was_pulled_or_active_lately_stays(upkeep: Upkeep) -> None:
    for data in (b"a", b"b", b"c", b"d"):
        await upkeep.version(data, data.decode())
    day = timedelta(days=1)
    await upkeep.shelf.use(key_of(b"a"), (NOW - 9 * day).timestamp())
    await upkeep.shelf.use(key_of(b"b"), (NOW - 11 * day).timestamp())
    # The third was active until four days ago.
    upkeep.house.database.now = lambda: NOW - 20 * day
    await upkeep.house.versions.activate(ADA, "analytics", "forecast", 3)
    upkeep.house.database.now = lambda: NOW - 4 * day
    await upkeep.house.versions.activate(ADA, "analytics", "forecast", 4)
    await upkeep.later(days=10, keep=0)
    assert list(told(await upkeep.free())) == [f"{PATH}:2"]


async def test_a_build_that_another_version_has_stays_whole(upkeep: Upkeep) -> None:
    await upkeep.house.environment("other/one")
    await upkeep.version(b"a", "shared", "same")
    await upkeep.version(b"b", "shared", "new")
    await upkeep.house.built("other/one", b"a")
    await upkeep.later(days=1, keep=0)
    freed = await upkeep.free()
    assert (told(freed), freed.size_bytes) == ({f"{PATH}:1": 0}, 0)
    assert await upkeep.layers("shared", "same") == ["shared", "same"]
    # When the other one goes as well, nobody needs it.
    await upkeep.house.environments.delete(ADA, "other", "one")
    upkeep.house.database.now = lambda: NOW + timedelta(days=3)
    await upkeep.retentions.set(ADA, "other", {"days": 1})
    upkeep.retentions = Retentions(
        upkeep.house.database, upkeep.shelf.store, (NOW + timedelta(days=3)).timestamp
    )
    freed = await upkeep.free("other")
    assert told(freed) == {"other/one:1": 8}
    assert await upkeep.layers("shared", "same", "new") == ["shared", "new"]


async def test_what_others_use_beside_the_catalog_stays(upkeep: Upkeep) -> None:
    """Images by the names of their packages, bases of pinned builds, and what was pushed."""
    await upkeep.version(b"a", "of a name", "pushed", "alone")
    await upkeep.version(b"b", "b")
    shelf, at = upkeep.shelf, BUILT.timestamp()
    await shelf.image("f" * 32, [await shelf.layer("of a name", at)], at=at)
    pushed = await shelf.layer("pushed", at)
    await shelf.store.write(f"holders/sha256/{pushed[7:9]}/{pushed[7:]}/team!app/pushed", b"")
    await upkeep.later(days=1, keep=0)
    assert (await upkeep.retentions.preview("analytics")).size_bytes == len("alone") + 4
    await upkeep.free()
    assert await upkeep.layers("of a name", "pushed", "alone") == ["of a name", "pushed"]


async def test_pinned_builds_keep_their_packages_and_base_and_give_up_the_rest(
    upkeep: Upkeep,
) -> None:
    shelf, at = upkeep.shelf, BUILT.timestamp()
    base, own = await shelf.layer("base", at), await shelf.layer("own", at)
    package = await shelf.package("a package", at)
    manifest = await shelf.manifest([base], at)
    await shelf.image(key_of(b"a"), [base, own], [package], at=at, base=manifest)
    await shelf.pin(key_of(b"a"), at)
    await upkeep.house.built(PATH, b"a")
    await upkeep.version(b"b", "b")
    await upkeep.later(days=1, keep=0)
    await upkeep.free()
    assert await upkeep.layers("base", "own") == ["base"]
    assert await shelf.has_package(package)
    assert await shelf.store.size(f"pins/{key_of(b'a')}") is not None


async def test_files_that_are_used_at_this_moment_stay_whatever_is_set(upkeep: Upkeep) -> None:
    for data in (b"a", b"b"):
        await upkeep.version(data, data.decode())
    await upkeep.later(days=0, keep=0)
    await upkeep.shelf.use(key_of(b"a"), NOW.timestamp() - 3600)
    freed = await upkeep.free()
    assert freed.size_bytes == 0
    assert await upkeep.layers("a") == ["a"]
    # It is given up, and its files go when nobody is at them any more.
    assert await upkeep.freed() == [f"{PATH}:1"]
    later = Retentions(upkeep.house.database, upkeep.shelf.store, lambda: NOW.timestamp() + 7200)
    assert (await later.free_all()).size_bytes == 5
    assert await upkeep.layers("a") == []


async def test_whoever_pulls_a_freed_version_has_its_files_back_and_that_is_told(
    upkeep: Upkeep,
) -> None:
    for data in (b"a", b"b"):
        await upkeep.version(data, data.decode())
    quotas = Quotas(upkeep.house.database)
    assert (await quotas.get("analytics")).used.size_bytes == 200
    await upkeep.later(days=1, keep=0)
    await upkeep.free()
    assert (await quotas.get("analytics")).used.size_bytes == 100
    directory = Directory()
    directory.put(Pointer("analytics", "forecast", None, {}, (), is_public=False))
    pulls = PullCounts(directory, lambda: NOW.timestamp() + 60)
    pulls.count(PATH, key_of(b"a"))
    await write_pulls(upkeep.house.database, pulls)
    assert await upkeep.freed() == []
    assert (await quotas.get("analytics")).used.size_bytes == 200
    events = await upkeep.house.events.list(visible=EVERYTHING, namespace="analytics")
    assert (events[-1].action, events[-1].number) == ("version.restored", 1)
    assert events[-1].detail == {
        "before": {"freed_at": NOW.isoformat()},
        "after": {"freed_at": None},
    }


async def test_a_freed_version_whose_image_was_made_again_by_another_name_is_found(
    upkeep: Upkeep,
) -> None:
    for data in (b"a", b"b"):
        await upkeep.version(data, data.decode())
    await upkeep.later(days=1, keep=0)
    await upkeep.free()
    await upkeep.retentions.look_for_restored()
    assert await upkeep.freed() == [f"{PATH}:1"]
    again = NOW.timestamp() + 60
    digest = await upkeep.shelf.layer("a", again)
    await upkeep.shelf.image(key_of(b"a"), [digest], at=again)
    await upkeep.retentions.look_for_restored()
    assert await upkeep.freed() == []


async def test_what_was_interrupted_is_done_the_next_time(upkeep: Upkeep) -> None:
    for data in (b"a", b"b"):
        await upkeep.version(data, data.decode())
    await upkeep.later()
    async with upkeep.house.database.writing() as connection:
        await connection.execute(
            update(tables.version).where(tables.version.c.number == 1).values(freed_at=NOW)
        )
    assert (await upkeep.retentions.free_all()).size_bytes == 5
    assert await upkeep.layers("a", "b") == ["b"]
    await Measuring(upkeep.house.database).all()


async def test_versions_of_what_was_deleted_go_too_and_restoring_brings_no_files_back(
    upkeep: Upkeep,
) -> None:
    await upkeep.version(b"a", "a")
    await upkeep.house.environments.delete(ADA, "analytics", "forecast")
    await upkeep.later(days=1, keep=9)
    assert list(told(await upkeep.free())) == [f"{PATH}:1"]
    restored = await upkeep.house.environments.restore(ADA, "analytics", "forecast")
    assert restored.active == 1
    assert await upkeep.freed() == [f"{PATH}:1"]


async def test_nothing_goes_unless_somebody_says_so(upkeep: Upkeep) -> None:
    for data in (b"a", b"b", b"c", b"d", b"e"):
        await upkeep.version(data, data.decode())
    await upkeep.later()
    retentions = upkeep.retentions
    assert (await retentions.get("analytics")).keeping == Keeping(None, 1)
    assert told(await upkeep.free()) == {}
    assert list(told(await retentions.preview("analytics", Keeping(7, 3)))) == [
        f"{PATH}:1",
        f"{PATH}:2",
    ]
    assert told(await retentions.preview("analytics", Keeping(None, 0))) == {}
    ours = Retentions(upkeep.house.database, upkeep.shelf.store, NOW.timestamp, Keeping(7, 4))
    assert (await ours.set(ADA, "analytics", {"days": NO_LIMIT})).keeping == Keeping(None, 4)
    assert told(await ours.free_all()) == {}
    assert (await ours.set(ADA, "analytics", {})).keeping == Keeping(7, 4)
    assert list(told(await ours.free_all())) == [f"{PATH}:1"]


async def test_setting_it_is_one_event_with_before_and_after(upkeep: Upkeep) -> None:
    retentions = upkeep.retentions
    assert (await retentions.set(ADA, "analytics", {"days": 30}, revision=0)).revision == 1
    with pytest.raises(RevisionConflict):
        await retentions.set(ADA, "analytics", {"days": 31}, revision=0)
    await retentions.set(ADA, "analytics", {"days": NO_LIMIT, "keep": 2})
    await retentions.set(ADA, "analytics", {"days": NO_LIMIT, "keep": 2})
    events = await upkeep.house.events.list(visible=EVERYTHING, namespace="analytics")
    assert [event.detail for event in events if event.action == "retention.set"] == [
        {"before": {"days": None}, "after": {"days": 30}},
        {"before": {"days": 30, "keep": None}, "after": {"days": "never", "keep": 2}},
    ]
    for work in (retentions.get("nowhere"), retentions.free(ADA, "nowhere")):
        with pytest.raises(NamespaceUnknown):
            await work
