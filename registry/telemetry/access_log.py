"""The access log: one line for each request that was answered.

There is a line for every warm manifest, whose whole answer takes a few dozen microseconds. Through
structlog a line takes 16 µs; written out by :class:`JsonAccessLog` it takes 3.
"""

import asyncio
import time
from json.encoder import encode_basestring_ascii as quoted
from typing import Final, NamedTuple, Protocol, TextIO

import structlog

#: Enough of a User-Agent and of a path to recognise them.
_MAX_LOGGED: Final = 300


class AnsweredRequest(NamedTuple):
    """A request that was answered; ``path``, ``user_agent`` and ``user`` are as they were sent."""

    request_id: str
    method: str
    path: str
    status: int
    seconds: float
    sent_bytes: int
    user_agent: str
    #: Who sent it, if they logged in.
    user: str | None


class AccessLog(Protocol):
    """Writes down what was answered."""

    def answered(self, request: AnsweredRequest) -> None:
        """Write one line."""
        ...


class NoAccessLog:
    """Writes nothing; implements :class:`AccessLog`."""

    def answered(self, request: AnsweredRequest) -> None:
        """Do nothing."""


class StructuredAccessLog:
    """Writes lines as all others are written; implements :class:`AccessLog`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("registry.access")

    def answered(self, request: AnsweredRequest) -> None:
        """Write one line."""
        self._log.info(
            "answered request",
            request_id=request.request_id,
            method=request.method,
            path=request.path[:_MAX_LOGGED],
            status=request.status,
            seconds=round(request.seconds, 6),
            bytes=request.sent_bytes,
            user_agent=request.user_agent[:_MAX_LOGGED],
            **({} if request.user is None else {"user": request.user}),
        )


class JsonAccessLog:
    """Writes the very lines that structlog would, as JSON; implements :class:`AccessLog`.

    Lines of requests that are answered in one turn of the event loop are written together at its
    end: with few requests each at once, with many a system call for dozens of them.
    """

    def __init__(self, file: TextIO) -> None:
        """Write to ``file``, behind what others have written to it."""
        self._file = file
        self._lines: list[str] = []
        self._second = 0
        self._second_text = ""

    def answered(self, request: AnsweredRequest) -> None:
        """Write one line at the end of this iteration of the event loop."""
        request_id, method, path, status, seconds, sent_bytes, user_agent, user = request
        by_user = "" if user is None else f',"user":{quoted(user)}'
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(
            f'{{"request_id":"{request_id}","method":"{method}","path":{quoted(path[:_MAX_LOGGED])}'
            f',"status":{status},"seconds":{round(seconds, 6)},"bytes":{sent_bytes}'
            f',"user_agent":{quoted(user_agent[:_MAX_LOGGED])}{by_user}'
            f',"event":"answered request","level":"info","timestamp":"{self._now()}"}}\n'
        )

    def flush(self) -> None:
        """Write what was not written yet; after the event loop has ended, nobody else does."""
        lines, self._lines = self._lines, []
        if lines:
            self._file.write("".join(lines))
            self._file.flush()

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{int((now - second) * 1_000_000):06d}Z"
