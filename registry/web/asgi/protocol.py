"""HTTP with bounds, and with a way past the application for what can be answered at once.

An application that does nothing costs 45 µs of uvicorn and its task for each request, and a warm
manifest is asked for more often than anything else. So requests are offered to a :class:`Shortcut`
when their headers have been read; what it does not answer goes on to the application as ever, and
that is everything which is not in memory, must be waited for or is out of the ordinary.

uvicorn bounds neither the length of headers nor how long they may take. Here a client that sends
too much gets one answer and is left; one that sends too little, or nothing, is left without.
"""

from asyncio import Event, TimerHandle, Transport
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from registry.web.asgi.connections import Connections
from registry.web.asgi.event_stream import STOPPING
from registry.web.asgi.shortcut import Shortcut

#: The longest address of a request; the longest name of an image is far below it.
MAX_URL_BYTES: Final = 8 * 1024
#: How long all headers of a request may be together, with its address.
MAX_HEAD_BYTES: Final = 64 * 1024
#: How many headers a request may have.
MAX_HEADERS: Final = 100
#: How long a client may take until its request's headers are whole.
HEAD_SECONDS: Final = 20.0
#: How long a client may read nothing of an answer that it does not have yet.
READ_SECONDS: Final = 300.0
#: How long a client that was refused may go on sending. A connection that is closed with bytes
#: unread is reset, and the client may lose the refusal with it.
LINGER_SECONDS: Final = 2.0

_METHODS: Final = frozenset({b"GET", b"HEAD"})
_OK: Final = STATUS_LINE[200]


class ShortcutProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with the shortcut that the application's lifespan gave, if any."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shortcut: Shortcut | None = self.app_state.get("shortcut")
        self._bound: Connections | None = self.app_state.get("connections")
        #: Whether the request whose end is still to be read was answered.
        self._is_answered = False
        #: Whether nothing more is read, and what is still to be said of it.
        self._is_refused = False
        self._refusal: tuple[int, bytes] | None = None
        self.url = b""
        self.headers = []
        #: What came since something of a request was whole: of a head, or of what follows a body.
        self._pending_bytes = 0
        #: The same with what is being read.
        self._read_bytes = 0
        self._has_moved = False
        self._timeouts: TimerHandle | None = None
        self._unread: TimerHandle | None = None
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take a connection, unless its address has too many."""
        super().connection_made(transport)
        if self._bound is not None and not self._bound.open(self.client):
            self._bound = None
            self._refuse(503, "this address has too many connections to this server")
            self.transport.close()  # it is not counted: it may not stay
            return
        self._watch()

    def shutdown(self) -> None:
        """End this connection when its answer is sent; answers without end are told to end."""
        stopping: Event | None = self.app_state.get(STOPPING)
        if stopping is not None:
            stopping.set()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._stop_waiting()
        self._stop_unread()
        if self._bound is not None:
            self._bound.close(self.client)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, within bounds.

        A head has at most the bytes that came since something was whole. So they alone are counted
        here, and not what each callback is given: most requests cost a comparison.
        """
        if self._is_refused:  # the rest is of no interest
            return
        self._has_moved = False
        self._read_bytes = self._pending_bytes + len(data)
        super().data_received(data)
        if self._has_moved:
            self._pending_bytes = 0
        else:
            self._pending_bytes = self._read_bytes
            self._refuse_long_head(self._pending_bytes)
        if self.timeout_keep_alive_task is None or self._timeouts is not None:
            self._watch()

    def pause_writing(self) -> None:
        """Wait for the client to read; not for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)
        if self._bound is not None:
            self._bound.pause(self.client, self.transport)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._stop_unread()

    def on_headers_complete(self) -> None:
        """Answer the request, or pass it on."""
        self._has_moved = True
        if (
            self._read_bytes > MAX_HEAD_BYTES  # of which the most may be a body, or other requests
            or len(self.headers) > MAX_HEADERS
            or len(self.url) > MAX_URL_BYTES
        ):
            self._refuse_long_head(sum(len(name) + len(value) for name, value in self.headers))
        if not self._is_refused and not self._answer():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on what a request brings, unless it was refused."""
        self._has_moved = True
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request was read to its end."""
        self._has_moved = True
        if self._is_answered:
            self._is_answered = False
        elif self.cycle is not None:
            super().on_message_complete()

    def _watch(self) -> None:
        """Wait for the client, not for ever, while nothing is being answered.

        uvicorn waits for the next request alone, and no longer once a byte of anything has come.
        """
        if self._is_refused:
            return
        before = cast("RequestResponseCycle | None", self.cycle)
        if self.timeout_keep_alive_task is not None or (
            before is not None and not before.response_complete
        ):
            self._stop_waiting()
        elif self._timeouts is None and not self.transport.is_closing():
            self._timeouts = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timeouts is not None:
            self._timeouts.cancel()
            self._timeouts = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
            if self._bound is not None:
                self._bound.resume(self.client, self.transport)

    def _give_up(self) -> None:
        """Leave a client whose request does not come."""
        self._timeouts = None
        before = cast("RequestResponseCycle | None", self.cycle)
        if before is None or before.response_complete:
            self.transport.close()

    def _refuse_long_head(self, head_bytes: int) -> None:
        """Refuse a head if it is too long."""
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(414, f"the address of a request has at most {MAX_URL_BYTES} bytes here")
        elif head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(
                431,
                f"the headers of a request are at most {MAX_HEADERS}, and together at most"
                f" {MAX_HEAD_BYTES} bytes, here",
            )

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(400, msg)

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer with one sentence and end the connection; what still comes is thrown away."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._stop_waiting()
        self._refusal = status, f"{sentence}\n".encode()
        before = cast("RequestResponseCycle | None", self.cycle)
        if before is None or before.response_complete:
            self._end()
        elif before.more_body:  # what is refused belongs to the request that is being answered
            before.disconnected = True
            before.message_event.set()
            if before.response_started or self.pipeline:
                self.transport.abort()  # nothing can be put into an answer
            else:
                self._end()

    def on_response_complete(self) -> None:
        """Go on with the next request, or refuse what came after the last that was sound."""
        super().on_response_complete()
        if self._refusal is not None and self.cycle.response_complete:
            self._end()

    def _end(self) -> None:
        """Send the refusal."""
        if self._refusal is None or self.transport.is_closing():
            return
        (status, body), self._refusal = self._refusal, None
        self._unset_keepalive_if_required()
        lines = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + self._server_lines() + lines + length + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timeouts = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _answer(self) -> bool:
        """Answer the request if that can be done at once; tell whether it was."""
        method = self.parser.get_method()
        before = cast("RequestResponseCycle | None", self.cycle)
        if (
            self._shortcut is None
            or method not in _METHODS
            # Answers have the order of their requests, and wait for clients that do not read.
            or (before is not None and not before.response_complete)
            or self.flow.write_paused
            or not self.parser.should_keep_alive()
            or self.parser.should_upgrade()
        ):
            return False
        answer = self._shortcut.answer(method, self.url, self.headers)
        if answer is None:
            return False
        lines, body = answer
        self.transport.write(b"".join((_OK, self._server_lines(), lines, b"\r\n", body)))
        self._is_answered = True
        self.on_response_complete()
        return True

    def _server_lines(self) -> bytes:
        """Return the date and what else uvicorn says of itself; it makes a new list each second."""
        headers = self.server_state.default_headers
        if headers is not self._default_headers:
            self._default_headers = headers
            self._default_lines = b"".join(b"%s: %s\r\n" % line for line in headers)
        return self._default_lines
