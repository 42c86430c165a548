"""A disk that is full, read-only or broken is an error of the store, and passes."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder import system_errors as disk
from builder.errors import StoreUnavailable
from registry.storage.filesystem import FilesystemStore
from tests.contracts.store import MIB, list_keys

pytestmark = pytest.mark.anyio


def leftovers(root: Path) -> list[Path]:
    return [path for path in (root / ".tmp").rglob("*") if path.is_file()]


@contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to write more, as it does when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_what_does_not_fit_leaves_nothing_and_fits_when_there_is_room(
    store: FilesystemStore, tmp_path: Path
) -> None:
    with no_file_larger_than(2 * MIB):
        with pytest.raises(StoreUnavailable, match="the store is full"):
            await store.write("a", bytes(3 * MIB))
        assert leftovers(tmp_path / "store") == []
        assert await list_keys(store, "") == []
        await store.write("small", b"fits")
    await store.write("a", bytes(3 * MIB))
    assert await store.size("a") == 3 * MIB


async def test_a_file_of_another_disk_that_does_not_fit_stays_where_it_is(
    store: FilesystemStore, tmp_path: Path
) -> None:
    elsewhere = Path("/dev/shm") / f"pullforge-full-{os.getpid()}"
    elsewhere.write_bytes(bytes(3 * MIB))
    try:
        with no_file_larger_than(2 * MIB), pytest.raises(StoreUnavailable):
            await store.adopt("a", elsewhere)
        assert elsewhere.stat().st_size == 3 * MIB
        assert leftovers(tmp_path / "store") == []
        await store.adopt("a", elsewhere)
    finally:
        elsewhere.unlink(missing_ok=True)
    assert await store.size("a") == 3 * MIB


@pytest.mark.parametrize("number", disk._SENTENCES, ids=errno.errorcode.get)
async def test_a_disk_that_fails_at_the_last_moment_leaves_nothing(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Delayed allocation: the disk says only when it is synced that there is no room."""

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    made = tmp_path / "made"
    made.write_bytes(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StoreUnavailable, match="the store") as caught:
            await store.write("a", b"data")
        with pytest.raises(StoreUnavailable):
            await store.adopt("b", made)
    assert str(tmp_path) not in caught.value.message
    assert leftovers(tmp_path / "store") == []
    assert await list_keys(store, "") == []
    await store.write("a", b"data")
    await store.adopt("b", made)


async def test_a_disk_that_cannot_be_read_is_not_an_empty_store(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "input/output error")

    await store.write("a", b"data")
    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StoreUnavailable, match="disk does not work"):
        await store.read("a")
    with pytest.raises(StoreUnavailable, match="disk does not work"):
        await anext(store.stream("a"))


def test_a_store_where_nothing_can_be_made_says_so_at_the_start() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        FilesystemStore(Path("/sys/pullforge"))
