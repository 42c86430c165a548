"""A server that takes events, and answers as a test says."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Answer:
    """What is answered to one request."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: What is sent as it is, in place of an answer.
    raw: bytes | None = None
    #: Whether the body never ends, or nothing is answered at all.
    is_endless: bool = False
    is_silent: bool = False
    #: What is waited for before.
    after: asyncio.Event | None = None
    seconds: float = 0


@dataclass(frozen=True)
class Taken:
    """A request that came."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(self.json()["type"])

    def json(self) -> Any:
        return json.loads(self.body)

    def verified(self, secret: str) -> Any:
        """Return what it says, once its signature is found right by the standard's own library."""
        return Webhook(secret).verify(self.body, dict(self.headers))


class Receiver:
    """Takes requests; each gets the next answer, and then 204."""

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[Taken] = []
        self.answers: deque[Answer] = deque()
        #: What is answered when there is no other answer.
        self.otherwise = Answer()
        self.arrived = asyncio.Event()
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/hook", user: str = "", host: str = "127.0.0.1") -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'{user}@' if user else ''}{host}:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        """The ids of what came, in order."""
        return [one.id for one in self.taken]

    async def count(self, number: int, seconds: float = 20) -> list[Taken]:
        """Return what came, when it is so much."""
        async with asyncio.timeout(seconds):
            while len(self.taken) < number:
                self.arrived.clear()
                await self.arrived.wait()
        return self.taken

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Take requests, on the same port as before."""
        self._tls = tls
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take none any more."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            answer = self.answers.popleft() if self.answers else self.otherwise
            self.taken.append(Taken(head[0].split(" ")[1], headers, body))
            self.arrived.set()
            await self._answer(writer, answer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        if answer.after is not None:
            await answer.after.wait()
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        if answer.is_silent:
            await asyncio.Event().wait()
        if answer.raw is not None:
            writer.write(answer.raw)
            await writer.drain()
            return
        lines = [f"HTTP/1.1 {answer.status} Said", *map(": ".join, answer.headers.items())]
        if not answer.is_endless:
            lines.append(f"content-length: {len(answer.body)}")
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1"))
        writer.write(answer.body)
        await writer.drain()
        while answer.is_endless:
            writer.write(b"more and more " * 1000)
            await writer.drain()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Give a receiver that ends on exit."""
    receiver = Receiver()
    await receiver.start(tls)
    try:
        yield receiver
    finally:
        await receiver.stop()
