"""Answers that go on for as long as something happens: server-sent events, lines of JSON."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from registry.web.asgi.disconnect import wait_until_gone
from registry.web.asgi.responses import header

#: The key of the state of a scope under which a server that can tell leaves an event: it stops.
STOPPING: Final = "stopping"

_HEADERS: Final = [
    (b"cache-control", b"no-store"),
    # nginx keeps answers back until it has a few kilobytes, unless it is told not to.
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True, slots=True)
class EventStreamResponse:
    """Sends events until they end; an ASGI application.

    The stream ends at once when its client leaves, for which nothing is sent that would find out,
    and when the server stops: the client comes again, to another one.
    """

    #: In pieces of whole events. HEAD does not begin them.
    events: AsyncGenerator[bytes, None]
    media_type: str = "text/event-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; nothing of it runs any more when this returns or raises."""
        headers = [header("content-type", self.media_type), *_HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] != "HEAD":
            await self._until_its_end(scope, receive, send)
        await send({"type": "http.response.body", "body": b""})

    async def _until_its_end(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events.

        Raises:
            Exception: Whatever they raise.
        """
        stopping: asyncio.Event | None = scope.get("state", {}).get(STOPPING)
        ends: list[Awaitable[Any]] = [self._send(send), wait_until_gone(receive)]
        if stopping is not None:
            ends.append(stopping.wait())
        tasks = [asyncio.ensure_future(one) for one in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not tasks[0].cancelled():
            tasks[0].result()

    async def _send(self, send: Send) -> None:
        async with aclosing(self.events) as events:
            async for event in events:
                try:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                except OSError:  # other servers tell by this that the client has gone (ASGI 2.4)
                    return
