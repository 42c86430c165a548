"""The store over a network that fails: tried again within bounds, then one clear sentence."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from builder.errors import StoreUnavailable
from builder.oci.digest import digest_of
from builder.oci.models import OCI_MANIFEST
from conformance.s3 import S3Server
from conformance.s3.network import Network
from conformance.s3.server import ACCESS_KEY, REGION
from registry.content.manifests import Manifests
from registry.storage.local_copies import LocalCopies
from registry.storage.location import S3Location
from registry.storage.s3 import S3Store, open_s3_store
from registry.storage.s3_client import S3Access, open_client
from registry.storage.s3_upload import PART_BYTES, abort_leftovers, sweep_leftovers
from tests.contracts.store import MIB, list_keys, read_stream
from tests.registry.storage.s3_stores import access_to, new_location, open_store

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_pauses")]

#: Enough to exhaust every bound.
ALWAYS = 1000
TRIES = 4
LARGE = 3 * PART_BYTES + 1


@pytest.fixture
def location() -> S3Location:
    return new_location()


@pytest.fixture
async def store(
    s3_server: S3Server, network: Network, location: S3Location, tmp_path: Path
) -> AsyncIterator[S3Store]:
    """Return a store that reaches its server through the network."""
    async with open_store(s3_server, tmp_path, location, network.url) as store:
        yield store


def every_use(store: S3Store, directory: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return a call of each method."""
    path = directory / "large"
    path.write_bytes(bytes(LARGE))
    return {
        "size": lambda: store.size("a"),
        "read": lambda: store.read("a"),
        "stream": lambda: read_stream(store, "a"),
        "write": lambda: store.write("b", b"x"),
        "adopt": lambda: store.adopt("c", path),
        "local_path": lambda: store.local_path("a", directory),
        "delete": lambda: store.delete("b"),
        "entries": lambda: list_keys(store, ""),
    }


async def unfinished(server: S3Server, location: S3Location) -> list[str]:
    async with open_client(access_to(server.url)) as client:
        answer = await client.list_multipart_uploads(Bucket=location.bucket, Prefix=location.prefix)
        return [upload["Key"] for upload in answer.get("Uploads", [])]


async def test_a_slow_network_changes_nothing(store: S3Store, network: Network) -> None:
    network.faults.latency_seconds = 0.05
    await store.write("a", b"data")
    assert await store.read("a") == b"data"


async def test_a_body_that_breaks_is_gone_on_with(store: S3Store, network: Network) -> None:
    data = secrets.token_bytes(8 * MIB)
    await store.write("a", data)
    network.requests = 0
    network.faults.cut_answers, network.faults.cut_after_bytes = 3, 2 * MIB + 5000
    assert await store.read("a") == data
    assert network.requests == 4
    network.faults.cut_answers = 2
    assert await read_stream(store, "a", 1, 7 * MIB) == data[1 : 7 * MIB]


async def test_a_body_that_always_breaks_is_given_up(store: S3Store, network: Network) -> None:
    await store.write("a", bytes(4 * MIB))
    network.requests = 0
    network.faults.cut_answers, network.faults.cut_after_bytes = ALWAYS, 100_000
    with pytest.raises(StoreUnavailable, match="the store does not answer"):
        await store.read("a")
    assert network.requests == TRIES


async def test_a_body_that_breaks_when_it_was_replaced_is_never_a_mixture(
    store: S3Store, network: Network
) -> None:
    await store.write("a", b"1" * (4 * MIB))
    network.faults.cut_answers, network.faults.cut_after_bytes = 1, 2 * MIB + 5000
    stream = store.stream("a")
    assert await anext(stream) == b"1" * MIB
    await store.write("a", b"2" * (4 * MIB))
    with pytest.raises(StoreUnavailable, match="replaced meanwhile"):
        assert b"2" not in b"".join([piece async for piece in stream])


async def test_an_overloaded_server_is_asked_again(store: S3Store, network: Network) -> None:
    for write in (True, False):
        network.faults.slow_downs = TRIES - 1
        if write:
            await store.write("a", b"data")
        else:
            assert await store.size("a") == 4
        assert network.faults.slow_downs == 0


@pytest.mark.parametrize(
    "use", ["size", "read", "stream", "write", "adopt", "local_path", "delete", "entries"]
)
async def test_a_server_that_stays_overloaded_is_given_up(
    store: S3Store, network: Network, tmp_path: Path, use: str
) -> None:
    await store.write("a", b"data")
    network.requests = 0
    network.faults.slow_downs = ALWAYS
    with pytest.raises(StoreUnavailable, match="overloaded"):
        await every_use(store, tmp_path)[use]()
    assert network.requests == TRIES
    network.faults.slow_downs = 0
    assert await list_keys(store, "") == ["a"]
    await every_use(store, tmp_path)[use]()


async def test_an_unreachable_server_is_an_error_until_it_is_back(
    store: S3Store, network: Network, tmp_path: Path
) -> None:
    await store.write("a", b"data")
    await network.disconnect()
    uses = every_use(store, tmp_path)
    for use in uses.values():
        with pytest.raises(StoreUnavailable, match="does not answer") as caught:
            await use()
        assert "\n" not in caught.value.message
    await network.connect()
    for use in uses.values():
        await use()
    assert await store.size("c") == LARGE


