"""A server's API, from the command line."""

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

#: How often a stream that breaks off is taken up again without anything new in it.
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 1
#: What OpenSSL says, by its version, of an answer that is no TLS.
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class RemoteError(Exception):
    """The server cannot do it, or does not answer: one sentence."""


def address_of(host: str) -> str:
    """Return where the server ``host`` is: with TLS, unless it is this machine.

    >>> address_of("registry.example"), address_of("localhost:8080"), address_of("http://a:1/")
    ('https://registry.example', 'http://localhost:8080', 'http://a:1')
    """
    if "://" in host:
        return host.rstrip("/")
    is_local = urlsplit(f"//{host}").hostname in _LOCAL
    return f"{'http' if is_local else 'https'}://{host}"


def no_answer(server: str, exc: Exception) -> str:
    """Return what is said of a server that does not answer, or not in TLS."""
    said = "".join(filter(str.isprintable, str(exc)))[:500]
    if any(sign in said for sign in _NO_TLS):
        return f"{server} speaks no TLS: write http://{urlsplit(server).netloc}"
    return f"{server} does not answer: {said or type(exc).__name__}"


def client_headers() -> dict[str, str]:
    """Return what tells a server that this is its own command line."""
    return {"user-agent": f"pullforge/{version('pullforge')}"}


def credentials() -> httpx.Auth | None:
    """Return what ``~/.netrc`` says, if there is one."""
    path = Path("~/.netrc").expanduser()
    return httpx.NetRCAuth(str(path)) if path.is_file() else None


async def push_file(
    http: httpx.AsyncClient,
    host: str,
    data: bytes,
    on_progress: Callable[[str], None],
    *,
    renew: bool = False,
) -> dict[str, Any]:
    """Send a file to be built and return the document of its build; ``on_progress`` gets sentences.

    ``http`` has credentials and timeouts; ``renew`` solves anew what the server knows.

    Raises:
        RemoteError: It cannot be built, or the server does not answer.
    """
    server = address_of(host)
    try:
        query = {"renew": "true"} if renew else {}
        reply = await http.post(f"{server}/api/v1/builds", content=data, params=query)
        if reply.status_code == 202:
            status = await _follow(http, urljoin(server, reply.headers["location"]), on_progress)
            if status["state"] != "done":
                raise RemoteError(status["error"]["message"])
            reply = await http.get(urljoin(server, status["links"]["build"]))
        return _document(reply)
    except httpx.HTTPError as exc:
        raise RemoteError(no_answer(server, exc)) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise RemoteError(f"{server} is no pullforge server, or a much newer one") from exc


async def _follow(
    http: httpx.AsyncClient, request: str, on_progress: Callable[[str], None]
) -> dict[str, Any]:
    """Return the last status of a request, following it over streams that break off."""
    attempts, last_line = 0, ""
    while True:
        try:
            async for event in _events(http, f"{request}/events", last_line):
                attempts, last_line = 0, event.id or last_line
                if event.event == "log":
                    continue
                status: dict[str, Any] = event.json()
                if event.event == "end":
                    return status
                on_progress(f"{status['progress'] or status['state']} ({status['percent']} %)")
        except httpx.TransportError:
            if attempts == _ATTEMPTS:
                raise
        attempts += 1
        if attempts > _ATTEMPTS:
            raise RemoteError(f"{request} breaks off; push again, what is done so far is kept")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _events(
    http: httpx.AsyncClient, url: str, last_line: str
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of a stream: those after the line of that number, if one is given."""
    headers = {"Last-Event-ID": last_line} if last_line else {}
    async with aconnect_sse(http, "GET", url, headers=headers) as source:
        if source.response.status_code != 200:
            await source.response.aread()
            _document(source.response)
        async for event in source.aiter_sse():
            # After a line with an id, httpx-sse makes an event of each comment that keeps the
            # connection open; by the HTML standard there is none without data.
            if event.data:
                yield event


def _document(reply: httpx.Response) -> dict[str, Any]:
    """Return what a server answers.

    Raises:
        RemoteError: That is an error.
    """
    try:
        document: dict[str, Any] = reply.json()
        if reply.is_success:
            return document
        message = document["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"{reply.url} answered {reply.status_code}: it is no pullforge server"
    raise RemoteError(message)
