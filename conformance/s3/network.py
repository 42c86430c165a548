"""The network between a server and S3, with the faults that tests ask for.

A proxy that knows as much HTTP as it needs: where a request begins. Clients send the head of one in
a write of its own, so that a piece which starts with a method is a new request.
"""

import asyncio
import re
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

_HEAD: Final = re.compile(rb"(?:GET|HEAD|PUT|POST|DELETE) \S+ HTTP/1\.1\r\n")
_PIECE: Final = 64 * 1024
#: What S3 answers when there are too many requests.
_SLOW_DOWN: Final = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate."
    b"</Message></Error>"
)


@dataclass(slots=True)
class Faults:
    """What goes wrong from now on."""

    #: How much later each request arrives.
    latency_seconds: float = 0
    #: How many requests are answered with 503 SlowDown.
    slow_downs: int = 0
    #: How many answers are cut, each after so many bytes.
    cut_answers: int = 0
    cut_after_bytes: int = 0
    #: Only answers to requests that have this in their first line are cut.
    cut_only: bytes = b""
    #: How many uploads are cut, each after so many bytes.
    cut_uploads: int = 0
    cut_upload_after_bytes: int = 0
    #: How many pieces of uploads arrive with one bit changed.
    flipped_pieces: int = 0


class Network:
    """A proxy on a free port in front of one server; an asynchronous context manager."""

    def __init__(self, port: int) -> None:
        """Prepare the way to ``port`` of this machine."""
        self._target = port
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Condition()
        self.port = 0
        self.faults = Faults()
        #: How many requests came.
        self.requests = 0
        #: How many bytes were sent to the server.
        self.sent_bytes = 0

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.disconnect()

    @property
    def url(self) -> str:
        """The address that clients use instead of the server's."""
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> None:
        """Take connections, on the same port as before."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def disconnect(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def until_sent(self, size_bytes: int) -> None:
        """Return when so many bytes were sent to the server in all."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.sent_bytes >= size_bytes)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        finally:
            self._connections.discard(task)
        self._connections.add(task)
        link = _Link(self, reader, writer, *upstream)
        try:
            await link.run()
        except asyncio.CancelledError:
            pass  # disconnected
        finally:
            _reset(writer)
            _reset(upstream[1])
            self._connections.discard(task)

    async def note(self, size_bytes: int) -> None:
        """Count what was sent."""
        self.sent_bytes += size_bytes
        async with self._moved:
            self._moved.notify_all()


class _Link:
    """One connection: client to proxy to server."""

    def __init__(
        self,
        network: Network,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._network = network
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        #: Of the request under way.
        self._line = b""
        self._sent = self._received = 0

    async def run(self) -> None:
        """Pass bytes on until one side ends, or a fault ends it."""
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self) -> None:
        faults = self._network.faults
        while piece := await self._client.read(_PIECE):
            if head := _HEAD.match(piece):
                self._network.requests += 1
                self._line, self._sent, self._received = head[0], 0, 0
                await asyncio.sleep(faults.latency_seconds)
                if faults.slow_downs:
                    faults.slow_downs -= 1
                    await self._slow_down()
                    return
            elif faults.flipped_pieces:
                faults.flipped_pieces -= 1
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            self._sent += len(piece)
            if faults.cut_uploads and self._sent > faults.cut_upload_after_bytes:
                faults.cut_uploads -= 1
                return
            self._to_server.write(piece)
            await self._to_server.drain()
            await self._network.note(len(piece))

    async def _answers(self) -> None:
        faults = self._network.faults
        while piece := await self._server.read(_PIECE):
            self._received += len(piece)
            over = self._received - faults.cut_after_bytes
            if faults.cut_answers and over > 0 and faults.cut_only in self._line:
                faults.cut_answers -= 1
                self._to_client.write(piece[: len(piece) - over])
                await self._to_client.drain()
                return
            self._to_client.write(piece)
            await self._to_client.drain()

    async def _slow_down(self) -> None:
        head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(_SLOW_DOWN)}\r\n"
        head += "Content-Type: application/xml\r\nConnection: close\r\n\r\n"
        is_head = self._line.startswith(b"HEAD")
        self._to_client.write(head.encode() + (b"" if is_head else _SLOW_DOWN))
        await self._to_client.drain()
        self._to_client.close()
        await self._to_client.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cut a connection as a router does that forgets it."""
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
