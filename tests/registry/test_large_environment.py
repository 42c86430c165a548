"""What grows with the files of an environment is not computed on the event loop."""

import time
from pathlib import Path

import pytest

from conformance.channel.index import index_channel
from conformance.channel.writer import Entry, Package, write_package
from tests.registry.asgi import Client
from tests.registry.web.api.site import BUILDS, Site, wish
from tests.tiny_channel import IN_2024

pytestmark = pytest.mark.anyio

#: As many as an everyday environment has.
FILES = 20_000


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a service whose channel has a package of many files."""
    site = Site.make(tmp_path)
    entries = [Entry(f"share/many/{at % 97}/file-{at}.txt", data=b"") for at in range(FILES)]
    write_package(Package("many", "1.0", entries=entries, timestamp_ms=IN_2024), site.channel)
    index_channel(site.channel)
    return site


async def loop_seconds(client: Client, *specs: str) -> float:
    """Return the processor time of the event loop's thread for a build."""
    begun = time.thread_time()
    reply = await client.post(BUILDS, wish(*specs), prefer="wait=25")
    assert reply.status == 201, reply.body
    return time.thread_time() - begun


async def test_an_environment_of_many_files_takes_no_more_of_the_loop_than_a_small_one(
    site: Site,
) -> None:
    async with site.open() as client:
        await loop_seconds(client, "library")
        small = await loop_seconds(client, "library", "tool=1")
        first = await loop_seconds(client, "many")
        # Its contents are known by now, and read again.
        second = await loop_seconds(client, "many", "tool")
    # On the loop it was 0.13 s more; a busy machine takes a few hundredths for nothing.
    assert first < small + 0.06
    assert second < small + 0.06
