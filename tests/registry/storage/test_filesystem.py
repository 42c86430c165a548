import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.ports import Store
from registry.storage.filesystem import FilesystemStore
from registry.storage.probe import check_store
from tests.contracts.store import MIB, StoreContract, list_keys

WRITER = """
import asyncio, sys
from pathlib import Path
from registry.storage.filesystem import FilesystemStore

async def main():
    store = FilesystemStore(Path(sys.argv[1]))
    number = 0
    while True:
        await store.write(f"kill/{sys.argv[2]}-{number}", bytes([number % 256]) * (4 << 20))
        number += 1
        if number == 2:
            print("writing", flush=True)

asyncio.run(main())
"""


class TestFilesystemStore(StoreContract):
    """The contract of all stores."""


def leftovers(root: Path) -> list[Path]:
    return [path for path in (root / ".tmp").rglob("*") if path.is_file()]


@pytest.mark.anyio
async def test_a_store_can_be_checked(store: Store) -> None:
    await check_store(store)
    assert await list_keys(store, "") == []


@pytest.mark.anyio
async def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    (tmp_path / "probes").write_bytes(b"in the way")
    with pytest.raises(OSError, match="probes"):
        await check_store(store)
    store.close()


@pytest.mark.anyio
async def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    await store.write("a", b"a file, so no directory")
    with pytest.raises(OSError, match="a"):
        await store.write("a/b", b"x")
    assert leftovers(tmp_path) == []
    store.close()


@pytest.mark.anyio
async def test_a_file_of_another_file_system_is_adopted(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm") / f"pullforge-test-{os.getpid()}"
    elsewhere.write_bytes(b"bytes")
    store = FilesystemStore(tmp_path)
    await store.adopt("a", elsewhere)
    assert await store.read("a") == b"bytes"
    assert not elsewhere.exists()
    assert leftovers(tmp_path) == []
    store.close()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.close()
    store.close()
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_opening_leaves_the_files_of_living_stores_alone(tmp_path: Path) -> None:
    first = FilesystemStore(tmp_path)
    second = FilesystemStore(tmp_path)
    assert len(list((tmp_path / ".tmp").iterdir())) == 2
    first.close()
    second.close()


def kill_a_writer(root: Path, name: str) -> None:
    """Start a process that writes 4 MiB objects, and kill -9 it in the middle."""
    command = [sys.executable, "-c", WRITER, str(root), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(signal.SIGKILL)


@pytest.mark.anyio
async def test_writers_killed_at_any_moment_leave_nothing_torn(tmp_path: Path) -> None:
    for number in range(4):
        kill_a_writer(tmp_path, str(number))
    store = FilesystemStore(tmp_path)
    assert leftovers(tmp_path) == []
    keys = await list_keys(store, "kill/")
    assert len(keys) >= 8
    for key in keys:
        data = await store.read(key)
        assert data is not None
        assert len(data) == 4 * MIB
        assert len(set(data)) == 1
    store.close()


@pytest.mark.anyio
async def test_directories_that_become_empty_go(tmp_path: Path) -> None:
    root = tmp_path / "directories"
    store = FilesystemStore(root)
    await store.write("a/b/c", b"")
    await store.write("a/d", b"")
    await store.delete("a/b/c")
    assert sorted(path.name for path in (root / "a").iterdir()) == ["d"]
    await store.delete("a/d")
    assert not (root / "a").exists()
    assert root.exists()
    store.close()


@pytest.mark.anyio
async def test_what_is_written_beside_deletions_in_its_directory_is_there(
    store: FilesystemStore,
) -> None:
    async def write_and_delete(number: int) -> None:
        for _ in range(100):
            await store.write(f"a/b/{number}", b"x")
            assert await store.read(f"a/b/{number}") == b"x"
            await store.delete(f"a/b/{number}")

    await asyncio.gather(*(write_and_delete(number) for number in range(8)))
    assert [entry async for entry in store.entries("a/")] == []
