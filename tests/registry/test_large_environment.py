"""What grows with the files of an environment is not computed on the event loop."""

import asyncio
import time
from pathlib import Path

import pytest

from conformance.channel.index import index_channel
from conformance.channel.writer import Entry, Package, write_package
from tests.registry.web.api.site import BUILDS, Site, wish
from tests.tiny_channel import IN_2024

pytestmark = pytest.mark.anyio

#: As many as an everyday environment has.
FILES = 20_000
#: Packages of so many files, one for each time that it is measured.
MANY = ("many", "more", "most")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a service whose channel has packages of many files."""
    site = Site.make(tmp_path)
    for name in MANY:
        entries = [Entry(f"share/{name}/{at % 97}/file-{at}.txt", data=b"") for at in range(FILES)]
        write_package(Package(name, "1.0", entries=entries, timestamp_ms=IN_2024), site.channel)
    index_channel(site.channel)
    return site


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the processor time of each step of the event loop, from now on.

    Of all steps together it would grow with the time that a build takes: the loop looks after it.
    """
    taken: list[float] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        begun = time.thread_time()
        run(handle)
        taken.append(time.thread_time() - begun)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    return taken


async def test_an_environment_of_many_files_takes_no_more_of_the_loop_than_a_small_one(
    site: Site, steps: list[float]
) -> None:
    async with site.open() as client:

        async def longest_step(*specs: str) -> float:
            steps.clear()
            reply = await client.post(BUILDS, wish(*specs), prefer="wait=25")
            assert reply.status == 201, reply.body
            assert len(steps) < FILES / 2, "nothing is done for each file"
            return max(steps)

        await longest_step("library")
        small = await longest_step("library", "tool=1")
        # The least of a few: Python collects its garbage in whichever thread it happens to be.
        first = min([await longest_step(name) for name in MANY])
        # Their contents are known by now, and read again.
        second = min([await longest_step(name, "tool") for name in MANY])
    # On the loop it was 0.13 s more; a busy machine takes a few hundredths for nothing.
    assert first < small + 0.04
    assert second < small + 0.04
