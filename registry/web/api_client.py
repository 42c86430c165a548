"""Asking ``/api/v1`` in the same process, as whoever sent a request to another face.

So a page knows nothing that its reader could not ask for: rights, privacy, the audit log and all
sentences are the API's.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlencode

import httpx
from httpx_sse import EventSource, ServerSentEvent
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.auth.policy import Caller
from registry.auth.trail import Via
from registry.web.access import act_as
from registry.web.browser.session import SESSION_NUMBER
from registry.web.noting import VIA

PREFIX: Final = "/api/v1"
#: What of a browser's request the API is told.
_PASSED_ON: Final = frozenset({b"host", b"user-agent", b"x-request-id"})
#: And beside, where a file is passed on: to go on with a download, or to have it not at all.
_OF_FILES: Final = ("range", "if-range", "if-none-match", "if-match")
#: How many pieces of a stream wait for their reader.
_WAITING: Final = 16

Result = TypeVar("Result")
Query = Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered."""

    status: int
    #: By name in lower case.
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """Its JSON; ``None`` if it has no body."""
        return json.loads(self.body) if self.body else None

    @property
    def text(self) -> str:
        """Its body as text."""
        return self.body.decode("utf-8", "replace")


class ApiProblem(Exception):
    """The API refuses, or has no answer: with the sentence for the user.

    Args:
        status: Of its answer.
        error: What it says: ``code``, ``message``, ``field``, ``line``, perhaps ``refusal``.
        retry_after: When it is to be asked again, if it says so.
    """

    def __init__(
        self, status: int, error: Mapping[str, Any], retry_after: str | None = None
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.error = error
        self.message = str(error.get("message", "the server has no answer"))
        self.code = str(error.get("code", "UNKNOWN"))
        self.field: str | None = error.get("field")
        self.line: int | None = error.get("line")
        self.refusal: Mapping[str, Any] | None = error.get("refusal")
        super().__init__(self.message)

    @property
    def is_about_visitor(self) -> bool:
        """Whether no form can mend it: they have to log in, or there is nothing here for them."""
        return self.status in {401, 404}


async def unless(answer: Awaitable[Result], *statuses: int) -> Result | None:
    """Return an answer of the API; ``None`` if it is one of ``statuses``.

    Raises:
        ApiProblem: It is another error.
    """
    try:
        return await answer
    except ApiProblem as problem:
        if problem.status in statuses:
            return None
        raise


class Api:
    """Asks the API for one request to another face.

    Args:
        app: What answers ``/api/v1``.
        scope: Of that request.
        caller: Who sent it.
        via: Through what they do what they do.
    """

    def __init__(self, app: ASGIApp, scope: Scope, caller: Caller, via: Via = "page") -> None:
        self._app = app
        self._via = via
        self._scope = scope
        self._caller = caller

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Return what the API answers.

        Args:
            method: Of the request.
            path: Below ``/api/v1``, with its fields quoted.
            query: What is ``None`` is left out.
            headers: Beside those that are passed on.
            body: What is sent.

        Raises:
            ApiProblem: It is an error.
        """
        sent, status, lines = bytearray(), 0, {}
        messages: list[Message] = [{"type": "http.request", "body": body}]

        async def receive() -> Message:
            # Whoever asks waits for all of it, so nobody leaves before.
            return messages.pop() if messages else await _nothing()

        async def send(message: Message) -> None:
            nonlocal status, lines
            if message["type"] == "http.response.start":
                status, lines = message["status"], _lines(message)
            else:
                sent.extend(message.get("body", b""))

        await self._app(self._asked(method, path, query, headers), receive, send)
        answer = Answer(status, lines, bytes(sent))
        if status >= 400:
            raise ApiProblem(status, _error(answer), lines.get("retry-after"))
        return answer

    async def stream(
        self, path: str, *, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the server-sent events of an address until they end, or nobody wants more.

        Raises:
            ApiProblem: There are none.
        """
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def receive() -> Message:
            return await _nothing()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.set_result(message["status"])
                return
            if piece := message.get("body", b""):
                await pieces.put(piece)
            if not message.get("more_body", False):
                await pieces.put(None)

        accepted = {"accept": "text/event-stream", **(headers or {})}
        scope = self._asked("GET", path, query, accepted)
        task = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            both: list[asyncio.Future[Any]] = [task, started]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not started.done():
                await task
                raise ApiProblem(500, {})
            if started.result() >= 400:
                body = b"".join([piece async for piece in _until_end(pieces)])
                raise ApiProblem(started.result(), _error(Answer(started.result(), {}, body)))
            async with aclosing(_events(pieces)) as events:
                async for event in events:
                    yield event
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def passing(
        self,
        path: str,
        refused: Callable[[ApiProblem], ASGIApp],
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ASGIApp:
        """Return what passes the API's answer on as it comes: a file, or a part of one.

        Args:
            path: As for :meth:`ask`.
            refused: Returns what is answered in the place of an error.
            query: As for :meth:`ask`.
            headers: Beside those that a browser sends of files.
        """
        known = {name.decode(): value.decode("latin-1") for name, value in self._scope["headers"]}
        lines = {name: known[name] for name in _OF_FILES if name in known}
        lines.update(headers or {})
        asked = self._asked(self._scope["method"], path, query, lines)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            status, body, said = 200, bytearray(), dict[str, str]()

            async def pass_on(message: Message) -> None:
                nonlocal status, said
                if message["type"] == "http.response.start":
                    status, said = message["status"], _lines(message)
                if status < 400:
                    await send(message)
                else:
                    body.extend(message.get("body", b""))

            await self._app(asked, receive, pass_on)
            if status >= 400:
                error = _error(Answer(status, said, bytes(body)))
                problem = ApiProblem(status, error, said.get("retry-after"))
                await refused(problem)(scope, receive, send)

        return app

    def _asked(
        self, method: str, path: str, query: Query | None, headers: Mapping[str, str] | None
    ) -> Scope:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        lines = [line for line in self._scope["headers"] if line[0] in _PASSED_ON]
        lines += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self._scope["scheme"],
            "path": PREFIX + unquote(path),
            "raw_path": (PREFIX + path).encode(),
            "root_path": "",
            "query_string": urlencode(asked).encode(),
            "headers": lines,
            "client": self._scope.get("client"),
            "server": self._scope.get("server"),
            "state": self._scope["state"],
            SESSION_NUMBER: self._scope.get(SESSION_NUMBER),
            VIA: self._via,
        }
        act_as(scope, self._caller)
        return scope


async def _nothing() -> Message:
    """Wait until nobody waits any more."""
    message: Message = await asyncio.get_running_loop().create_future()
    return message


async def _until_end(pieces: "asyncio.Queue[bytes | None]") -> AsyncIterator[bytes]:
    while (piece := await pieces.get()) is not None:
        yield piece


async def _events(
    pieces: "asyncio.Queue[bytes | None]",
) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield the events of a stream; what only keeps a connection open is none."""
    response = httpx.Response(
        200, headers={"content-type": "text/event-stream"}, content=_until_end(pieces)
    )
    async with aclosing(EventSource(response).aiter_sse()) as events:
        async for event in events:
            if event.data:
                yield event


def _lines(message: Message) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in message["headers"]}


def _error(answer: Answer) -> Mapping[str, Any]:
    try:
        document = answer.document
    except ValueError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}
