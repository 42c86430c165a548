"""Where downloads may be led; the forms are those of lists of attacks on other servers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from builder.errors import BaseImageError, UnsafePackage
from builder.fetch.channel_credentials import read_credentials
from builder.fetch.packages import Packages
from builder.network.hosts import Address, Hosts, RefusedHost, guard, is_public
from builder.oci.reference import Reference
from builder.oci.remote import RemoteRegistry
from registry.storage.filesystem import FilesystemStore
from tests.builder.counting import CountingMetrics
from tests.builder.records_for_tests import record

_FORBIDDEN = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *(
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
    ),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8"),
    *("::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::", "2001::1", "2001:db8::1", "::ffff:0:127.0.0.1"),
]
#: What the resolver takes for this machine, and links in it.
_SPELLINGS = [
    *("2130706433", "0x7f000001", "017700000001", "0x7f.1", "127.1", "0177.0.0.1", "0"),
    *("localhost", "localhost.", "LOCALHOST", "127.0.0.1", "[::1]", "[::ffff:7f00:1]"),
    *("[::]", "169.254.169.254", "10.0.0.1", "①②⑦.⓪.⓪.①"),
]


@pytest.mark.parametrize("address", _FORBIDDEN)
def test_no_form_of_an_address_that_is_not_of_the_internet_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "104.16.1.1", "2606:4700::1111"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


class Site:
    """A server on this machine that redirects as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.locations: dict[str, str] = {}
        #: Bodies in HTML, by path.
        self.pages: dict[str, str] = {}
        self.seen: list[str] = []
        self.authorizations: list[str] = []
        self.challenge = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.seen.append(path)
        fields = [line.partition(": ") for line in head.split("\r\n")]
        said = [value for name, _, value in fields if name.lower() == "authorization"]
        self.authorizations.append("".join(said))
        if self.challenge:
            status = f"401 Unauthorized\r\nWWW-Authenticate: {self.challenge}"
        elif path in self.locations:
            status = f"302 Found\r\nLocation: {self.locations[path]}"
        else:
            status = "200 OK"
        page = self.pages.get(path, "").encode()
        kind = "Content-Type: text/html\r\n" if page else ""
        length = f"Content-Length: {len(page)}"
        writer.write(
            f"HTTP/1.1 {status}\r\n{kind}{length}\r\nConnection: close\r\n\r\n".encode() + page
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def open_site() -> AsyncIterator[Site]:
    site = Site()
    async with await asyncio.start_server(site.answer, "127.0.0.1", 0) as server:
        site.port = server.sockets[0].getsockname()[1]
        yield site


def get(site: Site, hosts: Hosts, path: str = "/") -> "asyncio.Future[httpx.Response]":
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            guard(http, hosts)
            return await http.get(f"http://127.0.0.1:{site.port}{path}", follow_redirects=True)

    return asyncio.ensure_future(ask())


@pytest.mark.parametrize("host", _SPELLINGS)
@pytest.mark.parametrize("first", ["/", "/second"])
def test_a_redirect_to_this_machine_or_a_link_is_refused_at_every_hop(
    host: str, first: str
) -> None:
    async def scenario() -> list[str]:
        async with open_site() as site, open_site() as inner:
            site.locations = {"/second": "/", "/": f"http://{host}:{inner.port}/secret"}
            with pytest.raises((RefusedHost, httpx.ConnectError, httpx.RemoteProtocolError)):
                await get(site, Hosts([f"127.0.0.1:{site.port}"]), first)
            return inner.seen

    assert asyncio.run(scenario()) == []


def test_a_name_is_resolved_once_and_the_checked_address_connected_to() -> None:
    """A name that has another address when it is asked for again (DNS rebinding)."""
    answers = [["169.254.169.254", "10.1.2.3", "fd00::1"], ["127.0.0.1"]]

    async def resolve(_host: str, _port: int) -> Sequence[Address]:
        return [ip_address(address) for address in answers.pop(0)]

    async def scenario() -> None:
        async with open_site() as site:
            hosts = Hosts([f"127.0.0.1:{site.port}"], resolve=resolve)
            site.locations = {"/": f"http://store.example:{site.port}/secret"}
            with pytest.raises(RefusedHost, match=r"store\.example"):
                await get(site, hosts)
            assert site.seen == ["/"]
            # Another address than the system's resolver has for it, which has none.
            hosts = Hosts([f"127.0.0.1:{site.port}"], ["127.0.0.0/8"], resolve)
            assert (await get(site, hosts)).status_code == 200

    asyncio.run(scenario())
    assert answers == []


def test_what_settings_name_may_be_private_and_send_to_another_that_they_name() -> None:
    async def scenario() -> httpx.Response:
        async with open_site() as site, open_site() as store:
            site.locations = {"/": f"http://127.0.0.1:{store.port}/package"}
            return await get(site, Hosts(f"127.0.0.1:{s.port}" for s in (site, store)))

    assert asyncio.run(scenario()).status_code == 200


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://1.1.1.1/", "ftp://1.1.1.1/"])
def test_another_scheme_is_not_followed(target: str) -> None:
    async def scenario() -> None:
        async with open_site() as site:
            site.locations = {"/": target}
            with pytest.raises(RefusedHost, match="not followed"):
                await get(site, Hosts([f"127.0.0.1:{site.port}"]))

    asyncio.run(scenario())


def test_redirects_without_end_and_with_a_user_are_refused() -> None:
    async def scenario() -> int:
        async with open_site() as site:
            hosts = Hosts([f"127.0.0.1:{site.port}"])
            site.locations = {"/": "/", "/user": f"http://me:you@127.0.0.1:{site.port}/x"}
            with pytest.raises(httpx.TooManyRedirects):
                await get(site, hosts)
            asked = len(site.seen)
            with pytest.raises(RefusedHost, match="user"):
                await get(site, hosts, "/user")
            return asked

    assert asyncio.run(scenario()) == 11


def test_the_realm_of_a_registrys_tokens_is_checked_too() -> None:
    async def scenario() -> list[str]:
        async with open_site() as site, open_site() as inner, httpx.AsyncClient() as http:
            guard(http, Hosts([f"127.0.0.1:{site.port}"]))
            site.challenge = f'Bearer realm="http://127.0.0.1:{inner.port}/token"'
            reference = Reference(f"127.0.0.1:{site.port}", "debian", "12", None)
            with pytest.raises(BaseImageError, match="PULLFORGE_PRIVATE_NETWORKS"):
                await RemoteRegistry(http).digest(reference)
            return inner.seen

    assert asyncio.run(scenario()) == []


def through(answer: Callable[[httpx.Request], httpx.Response], hosts: Hosts) -> httpx.AsyncClient:
    """Return a guarded client that asks a proxy of the environment, as it were, for everything."""
    return guard(httpx.AsyncClient(mounts={"all://": httpx.MockTransport(answer)}), hosts)


@pytest.mark.parametrize("host", _SPELLINGS)
def test_a_proxy_is_not_asked_for_an_address_that_is_not_of_the_internet(host: str) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers=[(b"location", f"https://{host}/".encode())])

    async def scenario() -> None:
        async with through(answer, Hosts()) as http:
            with pytest.raises((RefusedHost, httpx.RemoteProtocolError)):
                await http.get("https://conda.test/", follow_redirects=True)

    asyncio.run(scenario())
    assert seen == ["conda.test"]


