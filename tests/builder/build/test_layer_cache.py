import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

from builder.build.layer_cache import LayerCache
from builder.fetch.packages import Packages
from builder.keys import blob_key
from builder.layer import LayerBlob, LayerPackage, LayerPlan
from builder.oci.digest import digest_of
from builder.records import PackageRecord
from registry.storage.filesystem import FilesystemStore
from tests.builder.counting import CountingMetrics
from tests.builder.records_for_tests import record

PLAN = LayerPlan((LayerPackage(record("zlib")),))


class NoPackages:
    """Gives a file for each package without looking for it."""

    async def use(
        self, records: Sequence[PackageRecord], work: Callable[[list[Path]], Awaitable[LayerBlob]]
    ) -> LayerBlob:
        return await work([Path(record.sha256) for record in records])


class Assembler:
    """Makes a layer of whatever comes next, as a compressor that is not always the same."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = list(contents)

    async def run(self, function: object, *args: Any) -> LayerBlob:
        data, out = self.contents.pop(0), args[3]
        out.write_bytes(data)
        return LayerBlob("gzip", digest_of(data), len(data), digest_of(b"tar"), 3)


def made(tmp_path: Path, *contents: bytes, lose: bytes = b"") -> tuple[list[bytes], list[bytes]]:
    """Return what the layer is when it is asked for twice, lost in between, and what was left."""
    store = FilesystemStore(tmp_path / "store")
    assembler = Assembler(*contents)
    cache = LayerCache(
        store, cast("Packages", NoPackages()), cast("Any", assembler), cast("Any", None), tmp_path,
        CountingMetrics(),
    )  # fmt: skip

    async def python() -> tuple[PackageRecord, ...]:
        return ()

    async def scenario() -> list[bytes]:
        found = []
        for _ in range(2):
            blob = await cache.ensure(PLAN, "gzip", python)
            found.append(await store.read(blob_key(blob.digest)) or b"")
            await store.delete(blob_key(digest_of(lose)))
        return found

    try:
        return asyncio.run(scenario()), assembler.contents
    finally:
        store.close()


def test_a_layer_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    assert made(tmp_path, b"a", b"b") == ([b"a", b"a"], [b"b"])


def test_a_lost_layer_is_made_until_it_is_what_it_was(tmp_path: Path) -> None:
    assert made(tmp_path, b"a", b"other", b"a", b"rest", lose=b"a") == ([b"a", b"a"], [b"rest"])
    assert not list((tmp_path / "store").rglob(digest_of(b"other").partition(":")[2]))


def test_a_lost_layer_that_can_be_had_no_more_is_what_it_is_now(tmp_path: Path) -> None:
    assert made(tmp_path, b"a", b"b", b"b", b"b", lose=b"a") == ([b"a", b"b"], [])
