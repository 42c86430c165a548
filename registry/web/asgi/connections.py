"""Limits of connections for each address and in all: each takes a file descriptor."""

from asyncio import WriteTransport
from collections import Counter, OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from registry.clients.address import client_at


class Connections:
    """Counts connections by address, so that none takes them all from the others.

    Args:
        per_address: How many an address may have.
        most: How many there may be in all.
        unread: How many answers an address may leave unread at once: each holds up to 2 MiB.
        unbounded: Addresses and networks without a bound of their own, or ``*``: proxies,
            behind which everybody is.
    """

    def __init__(
        self, per_address: int, most: int, unread: int = 32, unbounded: Sequence[str] = ()
    ) -> None:
        self._most_unread = unread
        self._per_address = per_address
        self._most = most
        self._count = 0
        self._is_anyone_unbounded = "*" in unbounded
        self._unbounded = [ip_network(one, strict=False) for one in unbounded if one != "*"]
        self._open: Counter[str] = Counter()
        #: Whose answers wait to be read, by address; who has waited longest comes first.
        self._unread: dict[str, OrderedDict[WriteTransport, None]] = {}

    def open(self, client: tuple[str, int] | None) -> bool:
        """Count a new connection and return ``True``, unless there are enough."""
        address = client[0] if client else ""
        if self._count >= self._most:
            return False
        counted = client_at(address)
        if self._open[counted] >= self._per_address and not self._is_unbounded(address):
            return False
        self._open[counted] += 1
        self._count += 1
        return True

    def close(self, client: tuple[str, int] | None) -> None:
        """Count a connection no more for which :meth:`open` returned ``True``."""
        counted = client_at(client[0] if client else "")
        self._count -= 1
        self._open[counted] -= 1
        if not self._open[counted]:
            del self._open[counted]

    def pause(self, client: tuple[str, int] | None, transport: WriteTransport) -> None:
        """Note that a client does not read; the longest of its address is left for it, if many."""
        address = client[0] if client else ""
        if self._is_unbounded(address):
            return
        waiting = self._unread.setdefault(client_at(address), OrderedDict())
        waiting[transport] = None
        if len(waiting) > self._most_unread:
            longest, _ = waiting.popitem(last=False)
            longest.abort()

    def resume(self, client: tuple[str, int] | None, transport: WriteTransport) -> None:
        """Note that it reads again, or has gone; harmless at any time."""
        address = client_at(client[0] if client else "")
        waiting = self._unread.get(address)
        if waiting is not None:
            waiting.pop(transport, None)
            if not waiting:
                del self._unread[address]

    def _is_unbounded(self, address: str) -> bool:
        if self._is_anyone_unbounded or not address:
            return True
        return any(ip_address(address) in network for network in self._unbounded)