@pytest.mark.parametrize("hop", ["/first", "/second"])
def test_a_redirect_from_tls_to_none_is_refused_at_every_hop(hop: str) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        if request.url.path == hop:
            return httpx.Response(302, headers={"location": "http://conda.test/package"})
        return httpx.Response(302, headers={"location": "https://cdn.test/second"})

    async def scenario() -> None:
        async with through(answer, Hosts(["conda.test"])) as http:
            with pytest.raises(RefusedHost, match="from https to http, which is not followed"):
                await http.get("https://conda.test/first", follow_redirects=True)

    asyncio.run(scenario())
    assert not any(url.startswith("http://") for url in seen)


def test_credentials_are_sent_to_no_other_port_and_to_no_realm(tmp_path: Path) -> None:
    """The realm of a challenge is chosen by whoever answers with it."""
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"127.0.0.1": {"BearerToken": "s3cret"}}))

    async def scenario() -> tuple[Site, Site]:
        async with open_site() as site, open_site() as other:
            site.locations = {"/": f"http://127.0.0.1:{other.port}/package"}
            hosts = Hosts(f"127.0.0.1:{s.port}" for s in (site, other))
            async with guard(httpx.AsyncClient(trust_env=False), hosts) as http:
                url = f"http://127.0.0.1:{site.port}/"
                await http.get(url, auth=read_credentials(file), follow_redirects=True)
                site.challenge = f'Bearer realm="http://127.0.0.1:{other.port}/token"'
                reference = Reference(f"127.0.0.1:{site.port}", "debian", "12", None)
                with pytest.raises(BaseImageError):
                    await RemoteRegistry(http).digest(reference)
            return site, other

    site, other = asyncio.run(scenario())
    assert site.authorizations[0] == "Bearer s3cret"
    assert [path.partition("?")[0] for path in other.seen][:2] == ["/package", "/token"]
    assert set(other.authorizations) == {""}


def test_a_package_that_is_led_to_a_private_host_is_refused_at_once(tmp_path: Path) -> None:
    """It names its channel and the setting, and is not tried again: nothing of it passes."""

    async def scenario() -> tuple[list[str], list[str], str]:
        async with open_site() as site, open_site() as inner:
            place = f"127.0.0.1:{site.port}"
            zlib = record("zlib", data=b"bytes", channel=f"http://{place}/team")
            site.locations = {
                "/team/linux-64/zlib-1.0-0.conda": "/again",
                "/again": f"http://127.0.0.1:{inner.port}/secret",
            }
            async with guard(httpx.AsyncClient(trust_env=False), Hosts([place])) as http:
                packages = Packages(
                    FilesystemStore(tmp_path / "store"),
                    http,
                    tmp_path,
                    CountingMetrics(),
                    allowed_hosts={place},
                    wheel_hosts=(),
                    max_size_bytes=1000,
                    retry_seconds=0,
                )
                with pytest.raises(UnsafePackage) as refused:
                    await packages.archive(zlib)
            return site.seen, inner.seen, str(refused.value)

    asked, inner, said = asyncio.run(scenario())
    assert (len(asked), inner) == (2, [])
    assert "PULLFORGE_PRIVATE_NETWORKS" in said
    assert "has no public address" in said
