"""Ten thousand tags, and ten thousand referrers: every page costs what is on it."""

import json
import time
import tracemalloc

import pytest

from builder.oci.digest import digest_of
from registry.content.names import parse_repository
from registry.storage.layout import referrer_key, tag_key
from tests.registry.asgi import Client
from tests.registry.fakes import FakeService

pytestmark = pytest.mark.anyio

MANY = 10_000
#: For one page, of the processor's time: what else the machine does changes nothing.
LONGEST_SECONDS = 2
MOST_BYTES = 64 * 1024 * 1024


async def walk(client: Client, url: str, field: str) -> tuple[int, float]:
    """Follow pages to the last; return how many entries there are, and the longest page's time."""
    number, longest = 0, 0.0
    while url:
        started = time.process_time()
        reply = await client.get(url)
        longest = max(longest, time.process_time() - started)
        assert reply.status == 200
        number += len(reply.json()[field])
        url = reply.headers.get("link", "").partition(";")[0].strip("<>")
    return number, longest


async def test_listing_many_takes_little_time_and_memory(
    client: Client, house: FakeService
) -> None:
    repository, subject = parse_repository("team/app"), digest_of(b"subject")
    data = b'{"schemaVersion": 2, "manifests": []}'
    media_type = "application/vnd.oci.image.index.v1+json"
    url = f"/v2/{repository}/manifests/t00000"
    assert (await client.put(url, data, content_type=media_type)).status == 201
    written = (house.root / tag_key(repository, "t00000")).read_bytes()
    for number in range(1, MANY):
        (house.root / tag_key(repository, f"t{number:05}")).write_bytes(written)
    for number in range(MANY):
        artifact = digest_of(str(number).encode())
        path = house.root / referrer_key(repository, subject, "a/b", artifact)
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"mediaType": media_type, "digest": artifact, "size": 9, "artifactType": "a/b"}
        path.write_text(json.dumps(entry))
    tracemalloc.start()
    tags = await walk(client, f"/v2/{repository}/tags/list?n=500", "tags")
    referrers = await walk(client, f"/v2/{repository}/referrers/{subject}", "manifests")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tags[0], referrers[0]) == (MANY, MANY)
    assert max(tags[1], referrers[1]) < LONGEST_SECONDS
    assert peak < MOST_BYTES
