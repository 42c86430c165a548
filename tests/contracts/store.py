"""What every store promises: run by the tests of each driver, by inheriting :class:`StoreContract`.

A driver's test module gives a fixture ``store``.
"""

import asyncio
from pathlib import Path

import pytest

from builder.ports import Store

MIB = 1024 * 1024

UNSAFE_KEYS = (
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    ".tmp/a",
    "a/.hidden",
    "a\\b",
    "a\0b",
    "a\nb",
    "a b",
    "ä",
    "a" * 256,
    "/".join(["abcdefgh"] * 200),
)


async def read_stream(store: Store, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.stream(key, start, stop)])


async def list_keys(store: Store, prefix: str) -> list[str]:
    return [entry.key async for entry in store.entries(prefix)]


@pytest.mark.anyio
class StoreContract:
    async def test_what_was_written_is_read_back(self, store: Store) -> None:
        await store.write("a/b", b"hello")
        assert await store.read("a/b") == b"hello"
        assert await store.size("a/b") == 5
        assert await read_stream(store, "a/b") == b"hello"

    async def test_a_listing_can_begin_after_any_key(self, store: Store) -> None:
        keys = ["l/a", "l/a-b", "l/a.b/c", "l/b/a", "l/b/b", "l/c"]
        for key in keys:
            await store.write(key, b"")
        for after in [
            "",
            "k",
            "l/",
            "l/a",
            "l/a.b",
            "l/a.b/c",
            "l/b",
            "l/b/a",
            "l/b/aa",
            "l/c",
            "m",
        ]:
            found = [entry.key async for entry in store.entries("l/", after)]
            assert found == [key for key in keys if key > after], after

    async def test_an_empty_object_is_there(self, store: Store) -> None:
        await store.write("empty", b"")
        assert await store.read("empty") == b""
        assert await store.size("empty") == 0
        assert await read_stream(store, "empty") == b""

    async def test_writing_again_replaces(self, store: Store) -> None:
        await store.write("a", b"first")
        await store.write("a", b"2nd")
        assert await store.read("a") == b"2nd"

    async def test_nothing_is_under_a_key_never_written(self, store: Store) -> None:
        await store.write("a/b", b"x")
        for key in ("c", "a", "a/b/c"):
            assert await store.read(key) is None
            assert await store.size(key) is None
            with pytest.raises(KeyError):
                await read_stream(store, key)

    async def test_a_stream_gives_the_part_asked_for(self, store: Store) -> None:
        data = bytes(range(256)) * (3 * MIB // 256) + b"tail"
        await store.write("big", data)
        for start, stop in [(0, None), (1, 2), (MIB - 1, MIB + 1), (5, 3 * MIB), (3 * MIB, None)]:
            assert await read_stream(store, "big", start, stop) == data[start:stop]
        assert await read_stream(store, "big", 0, 10 * MIB) == data
        assert await read_stream(store, "big", len(data)) == b""

    async def test_a_stream_comes_in_pieces(self, store: Store) -> None:
        await store.write("big", bytes(3 * MIB))
        sizes = [len(piece) async for piece in store.stream("big")]
        assert sum(sizes) == 3 * MIB
        assert max(sizes) <= 2 * MIB
        assert len(sizes) <= 8

    async def test_a_file_is_adopted(self, store: Store, tmp_path: Path) -> None:
        path = tmp_path / "made"
        path.write_bytes(b"bytes")
        await store.adopt("a/b", path)
        assert await store.read("a/b") == b"bytes"
        assert not path.exists()

    async def test_adopting_again_is_harmless(self, store: Store, tmp_path: Path) -> None:
        path = tmp_path / "made"
        path.write_bytes(b"bytes")
        await store.adopt("a", path)
        await store.adopt("a", path)
        assert await store.read("a") == b"bytes"

    async def test_adopting_nothing_fails(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            await store.adopt("a", tmp_path / "missing")
        assert await store.size("a") is None

    async def test_a_local_path_has_the_bytes(self, store: Store, tmp_path: Path) -> None:
        await store.write("a", b"bytes")
        path = await store.local_path("a", tmp_path)
        assert path is not None
        assert path.read_bytes() == b"bytes"
        assert await store.local_path("b", tmp_path) is None

    async def test_what_is_deleted_is_gone(self, store: Store) -> None:
        await store.write("a", b"x")
        await store.delete("a")
        assert await store.size("a") is None
        await store.delete("a")

    async def test_who_reads_reads_on_when_it_is_replaced(self, store: Store) -> None:
        await store.write("a", b"1" * (3 * MIB))
        stream = store.stream("a")
        first = await anext(stream)
        await store.write("a", b"2" * (3 * MIB))
        assert set(first + b"".join([piece async for piece in stream])) == set(b"1")

    async def test_keys_are_sorted_as_strings(self, store: Store) -> None:
        keys = ["a/b", "a.b", "a/b.c", "a0", "b/a/a", "a/a/z", "a-b"]
        for key in keys:
            await store.write(key, b"")
        assert await list_keys(store, "") == sorted(keys)

    async def test_a_prefix_may_end_within_a_segment(self, store: Store) -> None:
        for key in ("blobs/aa/aab", "blobs/aa/abc", "blobs/ab/x", "blob"):
            await store.write(key, b"")
        assert await list_keys(store, "blobs/aa/aa") == ["blobs/aa/aab"]
        assert await list_keys(store, "blobs/a") == ["blobs/aa/aab", "blobs/aa/abc", "blobs/ab/x"]
        assert await list_keys(store, "blobs/") == ["blobs/aa/aab", "blobs/aa/abc", "blobs/ab/x"]
        assert await list_keys(store, "blob") == [
            "blob",
            "blobs/aa/aab",
            "blobs/aa/abc",
            "blobs/ab/x",
        ]
        assert await list_keys(store, "nothing/") == []

    async def test_many_keys_are_listed(self, store: Store) -> None:
        keys = [f"many/{number:05}" for number in range(2345)]
        for start in range(0, len(keys), 500):
            await asyncio.gather(*(store.write(key, b"") for key in keys[start : start + 500]))
        assert await list_keys(store, "many/") == keys

    @pytest.mark.parametrize("key", UNSAFE_KEYS, ids=lambda key: repr(key[:20]))
    async def test_an_unsafe_key_is_refused(self, store: Store, key: str, tmp_path: Path) -> None:
        path = tmp_path / "made"
        path.write_bytes(b"x")
        with pytest.raises(ValueError, match="not a safe key"):
            await store.write(key, b"x")
        with pytest.raises(ValueError, match="not a safe key"):
            await store.adopt(key, path)
        with pytest.raises(ValueError, match="not a safe key"):
            await store.read(key)
        with pytest.raises(ValueError, match="not a safe key"):
            await store.size(key)
        with pytest.raises(ValueError, match="not a safe key"):
            await store.delete(key)
        with pytest.raises(ValueError, match="not a safe key"):
            await store.local_path(key, tmp_path)
        with pytest.raises(ValueError, match="not a safe key"):
            await read_stream(store, key)
        assert path.exists()

    async def test_readers_see_one_writer_or_another_never_both(self, store: Store) -> None:
        """Many writers of one key, many readers: each reads what one of the writers wrote."""
        size = 256 * 1024
        await store.write("a", b"0" * size)

        async def write(letter: bytes) -> None:
            for _ in range(5):
                await store.write("a", letter * size)

        async def read() -> None:
            for _ in range(20):
                data = await store.read("a")
                assert data is not None
                assert len(data) == size
                assert len(set(data)) == 1

        await asyncio.gather(*(write(letter) for letter in (b"1", b"2", b"3")), read(), read())

    async def test_a_cancelled_write_is_whole_or_nothing(self, store: Store) -> None:
        data = b"x" * (8 * MIB)
        for number in range(10):
            writing = asyncio.create_task(store.write(f"c/{number}", data))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait({writing})
        for number in range(10):
            assert await store.size(f"c/{number}") in {None, len(data)}
