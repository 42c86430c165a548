"""HTTP with a way past the application for what can be answered at once.

An application that does nothing costs 45 µs of uvicorn and its task for each request, and a warm
manifest is asked for more often than anything else. So requests are offered to a :class:`Shortcut`
when their headers have been read; what it does not answer goes on to the application as ever, and
that is everything which is not in memory, must be waited for or is out of the ordinary.
"""

from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from registry.web.shortcut import Shortcut

_METHODS: Final = frozenset({b"GET", b"HEAD"})
_OK: Final = STATUS_LINE[200]


class ShortcutProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with the shortcut that the application's lifespan gave, if any."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shortcut: Shortcut | None = self.app_state.get("shortcut")
        #: Whether the request whose end is still to be read was answered.
        self._is_answered = False
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    def on_headers_complete(self) -> None:
        """Answer the request, or pass it on."""
        if not self._answer():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a request was read to its end."""
        if self._is_answered:
            self._is_answered = False
        else:
            super().on_message_complete()

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
            or self.transport.is_closing()
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
