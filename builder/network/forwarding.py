"""A proxy for clients that follow redirects by themselves: uv and py-rattler.

It connects where :class:`.hosts.Hosts` allows it, to the address that was checked. It listens on
the loopback interface, and has no password: clients drop one when a redirect leads to another host.
It reaches nothing that a process of this machine could not reach without it; code of packages runs
without sockets or in a network of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from builder.network.hosts import SETTING, Hosts, RefusedHost

_CHUNK: Final = 256 * 1024
_HEAD_SECONDS: Final = 30
_CONNECT_SECONDS: Final = 30
#: What is between the client and the proxy alone; a connection is for one request.
_HOP: Final = ("proxy-", "connection:", "keep-alive:")


#: What clients say of a tunnel that was answered with a status, and of one that was not answered.
_NO_TUNNEL: Final = "tunnel error: unsuccessful"
_ENDED: Final = ("tunnel error: unexpected end of file", "tunnel error: unexpected eof")


class _Refused(Exception):
    """The request is answered with this status, and not forwarded."""


class _Unreachable(Exception):
    """Nothing can be connected to."""


def cause_of(said: str) -> str | None:
    """Return what a client's error means that it has from the proxy; ``None`` for another."""
    if "(426 " in said:
        return "it redirects from https to http, which is not followed"
    if "(421 " in said or _NO_TUNNEL in said:
        return (
            "the way to it, or to a host that it redirects to, is refused: a host without a public"
            f" address has to be named in the settings, or its network in {SETTING}"
        )
    if "(523 " in said or any(words in said.lower() for words in _ENDED):
        return "its host, or one that it redirects to, is not found or takes no connections"
    return None


@asynccontextmanager
async def open_forwarding(hosts: Hosts, *, tls_alone: bool = False) -> AsyncIterator[str]:
    """Give the address of a proxy that ends on exit and connects where ``hosts`` allows it.

    ``tls_alone``: all that is configured has TLS, so a request without it can only be a redirect.
    """
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_serve(reader, writer, hosts, tls_alone))
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


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hosts: Hosts, tls_alone: bool
) -> None:
    upward: asyncio.StreamWriter | None = None
    try:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            host, port, forwarded = _understood(head[:-4].split("\r\n"), tls_alone)
            answers, upward = await _connected(hosts, host, port)
        except _Unreachable:
            # Clients tell no status of a tunnel, but whether there was an answer.
            if not head.startswith("CONNECT "):
                writer.write(b"HTTP/1.1 523 Unreachable\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
            return
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
        await _joined(_copied(reader, upward if not forwarded else None), _copied(answers, writer))
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # Either side has gone; the other learns it by the end of its connection.
    finally:
        for end in (writer, upward):
            if end is not None:
                end.close()


def _understood(lines: Sequence[str], tls_alone: bool) -> tuple[str, int, str]:
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
    if url.scheme != "http" or method not in {"GET", "HEAD"}:
        raise _Refused("400 Bad Request")
    if tls_alone:
        raise _Refused("426 Upgrade Required")
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
        raise _Unreachable from exc
    raise _Unreachable


async def _joined(*directions: Coroutine[None, None, None]) -> None:
    """Copy both ways until either side has ended: a client that gave up waits for nothing more."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copied(source: asyncio.StreamReader, target: asyncio.StreamWriter | None) -> None:
    """Copy to the end; to nowhere what follows a request, which could be for another host."""
    while chunk := await source.read(_CHUNK):
        if target is not None:
            target.write(chunk)
            await target.drain()
