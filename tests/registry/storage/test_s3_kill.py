"""Processes killed while they write."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from conformance.s3 import S3Server
from conformance.s3.network import Network
from registry.storage.s3_client import open_client
from registry.storage.s3_upload import PART_BYTES, abort_leftovers
from tests.contracts.store import list_keys
from tests.registry.storage.s3_stores import access_to, new_location, open_store

SIZE = 3 * PART_BYTES

WRITER = """
import asyncio, sys
from pathlib import Path
from registry.storage.location import S3Location
from tests.registry.storage.s3_stores import access_to
from registry.storage.local_copies import LocalCopies
from registry.storage.s3 import open_s3_store
from registry.storage.s3_client import open_client

async def main(url, bucket, prefix, directory, name, size):
    copies = LocalCopies(Path(directory) / "copies")
    async with open_client(access_to(url)) as client:
        async with open_s3_store(client, S3Location(bucket, prefix), copies) as store:
            for number in range(256):
                path = Path(directory) / name
                path.write_bytes(bytes([number]) * int(size))
                await store.adopt(f"kill/{name}-{number}", path)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.anyio
async def test_writers_killed_at_any_moment_leave_nothing_torn(
    s3_server: S3Server, network: Network, tmp_path: Path
) -> None:
    location, moments = new_location(), random.Random(20261123)
    for number in range(5):
        moment = network.sent_bytes + moments.randrange(SIZE // 8, 2 * SIZE)
        arguments = [network.url, location.bucket, location.prefix, tmp_path, f"{number}", SIZE]
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, *map(str, arguments)
        )
        await network.until_sent(moment)
        writer.kill()
        await writer.wait()
    async with open_store(s3_server, tmp_path, location) as store:
        keys = await list_keys(store, "kill/")
        for key in keys:
            data = await store.read(key)
            assert data is not None
            assert len(data) == SIZE
            assert len(set(data)) == 1
    async with open_client(access_to(s3_server.url)) as client:
        left = await abort_leftovers(
            client, location.bucket, location.prefix, older_than_seconds=-60
        )
    assert keys or left, "no moment fell into an upload"
