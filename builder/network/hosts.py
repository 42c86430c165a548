"""Where downloads may lead: any public address, and what the administrator named.

A channel, an index or a registry chooses where it redirects to, and who answers for a name chooses
its addresses. So each connection is looked at when it is made: the address that was checked is the
one that is connected to.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore
import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: Gives the addresses of a host.
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

#: The setting that allows more.
SETTING: Final = "PULLFORGE_PRIVATE_NETWORKS"
#: How often one download may be sent on.
MAX_REDIRECTS: Final = 10
_PORTS: Final = {"http": 80, "https": 443}
#: Public by Python's tables, yet of no host of the internet: protocol assignments (where Oracle's
#: cloud has metadata), 6to4's relays, Azure's agent of its machines, and what stands for, or is
#: translated to, addresses of IPv4: compatible, NAT64, Teredo, 6to4; and site-local.
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
        *("2001::/32", "2002::/16", "fec0::/10"),
    )
)


class RefusedHost(httpx.HTTPError):
    """A host leads to where it may not; the text says where, as a predicate of who leads there."""


class Hosts:
    """Decides where may be connected to.

    Args:
        configured: Hosts that may have any address, with the port where it is not 80 or 443.
        networks: Networks that may be connected to though they are not public.
        resolve: Gives the addresses of a host; ``None`` for the system's resolver.
        setting: By which more networks are allowed, for people.
    """

    def __init__(
        self,
        configured: Iterable[str] = (),
        networks: Iterable[str] = (),
        resolve: Resolve | None = None,
        setting: str = SETTING,
    ) -> None:
        self._configured = {place for host in configured for place in _places(host)}
        self._networks = tuple(ip_network(network) for network in networks)
        self._resolve = resolve or _resolved
        self._setting = setting

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return what may be connected to for a host: addresses, or the host if it is configured.

        Raises:
            RefusedHost: It has none that downloads may go to.
            OSError: It has none at all.
        """
        name = _normalized(host)
        if (name, port) in self._configured:
            return [name]
        found = await self._resolve(name, port)
        allowed = [str(address) for address in found if self._is_allowed(address)]
        if not allowed:
            raise self._refused(host, port)
        return allowed

    def check(self, url: httpx.URL) -> None:
        """Check an address that a proxy will be asked for, as far as it can be without resolving.

        Raises:
            RefusedHost: It is written as numbers, or as a name of this machine, and not allowed.
        """
        host, port = _normalized(url.raw_host.decode()), url.port or _PORTS.get(url.scheme, 0)
        if (host, port) in self._configured:
            return
        if host == "localhost" or host.endswith(".localhost"):
            host = "127.0.0.1"
        try:
            found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            return  # A name.
        if not all(self._is_allowed(ip_address(place[0])) for *_, place in found):
            raise self._refused(url.host, port)

    def _is_allowed(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)

    def _refused(self, host: str, port: int) -> RefusedHost:
        named = "name that host in the settings, or its network in" if self._configured else ""
        return RefusedHost(
            f"leads to {host}:{port}, which has no public address:"
            f" {named or 'the administrator can name its network in'} {self._setting}"
        )


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to where it may be connected to."""

    def __init__(self, hosts: Hosts, backend: httpcore.AsyncNetworkBackend) -> None:
        self._hosts = hosts
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._hosts.addresses(host, port)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from exc
        except OSError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failed = exc
        raise failed

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def guard(http: httpx.AsyncClient, hosts: Hosts) -> httpx.AsyncClient:
    """Return the client, restricted to allowed addresses."""
    # A proxy of the environment resolves names itself, and has to refuse what they mean.

    async def check(request: httpx.Request) -> None:
        hosts.check(request.url)

    transport = http._transport  # noqa: SLF001 - with one of our own, httpx would use no proxies
    assert isinstance(transport, httpx.AsyncHTTPTransport)
    pool = transport._pool  # noqa: SLF001 - httpx has no argument for it
    pool._network_backend = _CheckedBackend(hosts, pool._network_backend)  # noqa: SLF001
    http.event_hooks["request"].append(check)
    http.event_hooks["response"].append(_check_redirect)
    http.max_redirects = MAX_REDIRECTS
    return http


async def _check_redirect(response: httpx.Response) -> None:
    if not response.has_redirect_location:
        return
    try:
        target = response.url.join(response.headers["location"])
    except (httpx.InvalidURL, ValueError):
        return  # httpx says so itself.
    if target.userinfo:
        raise RefusedHost("redirects to an address with a user, which is not followed")
    if target.scheme != "https" and (target.scheme != "http" or response.url.scheme == "https"):
        raise RefusedHost(
            f"redirects from {response.url.scheme} to {target.scheme}, which is not followed"
        )


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the internet's hosts, by all of its forms.

    >>> is_public(ip_address("1.1.1.1")), is_public(ip_address("::ffff:169.254.169.254"))
    (True, False)
    """
    if isinstance(address, IPv6Address) and address.scope_id:
        return False
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


async def _resolved(host: str, port: int) -> Sequence[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise OSError(f"{host} is not a name of a host") from exc
    return [ip_address(place[0]) for *_, place in found]


def _places(host: str) -> Collection[tuple[str, int]]:
    url = httpx.URL(f"//{host}")
    ports = _PORTS.values() if url.port is None else (url.port,)
    return [(_normalized(url.raw_host.decode()), port) for port in ports]


def _normalized(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
