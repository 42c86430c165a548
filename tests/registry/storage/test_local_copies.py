import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from builder.errors import StoreUnavailable
from builder.keys import blob_key, package_key
from builder.oci.digest import Digest
from conformance.s3 import S3Server
from conformance.s3.network import Network
from registry.storage.local_copies import LocalCopies
from tests.registry.storage.s3_stores import open_store

DATA = b"a package" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def put(copies: LocalCopies, name: str, size: int) -> None:
    path = copies.new_path()
    path.write_bytes(bytes(size))
    copies.keep(name, path)


def test_the_copies_asked_for_longest_ago_go_first(tmp_path: Path) -> None:
    clock = Clock()
    copies = LocalCopies(tmp_path / "copies", max_bytes=250, keep_seconds=60, now=clock)
    for name in ("a", "b", "c"):
        put(copies, name, 100)
        clock.now += 10
    assert copies.find("a") is not None, "all are too young to go"
    clock.now += 55
    put(copies, "d", 100)
    assert [name for name in "abcd" if copies.find(name)] == ["a", "d"]


def test_what_killed_processes_left_goes(tmp_path: Path) -> None:
    clock = Clock()
    copies = LocalCopies(tmp_path / "copies", keep_seconds=60, now=clock)
    stray = copies.new_path()
    stray.write_bytes(b"half")
    os.utime(stray, (clock.now - 61, clock.now - 61))
    young = copies.new_path()
    young.write_bytes(b"half")
    os.utime(young, (clock.now, clock.now))
    put(copies, "a", 1)
    assert not stray.exists()
    assert young.exists()


@pytest.mark.anyio
async def test_a_package_is_downloaded_once_however_many_ask(
    s3_server: S3Server, network: Network, tmp_path: Path
) -> None:
    async with open_store(s3_server, tmp_path, url=network.url) as store:
        key = package_key(SHA256)
        await store.write(key, DATA)
        network.requests = 0
        paths = await asyncio.gather(*(store.local_path(key, tmp_path) for _ in range(20)))
        assert network.requests == 1
        assert {path.read_bytes() for path in paths if path} == {DATA}
        assert await store.local_path(key, tmp_path) == paths[0]
        assert network.requests == 1


@pytest.mark.anyio
async def test_an_adopted_package_is_not_downloaded_again(
    s3_server: S3Server, network: Network, tmp_path: Path
) -> None:
    async with open_store(s3_server, tmp_path, url=network.url) as store:
        made = tmp_path / "made"
        made.write_bytes(DATA)
        await store.adopt(package_key(SHA256), made)
        assert not made.exists()
        network.requests = 0
        path = await store.local_path(package_key(SHA256), tmp_path)
        assert path is not None
        assert path.read_bytes() == DATA
        assert network.requests == 0


@pytest.mark.anyio
async def test_adopted_layers_leave_no_copy(s3_server: S3Server, tmp_path: Path) -> None:
    async with open_store(s3_server, tmp_path) as store:
        made = tmp_path / "made"
        made.write_bytes(DATA)
        await store.adopt(blob_key(Digest(f"sha256:{SHA256}")), made)
    assert files_below(tmp_path) == []


@pytest.mark.anyio
async def test_a_damaged_package_is_never_handed_out(s3_server: S3Server, tmp_path: Path) -> None:
    async with open_store(s3_server, tmp_path) as store:
        await store.write(package_key(SHA256), DATA[:-1])
        with pytest.raises(StoreUnavailable, match=f"other bytes than those of sha256:{SHA256}"):
            await store.local_path(package_key(SHA256), tmp_path)
    assert files_below(tmp_path) == []


@pytest.mark.anyio
async def test_what_has_no_digest_is_copied_anew(s3_server: S3Server, tmp_path: Path) -> None:
    async with open_store(s3_server, tmp_path) as store:
        for data in (b"1", b"2"):
            await store.write("locks/a.yml", data)
            path = await store.local_path("locks/a.yml", tmp_path)
            assert path is not None
            assert path.read_bytes() == data
