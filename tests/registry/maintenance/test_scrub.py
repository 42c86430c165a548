import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builder.errors import StoreUnavailable
from builder.keys import blob_key, layer_record_key, lock_key, package_key
from builder.lock import Lock, to_yaml
from builder.oci.digest import digest_of
from builder.spec import Channel
from registry.maintenance.findings import Finding, ScrubReport
from registry.maintenance.scrub import Scrub, find_leftovers, hashed_bytes
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import loose_key, manifest_holder_key, origin_key, pushed_key
from tests.registry.maintenance.store_builder import Shelf

pytestmark = pytest.mark.anyio

NOW = time.time()


async def scrub(store: FilesystemStore, *, delete: bool = True) -> ScrubReport:
    return await Scrub(store, delete=delete, threads=4, on_progress=lambda _: None).run()


def found(report: ScrubReport) -> list[tuple[str, str]]:
    return [(finding.problem, finding.key) for finding in report.findings]


async def put_lock(shelf: Shelf) -> Lock:
    lock = Lock(
        platforms={"linux-64": ()},
        channels=(Channel("main", "https://example.org/main"),),
        virtual_packages=(),
    )
    await shelf.put(lock_key(lock.key), to_yaml(lock), NOW)
    return lock


async def test_a_sound_store_has_no_findings(shelf: Shelf) -> None:
    lock = await put_lock(shelf)
    layer = await shelf.layer("x", NOW)
    await shelf.package("p", NOW)
    manifest = await shelf.manifest([layer], NOW)
    record = json.dumps({"top": manifest, "first": manifest}).encode()
    await shelf.put(f"images/{lock.key}.oci-zstd.json", record, NOW)
    report = await scrub(shelf.store)
    assert report.findings == []
    assert not report.is_harmful
    assert (report.blobs, report.packages, report.locks) == (3, 1, 1)
    assert report.hashed_bytes == await hashed_bytes(shelf.store) > 0


async def test_progress_is_told_byte_by_byte(shelf: Shelf) -> None:
    await shelf.layer("x" * 3_000_000, NOW)
    told: list[int] = []
    await Scrub(shelf.store, delete=True, threads=2, on_progress=told.append).run()
    assert sum(told) == await hashed_bytes(shelf.store)
    assert len(told) >= 3


@pytest.mark.parametrize("damage", [b"", b"\x28\xb5\x2f\xfdX", b"\x28\xb5\x2f\xfdx and more"])
async def test_corrupt_blobs_and_archives_are_deleted(shelf: Shelf, damage: bytes) -> None:
    layer, package = await shelf.layer("x", NOW), await shelf.package("p", NOW)
    sound = await shelf.layer("sound", NOW)
    (shelf.root / blob_key(layer)).write_bytes(damage)
    (shelf.root / package_key(package)).write_bytes(damage)
    report = await scrub(shelf.store)
    assert found(report) == [("corrupt", blob_key(layer)), ("corrupt", package_key(package))]
    assert all(finding.deleted for finding in report.findings)
    assert not report.is_harmful
    assert not await shelf.has(layer)
    assert not await shelf.has_package(package)
    assert await shelf.has(sound)
    assert (await scrub(shelf.store)).findings == []


async def test_corrupt_blobs_stay_when_nothing_may_be_deleted(shelf: Shelf) -> None:
    layer = await shelf.layer("x", NOW)
    (shelf.root / blob_key(layer)).write_bytes(b"y")
    report = await scrub(shelf.store, delete=False)
    assert found(report) == [("corrupt", blob_key(layer))]
    assert report.is_harmful
    assert await shelf.has(layer)


async def test_a_blob_that_is_made_again_while_it_is_read_stays(shelf: Shelf) -> None:
    layer = await shelf.layer("x", NOW - 100)
    (shelf.root / blob_key(layer)).write_bytes(b"y")
    os.utime(shelf.root / blob_key(layer), (NOW - 100, NOW - 100))

    class Healing(FilesystemStore):
        async def stream(
            self, key: str, start: int = 0, stop: int | None = None
        ) -> AsyncIterator[bytes]:
            async for chunk in super().stream(key, start, stop):
                yield chunk
            await shelf.layer("x", NOW)

    store = Healing(shelf.root)
    assert (await scrub(store)).findings == []
    store.close()
    assert await shelf.has(layer)


async def test_a_blob_that_the_disk_does_not_give_is_told_and_kept(shelf: Shelf) -> None:
    layer = await shelf.layer("x", NOW)

    class BadSector(FilesystemStore):
        async def stream(
            self, key: str, start: int = 0, stop: int | None = None
        ) -> AsyncIterator[bytes]:
            raise StoreUnavailable("the store's disk does not work")
            yield b""

    store = BadSector(shelf.root)
    report = await scrub(store)
    store.close()
    assert found(report) == [("unreadable", blob_key(layer))]
    assert report.is_harmful
    assert await shelf.has(layer)


async def test_a_store_that_is_away_ends_the_scrub_and_nothing_is_deleted(shelf: Shelf) -> None:
    layer = await shelf.layer("x", NOW)

    class Away(FilesystemStore):
        async def stream(
            self, key: str, start: int = 0, stop: int | None = None
        ) -> AsyncIterator[bytes]:
            raise StoreUnavailable("the store does not answer")
            yield b""

        async def size(self, key: str) -> int | None:
            raise StoreUnavailable("the store does not answer")

    store = Away(shelf.root)
    with pytest.raises(StoreUnavailable):
        await scrub(store)
    store.close()
    assert await shelf.has(layer)


