import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builder.errors import StoreUnavailable
from builder.keys import blob_key, package_key
from builder.oci.digest import digest_of
from builder.ports import Store
from conformance.s3 import S3Server
from conformance.s3.network import Network
from registry.cli import app
from registry.storage.copying import Copied, plan_copy, run_copy
from registry.storage.filesystem import FilesystemStore
from registry.storage.s3 import S3Store
from tests.registry.storage.s3_stores import new_location, open_store

#: Two blobs, one of several parts, a package, and documents.
CONTENTS = {
    **{blob_key(digest_of(data)): data for data in (b"layer", bytes(20 * 1024 * 1024))},
    package_key(hashlib.sha256(b"package").hexdigest()): b"package",
    "locks/0123.yml": b"lock: 1",
    "repositories/env/numpy/_tags/latest.json": b"{}",
    "contents/ab/large.json": b" " * (3 * 1024 * 1024),
}


async def fill(store: Store) -> None:
    for key, data in CONTENTS.items():
        await store.write(key, data)


async def contents_of(store: Store) -> dict[str, bytes | None]:
    return {entry.key: await store.read(entry.key) async for entry in store.entries("")}


async def copy(source: Store, target: Store, scratch: Path) -> Copied:
    return await run_copy(source, target, await plan_copy(source, target), scratch)


def leftovers(scratch: Path) -> list[Path]:
    return list(scratch.glob("copy-*"))


@pytest.fixture
async def bucket(s3_server: S3Server, tmp_path: Path, anyio_backend: str) -> AsyncIterator[S3Store]:
    async with open_store(s3_server, tmp_path) as bucket:
        yield bucket


@pytest.mark.anyio
async def test_a_store_is_the_same_after_a_way_through_a_bucket(
    store: FilesystemStore, bucket: S3Store, tmp_path: Path
) -> None:
    await fill(store)
    back = FilesystemStore(tmp_path / "back")
    copied = await copy(store, bucket, tmp_path)
    assert (copied.written, copied.present, copied.damaged) == (len(CONTENTS), 0, [])
    assert copied.written_bytes == sum(map(len, CONTENTS.values()))
    await copy(bucket, back, tmp_path)
    assert await contents_of(back) == CONTENTS
    assert await contents_of(store) == CONTENTS
    back.close()


@pytest.mark.anyio
async def test_what_is_there_is_not_copied_again_unless_it_may_have_changed(
    store: FilesystemStore, bucket: S3Store, tmp_path: Path
) -> None:
    await fill(store)
    await copy(store, bucket, tmp_path)
    await store.write("locks/0123.yml", b"lock: 2")
    await bucket.delete(blob_key(digest_of(b"layer")))
    copied = await copy(store, bucket, tmp_path)
    assert (copied.written, copied.present) == (4, 2)
    assert await bucket.read("locks/0123.yml") == b"lock: 2"
    assert await bucket.read(blob_key(digest_of(b"layer"))) == b"layer"


@pytest.mark.anyio
async def test_damaged_blobs_are_not_copied(
    store: FilesystemStore, bucket: S3Store, tmp_path: Path
) -> None:
    await fill(store)
    damaged = blob_key(digest_of(b"layer"))
    await store.write(damaged, b"LAYER")
    assert (await copy(store, bucket, tmp_path)).damaged == [damaged]
    assert await bucket.size(damaged) is None


@pytest.mark.anyio
@pytest.mark.usefixtures("no_pauses")
async def test_a_copy_that_broke_off_is_gone_on_with(
    store: FilesystemStore, s3_server: S3Server, network: Network, tmp_path: Path
) -> None:
    await fill(store)
    async with open_store(s3_server, tmp_path, url=network.url) as bucket:
        network.faults.cut_uploads = 1000
        network.faults.cut_upload_after_bytes = 1024 * 1024
        with pytest.raises(StoreUnavailable):
            await copy(store, bucket, tmp_path)
        assert not leftovers(tmp_path)
        network.faults.cut_uploads = 0
        await copy(store, bucket, tmp_path)
        assert await contents_of(bucket) == CONTENTS


@pytest.fixture
def bucket_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return a place in a bucket that the environment has the settings for."""
    settings = s3_server.settings() | {"store": tmp_path / "own", "scratch": tmp_path / "scratch"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PULLFORGE_{name.upper()}", str(value))
    return str(new_location())


def test_the_command_copies_and_says_how_much(bucket_url: str, tmp_path: Path) -> None:
    source = tmp_path / "from"
    (source / "locks").mkdir(parents=True)
    (source / "locks" / "a.yml").write_bytes(b"lock")
    result = CliRunner().invoke(app, ["store", "copy", str(source), bucket_url])
    assert result.exit_code == 0, result.output
    assert "Copied 1 entries, 4 bytes; 0 were there already, 0 are damaged." in result.output
    target = tmp_path / "to"
    result = CliRunner().invoke(app, ["store", "copy", bucket_url, str(target), "--json"])
    assert json.loads(result.stdout)["written"] == 1
    assert (target / "locks" / "a.yml").read_bytes() == b"lock"
    assert not list(target.glob(".copy-*"))


def test_the_command_fails_when_something_is_damaged(bucket_url: str, tmp_path: Path) -> None:
    source = tmp_path / "from"
    path = source / blob_key(digest_of(b"layer"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"LAYER")
    result = CliRunner().invoke(app, ["store", "copy", str(source), bucket_url])
    assert result.exit_code == 1
    assert blob_key(digest_of(b"layer"))[:60] in result.output.replace("\n", "")


def test_the_command_refuses_what_is_no_store(bucket_url: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["store", "copy", str(tmp_path / "nowhere"), bucket_url])
    assert result.exit_code == 1
    assert "there is no store in" in result.output
    result = CliRunner().invoke(app, ["store", "copy", "ftp://a/b", bucket_url])
    assert result.exit_code == 2
    assert "is not a place for a store" in " ".join(result.output.replace("│", " ").split())