async def test_a_bucket_that_vanishes_is_an_error_and_not_an_empty_store(
    s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = s3_server.data / f"bucket-{secrets.token_hex(4)}"
    bucket.mkdir()
    async with open_store(s3_server, tmp_path, S3Location(bucket.name)) as store:
        await store.write("a", b"data")
        (bucket / "a").unlink()
        bucket.rename(s3_server.data / f"{bucket.name}.gone")
        store._bucket_seen = float("-inf")
        for use in every_use(store, tmp_path).values():
            with pytest.raises(StoreUnavailable, match="bucket"):
                await use()


async def test_a_missing_bucket_is_named_at_the_start(s3_server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no bucket 'nowhere'"):
        async with open_store(s3_server, tmp_path, S3Location("nowhere")):
            pass


@pytest.mark.parametrize(
    ("key", "secret", "words"),
    [(ACCESS_KEY, "wrong", "credentials"), ("nobody", "wrong", "refused with \\w+")],
)
async def test_wrong_credentials_are_told_at_the_start(
    s3_server: S3Server, tmp_path: Path, location: S3Location, key: str, secret: str, words: str
) -> None:
    async with open_client(S3Access(s3_server.url, REGION, key, secret)) as client:
        with pytest.raises(StoreUnavailable, match=words):
            async with open_s3_store(client, location, LocalCopies(tmp_path)):
                pass


async def test_an_upload_that_breaks_is_sent_again(
    store: S3Store, network: Network, tmp_path: Path
) -> None:
    data, path = secrets.token_bytes(LARGE), tmp_path / "file"
    path.write_bytes(data)
    network.faults.cut_uploads, network.faults.cut_upload_after_bytes = 3, 3 * MIB
    await store.adopt("a", path)
    assert await store.read("a") == data
    assert not path.exists()


async def test_an_upload_that_always_breaks_leaves_nothing(
    s3_server: S3Server, store: S3Store, network: Network, location: S3Location, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(LARGE))
    network.faults.cut_uploads, network.faults.cut_upload_after_bytes = ALWAYS, 3 * MIB
    with pytest.raises(StoreUnavailable):
        await store.adopt("a", path)
    assert path.exists()
    assert await list_keys(store, "") == []
    assert await unfinished(s3_server, location) == []
    network.faults.cut_uploads = 0
    await store.adopt("a", path)
    assert await store.size("a") == LARGE


async def test_a_cancelled_upload_leaves_nothing(
    s3_server: S3Server, store: S3Store, network: Network, location: S3Location, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(LARGE))
    adopting = asyncio.create_task(store.adopt("a", path))
    await network.until_sent(network.sent_bytes + 2 * PART_BYTES)
    adopting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adopting
    assert path.exists()
    assert await list_keys(store, "") == []
    assert await unfinished(s3_server, location) == []


async def test_an_upload_whose_last_answer_is_lost_has_succeeded(
    store: S3Store, network: Network, tmp_path: Path
) -> None:
    data, path = secrets.token_bytes(LARGE), tmp_path / "file"
    path.write_bytes(data)
    faults = network.faults
    faults.cut_answers, faults.cut_after_bytes, faults.cut_only = 1, 0, b"?uploadId="
    await store.adopt("a", path)
    assert faults.cut_answers == 0
    assert await store.read("a") == data


@pytest.mark.parametrize("size", [MIB, LARGE])
async def test_what_arrives_damaged_is_refused(
    store: S3Store, network: Network, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    network.faults.flipped_pieces = 1
    with pytest.raises(StoreUnavailable, match="arrived damaged"):
        await store.adopt("a", path)
    assert await store.size("a") is None
    await store.adopt("a", path)
    assert await store.size("a") == size


async def test_old_unfinished_uploads_are_removed_and_young_ones_stay(
    s3_server: S3Server, location: S3Location
) -> None:
    async with open_client(access_to(s3_server.url)) as client:
        for key in ("a", "b/c"):
            await client.create_multipart_upload(Bucket=location.bucket, Key=location.prefix + key)
        assert await abort_leftovers(client, location.bucket, location.prefix) == 0
        assert len(await unfinished(s3_server, location)) == 2
        found = await abort_leftovers(
            client, location.bucket, location.prefix, older_than_seconds=-60
        )
        assert found == 2
    assert await unfinished(s3_server, location) == []


async def test_a_manifest_in_memory_is_served_while_the_store_is_down(
    store: S3Store, network: Network
) -> None:
    manifests = Manifests(store)
    data = b'{"mediaType": "application/vnd.oci.image.manifest.v1+json"}'
    await manifests.put(data, OCI_MANIFEST)
    await network.disconnect()
    assert (await manifests.get(digest_of(data))).data == data


@pytest.mark.parametrize("is_complete", [True, False])
async def test_an_upload_that_is_forgotten_at_its_end_is_known_by_its_size(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_complete: bool
) -> None:
    """So answers S3 to a second try of the last request, long after the first."""
    complete = store._client.complete_multipart_upload

    async def forget(**request: Any) -> None:
        if is_complete:
            await complete(**request)
        raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "CompleteMultipartUpload")

    monkeypatch.setattr(store._client, "complete_multipart_upload", forget)
    path = tmp_path / "file"
    path.write_bytes(bytes(LARGE))
    if is_complete:
        await store.adopt("a", path)
        assert await store.size("a") == LARGE
    else:
        with pytest.raises(StoreUnavailable):
            await store.adopt("a", path)
        assert await store.size("a") is None
        assert path.exists()


async def test_a_sweep_that_fails_harms_nothing(
    store: S3Store, network: Network, location: S3Location
) -> None:
    await network.disconnect()
    await sweep_leftovers(store._client, location.bucket, location.prefix)
    await network.connect()
    await store.write("a", b"data")