async def test_a_lock_that_was_changed_is_told_and_kept(shelf: Shelf) -> None:
    lock = await put_lock(shelf)
    key = lock_key(lock.key)
    data = to_yaml(lock)
    await shelf.put(key, data.replace(b"example.org", b"example.com"), NOW)
    await shelf.put(lock_key("b" * 32), data, NOW)
    report = await scrub(shelf.store)
    assert found(report) == sorted([("lock", key), ("lock", lock_key("b" * 32))])
    assert report.is_harmful
    assert await shelf.store.size(key) is not None


async def test_an_image_without_its_lock_or_manifest_is_told(shelf: Shelf) -> None:
    build = "a" * 32
    manifest = await shelf.image(build, [await shelf.layer("x", NOW)], at=NOW)
    await shelf.store.delete(lock_key(build))
    await shelf.store.delete(blob_key(manifest))
    await shelf.put(f"images/{'b' * 32}.oci-zstd.json", b"{", NOW)
    report = await scrub(shelf.store)
    image = f"images/{build}.oci-zstd.json"
    assert found(report) == [
        ("image", image),
        ("image", f"images/{'b' * 32}.oci-zstd.json"),
        ("lock", lock_key(build)),
        ("lock", lock_key("b" * 32)),
    ]
    assert report.findings[0].words == f"its manifest {manifest} is gone"


async def test_a_record_of_a_layer_with_another_size_is_told(shelf: Shelf) -> None:
    layer = await shelf.layer("x", NOW)
    right, wrong, gone, broken = (
        layer_record_key(letter * 64, "zstd") for letter in ("a", "b", "c", "d")
    )
    await shelf.put(right, json.dumps({"digest": layer, "size_bytes": 5}).encode(), NOW)
    await shelf.put(wrong, json.dumps({"digest": layer, "size_bytes": 6}).encode(), NOW)
    other = f"sha256:{'0' * 64}"
    await shelf.put(gone, json.dumps({"digest": other, "size_bytes": 6}).encode(), NOW)
    await shelf.put(broken, b"{}", NOW)
    report = await scrub(shelf.store)
    assert found(report) == [("record", wrong), ("record", broken)]
    assert not report.is_harmful


async def test_what_does_not_belong_where_it_is_is_told(shelf: Shelf) -> None:
    keys = ["blobs/sha256/aa/notes.txt", f"packages/bb/{'c' * 64}", "probes/0123"]
    for key in keys:
        await shelf.put(key, b"x", NOW)
    report = await scrub(shelf.store)
    assert found(report) == [("leftover", key) for key in keys]
    assert not report.is_harmful
    assert all([await shelf.store.size(key) == 1 for key in keys])


def test_work_that_was_cut_off_is_found_in_the_scratch_directory(tmp_path: Path) -> None:
    assert find_leftovers(tmp_path / "missing", NOW) == []
    (tmp_path / "repodata").mkdir()
    for name, age in (("layer-1", 100_000), ("package-2", 10)):
        (tmp_path / name).write_bytes(b"12345")
        os.utime(tmp_path / name, (NOW - age, NOW - age))
    os.utime(tmp_path / "repodata", (0, 0))
    expected = Finding("leftover", str(tmp_path / "layer-1"), "5 bytes of work that was cut off")
    assert find_leftovers(tmp_path, NOW) == [expected]


async def test_what_was_pushed_and_is_corrupt_is_told_and_left(shelf: Shelf) -> None:
    digest = digest_of(b"pushed", "sha512")
    await shelf.put(blob_key(digest), b"damaged", NOW)
    await shelf.put(pushed_key(digest, "team/app"), b"", NOW)
    report = await scrub(shelf.store)
    assert found(report) == [("corrupt", blob_key(digest))]
    assert "push it again" in report.findings[0].words
    assert report.is_harmful
    assert await shelf.store.read(blob_key(digest)) == b"damaged"


async def test_what_was_pushed_and_can_be_made_here_is_healed(shelf: Shelf) -> None:
    digest = digest_of(b"layer")
    await shelf.put(blob_key(digest), b"damaged", NOW)
    await shelf.put(pushed_key(digest, "team/app"), b"", NOW)
    await shelf.put(origin_key(digest), b"{}", NOW)
    report = await scrub(shelf.store)
    assert [finding.deleted for finding in report.findings] == [True]


async def test_what_was_pushed_and_is_gone_is_told(shelf: Shelf) -> None:
    lost, under_way, empty = digest_of(b"lost"), digest_of(b"under way"), digest_of(b"")
    await shelf.put(blob_key(empty), b"", NOW)
    for digest in (lost, under_way, empty):
        await shelf.put(manifest_holder_key(digest, "team/app"), b"", NOW)
    await shelf.put(loose_key(under_way, "team/app"), b"", NOW)
    report = await scrub(shelf.store)
    assert found(report) == [("lost", manifest_holder_key(lost, "team/app"))]
    assert report.is_harmful
