"""uv and rattler follow redirects by themselves: what they reach is checked by a proxy."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from builder.errors import ChannelUnavailable, SolveError
from builder.layer import PythonTarget
from builder.network.forwarding import cause_of, open_forwarding
from builder.network.hosts import SETTING, Hosts
from builder.pypi.explain import explain
from builder.pypi.target import Target
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


def redirect_indexes(site: Site, url: str) -> None:
    """Have every index of a channel of the site lie elsewhere."""
    site.locations = {
        f"/team/{subdir}/{name}": f"{url}/{name}"
        for subdir in ("noarch", "linux-64")
        for name in _INDEXES
    }


async def compiled(site: Site, directory: Path, hosts: Hosts) -> str:
    """Return what uv says of the site's index, which has nothing that it can use."""
    (directory / "wanted.txt").write_text("ada\n")
    async with open_forwarding(hosts) as proxy:
        environment = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "UV_HTTP_RETRIES": "0"}
        index = f"http://127.0.0.1:{site.port}/simple"
        with pytest.raises(UvFailed) as failed:
            await Uv(index, directory / "uv", environment=environment).compile(
                ["wanted.txt"], directory
            )
    return str(failed.value)


def explain_index(said: str) -> SolveError:
    """Return what a user is told of what uv said."""
    return explain(
        said,
        Target("linux-64", PythonTarget("3.12.1", ""), "2.36"),
        {},
        None,
        "http://127.0.0.1/simple",
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


async def told(directory: Path, *, channel: str, index: str) -> tuple[str, str]:
    """Return what users are told where a channel and an index of PyPI lead elsewhere."""
    async with open_site() as site:
        redirect_indexes(site, channel)
        site.locations["/simple/ada/"] = f"{index}/ada"
        hosts = Hosts([f"127.0.0.1:{site.port}"])
        async with open_forwarding(hosts) as proxy:
            with pytest.raises(ChannelUnavailable) as failed:
                await names(site, directory, proxy)
        said = await compiled(site, directory, hosts)
        return str(failed.value), str(explain_index(said))


@pytest.mark.parametrize("is_configured", [False, True])
def test_rattler_is_led_to_configured_hosts_alone(tmp_path: Path, is_configured: bool) -> None:
    async def scenario() -> tuple[list[str], str]:
        async with open_site() as site, open_site() as inner:
            redirect_indexes(site, f"http://127.0.0.1:{inner.port}")
            named = (site, inner) if is_configured else (site,)
            async with open_forwarding(Hosts(f"127.0.0.1:{s.port}" for s in named)) as proxy:
                with pytest.raises(ChannelUnavailable) as failed:
                    await names(site, tmp_path, proxy)
            assert site.seen
            return inner.seen, str(failed.value)

    seen, said = asyncio.run(scenario())
    assert bool(seen) == is_configured
    assert (SETTING in said) != is_configured


@pytest.mark.parametrize("is_configured", [False, True])
def test_uv_is_led_to_configured_hosts_alone(tmp_path: Path, is_configured: bool) -> None:
    async def scenario() -> list[str]:
        async with open_site() as site, open_site() as inner:
            site.locations = {"/simple/ada/": f"http://127.0.0.1:{inner.port}/ada"}
            named = (site, inner) if is_configured else (site,)
            said = await compiled(site, tmp_path, Hosts(f"127.0.0.1:{s.port}" for s in named))
            assert site.seen
            assert (cause_of(said) is None) == is_configured
            return inner.seen

    assert bool(asyncio.run(scenario())) == is_configured


@pytest.mark.parametrize("is_redirected", [False, True])
def test_the_metadata_of_a_wheel_is_read_from_no_private_host(
    tmp_path: Path, is_redirected: bool
) -> None:
    """uv reads ``.metadata`` beside the file, wherever the index says that it lies."""

    async def scenario() -> tuple[list[str], str]:
        async with open_site() as site, open_site() as inner:
            wheel = "ada-1.0-py3-none-any.whl"
            inner_url = f"http://127.0.0.1:{inner.port}/{wheel}"
            site.locations = {f"/{wheel}.metadata": f"{inner_url}.metadata"}
            place = f"/{wheel}" if is_redirected else inner_url
            link = f'<a href="{place}" data-core-metadata="true">{wheel}</a>'
            site.pages = {"/simple/ada/": f"<!DOCTYPE html><body>{link}</body>"}
            said = await compiled(site, tmp_path, Hosts([f"127.0.0.1:{site.port}"]))
            assert (f"/{wheel}.metadata" in site.seen) == is_redirected
            return inner.seen, said

    seen, said = asyncio.run(scenario())
    assert seen == []
    assert SETTING in str(cause_of(said))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_client_that_is_refused_says_which_setting_allows_it(tmp_path: Path, scheme: str) -> None:
    said = told(tmp_path, channel=f"{scheme}://169.254.169.254", index=f"{scheme}://10.0.0.1")
    for sentence in asyncio.run(said):
        assert SETTING in sentence


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_is_not_there_is_told_from_one_that_is_refused(
    tmp_path: Path, scheme: str
) -> None:
    url = f"{scheme}://store.invalid"
    for sentence in asyncio.run(told(tmp_path, channel=url, index=url)):
        assert "not found or takes no connections" in sentence


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1",
        "GET http://[::ffff:7f00:1]:22/ HTTP/1.1",
        "GET http://2130706433/ HTTP/1.1",
        "CONNECT 10.0.0.1:443 HTTP/1.1",
        "CONNECT [::1]:443 HTTP/1.1",
        "CONNECT localhost.:443 HTTP/1.1",
    ],
)
def test_what_may_not_be_reached_is_answered_with_421(request_line: str) -> None:
    async def scenario() -> bytes:
        async with open_forwarding(Hosts()) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(proxy).port)
            writer.write(f"{request_line}\r\n\r\n".encode())
            answer = await reader.readline()
            writer.close()
            return answer

    assert asyncio.run(scenario()) == b"HTTP/1.1 421 Misdirected Request\r\n"


def test_what_is_configured_with_tls_alone_leads_to_nothing_without(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[str], str]:
        async with open_site() as site:
            hosts = Hosts([f"127.0.0.1:{site.port}"])
            async with open_forwarding(hosts, tls_alone=True) as proxy:
                with pytest.raises(ChannelUnavailable) as failed:
                    await names(site, tmp_path, proxy)
            return site.seen, str(failed.value)

    seen, said = asyncio.run(scenario())
    assert seen == []
    assert said.endswith("it redirects from https to http, which is not followed")


def test_a_client_that_gives_up_leaves_no_connection_behind() -> None:
    async def scenario() -> bytes:
        gone: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            gone.set_result(await reader.read())
            writer.close()

        async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
            place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with open_forwarding(Hosts([place])) as proxy:
                _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(proxy).port)
                writer.write(f"GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
                await writer.drain()
                writer.close()
                async with asyncio.timeout(10):
                    return await gone

    assert asyncio.run(scenario()) == b""
