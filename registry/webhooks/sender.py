"""Sending an event by HTTP: where it may go, how long it may take, and what an answer means.

Who manages a namespace chooses the address, and whoever answers there chooses what it says. So the
address is looked at when it is connected to, redirects are failures, time and answers are bounded,
and what is said of a failure has the host alone.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Final, Protocol

import httpx

from builder.network.hosts import Hosts, RefusedHost
from registry.catalog.outgoing import Attempt, Outgoing
from registry.catalog.records import Event
from registry.webhooks.messages import Messages
from registry.webhooks.signing import signature_headers

#: How long a receiver has: the Standard Webhooks say 15 to 30.
TIMEOUT_SECONDS: Final = 15.0
#: How long is waited for the end of an answer whose status is known.
_BODY_SECONDS: Final = 2.0
_MAX_ANSWER: Final = 1024
#: The longest that whoever answers can have us wait.
_MAX_RETRY_SECONDS: Final = 3600.0
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Sender(Protocol):
    """Sends events of one kind."""

    async def send(self, outgoing: Outgoing, event: Event) -> Attempt:
        """Send an event, and return what came of it; never raise, and end within 20 s."""
        ...


class Places:
    """Where events may go.

    Args:
        hosts: Decides where may be connected to.
        own: The host, and port, of this service, which is not sent to; empty: it may be.
    """

    def __init__(self, hosts: Hosts, own: str = "") -> None:
        self.hosts = hosts
        self._own = own

    def problem_with(self, address: str) -> str:
        """Return why nothing can be sent to an address, as far as it is known without a look.

        Empty: perhaps it can.
        """
        url = httpx.URL(address)
        if self._own and url.netloc.decode("ascii").lower() == self._own:
            return f"{self._own} is this service itself, to which it sends nothing"
        try:
            self.hosts.check(url)
        except RefusedHost as exc:
            return f"it {exc}"
        return ""


class HttpSender:
    """Sends events by HTTP; implements :class:`Sender`.

    Args:
        http: Restricted to where events may go; follows no redirects.
        places: What it is restricted to.
        messages: Writes what is sent.
        user_agent: How the sender names itself.
        clock: The time in seconds since 1970.
        timeout_seconds: How long a receiver has.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        places: Places,
        messages: Messages,
        *,
        user_agent: str = "pullforge",
        clock: Callable[[], float] = time.time,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        # What one receiver has set is nothing that another one of the same host is to get.
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._http = http
        self._places = places
        self._messages = messages
        self._user_agent = user_agent
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def send(self, outgoing: Outgoing, event: Event) -> Attempt:
        """Send an event, and return what came of it."""
        problem = self._places.problem_with(outgoing.address)
        if problem:
            return Attempt("failed", message=problem)
        message = self._messages.of(event)
        body = message.chat if outgoing.format == "chat" else message.document
        headers = {
            "content-type": "application/json",
            "user-agent": self._user_agent,
            # An answer is kept as it comes: nothing is unpacked.
            "accept-encoding": "identity",
            **signature_headers(outgoing.secrets, message.id, int(self._clock()), body),
        }
        url, began = httpx.URL(outgoing.address), time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                attempt = await self._post(url, headers, body)
        except TimeoutError:
            attempt = self._late()
        except httpx.HTTPError as exc:
            attempt = Attempt("failed", message=self._failure(url, exc))
        except Exception as exc:  # noqa: BLE001 (an address that no library thought of)
            attempt = Attempt("failed", message=f"nothing could be sent: {type(exc).__name__}")
        return _timed(attempt, began)

    async def _post(self, url: httpx.URL, headers: dict[str, str], body: bytes) -> Attempt:
        async with self._http.stream(
            "POST", url, headers=headers, content=body, follow_redirects=False
        ) as response:
            answer = await _beginning(response)
            return _meaning(response, answer)

    def _late(self) -> Attempt:
        return Attempt("failed", message=f"it did not answer within {self._timeout_seconds:g} s")

    def _failure(self, url: httpx.URL, exc: httpx.HTTPError) -> str:
        """Return why nothing was taken, in a sentence without what is secret in the address."""
        host, certificate = url.netloc.decode("ascii"), _certificate_problem(exc)
        if isinstance(exc, httpx.TimeoutException):
            return self._late().message
        if certificate:
            return f"the certificate of {host} is not accepted: {certificate}"
        said = {
            RefusedHost: f"it {exc}",
            httpx.ProxyError: f"the proxy of this machine does not connect to {host}",
            httpx.ConnectError: f"{host} is not found, or takes no connections",
            httpx.RemoteProtocolError: f"{host} ended the connection, or answered what is no HTTP",
            httpx.ReadError: f"{host} ended the connection before it answered",
        }
        return said.get(type(exc), f"nothing could be sent to {host}: {type(exc).__name__}")


def _meaning(response: httpx.Response, answer: str) -> Attempt:
    """Return what an answer means."""
    status = response.status_code
    if 200 <= status < 300:
        return Attempt("taken", status, answer=answer)
    said = f"it answered {_status_words(status)}"
    if status == HTTPStatus.GONE:
        return Attempt("gone", status, said, answer)
    if response.has_redirect_location:
        said = f"it redirects{_redirect_host(response)}, which is not followed: write the address"
        said += " that takes events"
    return Attempt("failed", status, said, answer, _retry_seconds(response))


def _status_words(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _redirect_host(response: httpx.Response) -> str:
    """Return where a redirect leads: the host, since the rest may be meant for nobody."""
    with suppress(httpx.InvalidURL, ValueError, UnicodeError):
        return f" to {response.url.join(response.headers['location']).netloc.decode('ascii')}"
    return ""


def _retry_seconds(response: httpx.Response) -> float | None:
    """Return after how long whoever answers wants to be asked again, if they say so.

    Source:
        RFC 9110, 10.2.3.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 1.0), _MAX_RETRY_SECONDS)


async def _beginning(response: httpx.Response) -> str:
    """Return how an answer begins, as text that is harmless; its end is not waited for."""
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return ""
    data = b""
    # The status is what counts: an answer that never ends was one.
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in response.aiter_raw():
                data += chunk
                if len(data) >= _MAX_ANSWER:
                    break
    text = data[:_MAX_ANSWER].decode("utf-8", "replace")
    return _UNSEEN.sub("�", text.replace("\r\n", "\n")).strip()


def _certificate_problem(exc: BaseException) -> str:
    """Return what is wrong with a certificate; empty: it is something else."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or "it cannot be verified"
        if isinstance(cause, ssl.SSLError):
            return str(cause.reason or "no encrypted connection comes about").lower()
        cause = cause.__cause__ or cause.__context__
    return ""


def _timed(attempt: Attempt, began: float) -> Attempt:
    return replace(attempt, duration_ms=int((time.monotonic() - began) * 1000))
