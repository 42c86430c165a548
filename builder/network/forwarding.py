"""A proxy for clients that follow redirects by themselves: uv and py-rattler.

It connects where :class:`.hosts.Hosts` allows it, to the address that was checked. It listens on
the loopback interface, and has no password: clients drop one when a redirect leads to another host.
It reaches nothing that a process of this machine could not reach without it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from builder.network.hosts import Hosts, RefusedHost

_CHUNK: Final = 256 * 1024
_HEAD_SECONDS: Final = 30
_CONNECT_SECONDS: Final = 30
#: What is between the client and the proxy alone; a connection is for one request.
_HOP: Final = ("proxy-", "connection:", "keep-alive:")


class _Refused(Exception):
    """The request is answered with this status, and not forwarded."""


@asynccontextmanager
async def open_forwarding(hosts: Hosts) -> AsyncIterator[str]:
    """Give the proxy's address; it has ended on exit."""
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_serve(reader, writer, hosts))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hosts: Hosts) -> None:
    upward: asyncio.StreamWriter | None = None
    try:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            host, port, forwarded = _understood(head[:-4].split("\r\n"))
            answers, upward = await _connected(hosts, host, port)
        except _Refused as exc:
            writer.write(
                f"HTTP/1.1 {exc}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            return
        if forwarded:
            upward.write(forwarded.encode("latin-1"))
        else:
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            sending = both.create_task(_copied(reader, upward))
            await _copied(answers, writer)
            sending.cancel()
    except* (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # Either side has gone; the other learns it by the end of its connection.
    finally:
        for end in (writer, upward):
            if end is not None:
                end.close()


def _understood(lines: Sequence[str]) -> tuple[str, int, str]:
    """Return the host and port, and what they are to be sent first: nothing for a tunnel."""
    fields = [line for line in lines[1:] if not line.lower().startswith(_HOP)]
    try:
        method, target, _ = lines[0].split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = url.hostname or "", url.port
    except ValueError as exc:
        raise _Refused("400 Bad Request") from exc
    if method == "CONNECT":
        return host, port or 443, ""
    if url.scheme != "http":
        raise _Refused("400 Bad Request")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    first = [f"{method} {path} HTTP/1.1", *fields, "Connection: close"]
    return host, port or 80, "\r\n".join(first) + "\r\n\r\n"


async def _connected(
    hosts: Hosts, host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            for address in await hosts.addresses(host, port):
                with suppress(OSError):
                    return await asyncio.open_connection(address, port)
    except RefusedHost as exc:
        raise _Refused("421 Misdirected Request") from exc
    except OSError as exc:  # TimeoutError is one.
        raise _Refused("502 Bad Gateway") from exc
    raise _Refused("502 Bad Gateway")


async def _copied(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        target.write(chunk)
        await target.drain()
