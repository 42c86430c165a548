"""uv and rattler follow redirects by themselves: what they reach is checked by a proxy."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from builder.errors import ChannelUnavailable
from builder.network.forwarding import open_forwarding
from builder.network.hosts import Hosts
from builder.pypi.uv import Uv, UvFailed
from builder.solve import Solver
from builder.spec import Channel
from tests.builder.network.test_hosts import Site, open_site

_INDEXES = (
    "repodata_shards.msgpack.zst",
    "repodata.json.zst",
    "repodata.json.bz2",
    "repodata.json",
)


async def names(site: Site, directory: Path, proxy: str) -> None:
    """Ask a channel of the site for names, by rattler."""
    variables = {**os.environ, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    solver = Solver(directory / "repodata", max_retries=0, environment=variables)
    try:
        channel = Channel("team", f"http://127.0.0.1:{site.port}/team")
        await solver.known_names([channel], ["linux-64"])
    finally:
        await solver.close()


@pytest.mark.parametrize("is_configured", [False, True])
def test_rattler_is_led_to_configured_hosts_alone(tmp_path: Path, is_configured: bool) -> None:
    async def scenario() -> list[str]:
        async with open_site() as site, open_site() as inner:
            inner_url = f"http://127.0.0.1:{inner.port}"
            site.locations = {
                f"/team/{subdir}/{name}": f"{inner_url}/{name}"
                for subdir in ("noarch", "linux-64")
                for name in _INDEXES
            }
            named = (site, inner) if is_configured else (site,)
            async with open_forwarding(Hosts(f"127.0.0.1:{s.port}" for s in named)) as proxy:
                with pytest.raises(ChannelUnavailable):
                    await names(site, tmp_path, proxy)
            assert site.seen
            return inner.seen

    assert bool(asyncio.run(scenario())) == is_configured


@pytest.mark.parametrize("is_configured", [False, True])
def test_uv_is_led_to_configured_hosts_alone(tmp_path: Path, is_configured: bool) -> None:
    async def scenario() -> list[str]:
        (tmp_path / "wanted.txt").write_text("ada\n")
        async with open_site() as site, open_site() as inner:
            site.locations = {"/simple/ada/": f"http://127.0.0.1:{inner.port}/ada"}
            named = (site, inner) if is_configured else (site,)
            async with open_forwarding(Hosts(f"127.0.0.1:{s.port}" for s in named)) as proxy:
                index = f"http://127.0.0.1:{site.port}/simple"
                uv = Uv(index, tmp_path / "uv", environment={"HTTP_PROXY": proxy})
                with pytest.raises(UvFailed):
                    await uv.compile(["wanted.txt"], tmp_path)
            assert site.seen
            return inner.seen

    assert bool(asyncio.run(scenario())) == is_configured


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://10.0.0.1:22/"])
def test_what_may_not_be_reached_is_answered_with_421(url: str) -> None:
    async def scenario() -> int:
        async with open_forwarding(Hosts()) as proxy, httpx.AsyncClient(proxy=proxy) as http:
            with pytest.raises(httpx.ProxyError, match="421"):
                await http.get("https://169.254.169.254/")
            return (await http.get(url)).status_code

    assert asyncio.run(scenario()) == 421
