"""What grows with the index of a channel is not computed on the event loop."""

import itertools
import json
import time
from pathlib import Path

import pytest

from tests.registry.asgi import Client
from tests.registry.web.api.site import BUILDS, Site, wish

pytestmark = pytest.mark.anyio

#: As many as conda-forge has.
NAMES = 32_000
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a service whose channel has names that are all nearly the same."""
    site = Site.make(tmp_path, platforms=["linux-64", "linux-aarch64"], repodata_ttl_seconds=3600)
    endings = itertools.islice(itertools.product(LETTERS, repeat=3), NAMES)
    add_names(site.channel, [f"scientific-package-{''.join(ending)}" for ending in endings])
    return site


def add_names(channel: Path, names: list[str]) -> None:
    """List packages that nobody will fetch."""
    path = channel / "noarch" / "repodata.json"
    index = json.loads(path.read_bytes())
    # Other forms of the index would be taken instead.
    for other in path.parent.glob("repodata*"):
        other.unlink()
    for name in names:
        index["packages"][f"{name}-1-0.tar.bz2"] = {
            "name": name,
            "version": "1",
            "build": "0",
            "build_number": 0,
            "depends": [],
            "subdir": "noarch",
            "md5": "0" * 32,
            "sha256": "0" * 64,
            "size": 1,
        }
    path.write_text(json.dumps(index))


async def ask(client: Client, number: int) -> None:
    """Pull a name that is two edits away from many others, and was never asked for."""
    name = f"scienitfic-package-a{LETTERS[number]}"
    reply = await client.get(f"/v2/env/{name}/manifests/latest", accept="*/*")
    assert reply.status == 404, reply.body
    assert b"did you mean 'scientific-package-" in reply.body, reply.body


async def test_misspelt_names_take_no_more_of_the_loop_than_others(site: Site) -> None:
    async with site.open() as client:
        await ask(client, 0)  # the index is read
        begun = time.thread_time()
        for number in range(1, 11):
            await ask(client, number)
        spent = (time.thread_time() - begun) / 10
    # Seconds of computation: what else the machine does has no part in it.
    assert spent < 0.02


async def test_a_misspelt_name_in_a_file_takes_no_more_of_the_loop(site: Site) -> None:
    async with site.open() as client:
        await client.post(BUILDS, wish("scienitfic-package-aa"), prefer="wait=25")
        begun = time.thread_time()
        for name in ("scienitfic-package-ab", "scienitfic-package-ac", "scienitfic-package-ad"):
            reply = await client.post(BUILDS, wish(name), prefer="wait=25")
            assert b"did you mean 'scientific-package-" in reply.body, reply.body
        spent = (time.thread_time() - begun) / 3
    assert spent < 0.05
