"""What a server answers at ``/api/v1``, and what can go wrong with it, as one sentence each."""

import asyncio
import json
import netrc
import re
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx

from registry.auth.authorities import trusted_authorities
from registry.cli.output import plain
from registry.cli.profile import Profile, load
from registry.cli.received import ENCODING, MAX_BYTES, TooLarge, received
from registry.cli.remote import RemoteError, client_headers, credentials, no_answer

Result = TypeVar("Result")

PREFIX: Final = "/api/v1"
#: The most that the server gives at once.
_PAGE: Final = 100
#: How often a request is sent again whose answer was lost on the way.
_ATTEMPTS: Final = 3
#: How often what is still being made is asked for; the server waits 19 s each time.
_ROUNDS: Final = 30
_PAUSE_SECONDS: Final = 1.0
#: What was lost may have been carried out, and is sent again only where that does no harm: a POST
#: has a key by which the server knows it again.
_REPEATABLE: Final = frozenset({"GET", "PUT", "POST"})
_LOST: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
#: What stands for an answer is sent back as it is.
_ETAG: Final = re.compile(r"[ -~]{1,512}")
#: Answers that stand for "not yet".
_NOT_YET: Final = frozenset({"STILL_BUILDING", "STILL_SOLVING", "KEY_BUSY"})


class Unreachable(RemoteError):
    """The server does not answer."""


class Refused(RemoteError):
    """The server answers that it cannot be done."""

    def __init__(self, message: str, status: int, code: str = "", line: int | None = None) -> None:
        super().__init__(message)
        #: Of what was sent, counted from 1, if the error is in one.
        self.line = line
        #: Of HTTP.
        self.status = status
        #: The kind of error, such as ``"NAMESPACE_UNKNOWN"``; empty where it is none of ours.
        self.code = code


class Document(dict[str, Any]):
    """A JSON object that a server answered; a field that it lacks is told as one sentence."""

    def __missing__(self, field: str) -> NoReturn:
        """Say that this is not what was asked for."""
        raise _odd(f"no '{field}'")

    def objects(self, field: str) -> list["Document"]:
        """Return a field that is a list of objects.

        Raises:
            RemoteError: It is none.
        """
        value = self[field]
        if not isinstance(value, list) or not all(isinstance(one, Document) for one in value):
            raise _odd(f"no list '{field}'")
        return value

    def part(self, field: str) -> "Document":
        """Return a field that is an object.

        Raises:
            RemoteError: It is none.
        """
        value = self[field]
        if not isinstance(value, Document):
            raise _odd(f"no object '{field}'")
        return value

    def word(self, field: str) -> str:
        """Return a field that is a text.

        Raises:
            RemoteError: It is none.
        """
        value = self[field]
        if not isinstance(value, str):
            raise _odd(f"no text '{field}'")
        return value

    def words(self, field: str) -> list[str]:
        """Return a field that is a list of texts, or ``null``.

        Raises:
            RemoteError: It is neither.
        """
        value = self[field] or []
        if not isinstance(value, list):
            raise _odd(f"no list '{field}'")
        return [str(one) for one in value]

    def number(self, field: str) -> int:
        """Return a field that is a number.

        Raises:
            RemoteError: It is none.
        """
        value = self[field]
        if not isinstance(value, int):
            raise _odd(f"no number '{field}'")
        return value


class Api:
    """Sends requests to one server, with what it needs to know who sends them.

    All methods raise :class:`Unreachable` when the server does not answer, :class:`Refused` when it
    cannot do what it is asked for, and :class:`RemoteError` when it is no pullforge server.
    """

    def __init__(self, http: httpx.AsyncClient, server: str, way_in: str | None = None) -> None:
        #: Has credentials and timeouts.
        self.http = http
        #: With its scheme, and without a slash at the end.
        self.server = server
        self._way_in = way_in

    @property
    def host(self) -> str:
        """The server's host, with its port where it has one: what images are pulled from."""
        return urlsplit(self.server).netloc

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Document:
        """Return what is at an address; parameters that are ``None`` or empty are left out."""
        return self.document(await self.send("GET", path, query=query))

    async def text(self, path: str) -> str:
        """Return what is at an address, as text."""
        return (await self.send("GET", path)).text

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
    ) -> httpx.Response:
        """Send a request and return its answer, which is no error.

        One whose answer is lost is sent again where that does no harm; what is still being made is
        waited for.

        Args:
            method: Of HTTP.
            path: Below ``/api/v1``, or from the root.
            query: Parameters; those that are ``None`` or empty are left out.
            body: As JSON, or as it is if it is bytes.
        """
        url = self.server + (path if path.startswith("/") else f"{PREFIX}/{path}")
        params = {name: str(one) for name, one in (query or {}).items() if one not in {None, ""}}
        headers = {"idempotency-key": str(uuid.uuid4())} if method == "POST" else {}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        lost = rounds = 0
        while True:
            try:
                async with self.http.stream(
                    method, url, params=params, content=content, headers=headers
                ) as stream:
                    reply = await received(stream)
            except TooLarge as exc:
                raise RemoteError(
                    f"{self.server} answered more than {MAX_BYTES // 2**20} MiB: it is broken, or"
                    " no pullforge server"
                ) from exc
            except _LOST as exc:
                lost += 1
                if lost == _ATTEMPTS or method not in _REPEATABLE:
                    raise silent(self.server, exc) from exc
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                raise silent(self.server, exc) from exc
            else:
                if reply.is_success:
                    return reply
                refusal = self.refusal(reply)
                rounds += 1
                if refusal.code not in _NOT_YET or rounds == _ROUNDS:
                    raise refusal
            await asyncio.sleep(_PAUSE_SECONDS)

    async def all(
        self, path: str, query: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Document:
        """Return a list as one document: all its pages, or the first ``limit`` entries."""
        items: list[Document] = []
        after: object = None
        while True:
            size = _PAGE if limit is None else min(_PAGE, limit - len(items))
            page = await self.get(path, {**(query or {}), "limit": size, "after": after})
            before, after = after, page["next"]
            items += page.objects("items")
            if after is None or after == before or (limit is not None and len(items) >= limit):
                return Document(items=items, next=after)

    def document(self, reply: httpx.Response) -> Document:
        """Return the object that an answer is."""
        try:
            found = json.loads(reply.content, object_hook=Document)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, Document):
            raise RemoteError(
                f"{self.server} answered {reply.status_code} without JSON: it is no pullforge"
                " server"
            )
        return found

    def refusal(self, reply: httpx.Response) -> Refused:
        """Return what an answer says that is an error."""
        status = reply.status_code
        try:
            document = json.loads(reply.content)
            # ``/v2`` answers a list of them.
            error = document["error"] if "error" in document else document["errors"][0]
            code, message, line = str(error["code"]), error["message"], error.get("line")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            code, message, line = "", None, None
        if not isinstance(message, str) or not message:
            return Refused(f"{self.server} answered {status}: it is no pullforge server", status)
        message = plain(message)
        if status == 401:
            way_in = self._way_in or f"'pullforge login {self.host}'"
            message = f"{message} ({way_in})"
        return Refused(message, status, code, line if isinstance(line, int) else None)


def ask(host: str | None, work: Callable[[Api], Coroutine[Any, Any, Result]]) -> Result:
    """Return what ``work`` returns, given the API of a server.

    Args:
        host: ``None``: the server of the last login.
        work: Is run to its end.

    Raises:
        RemoteError: As :class:`Api`, and whatever ``work`` raises.
    """

    async def session() -> Result:
        async with open_api(profile_of(host)) as api:
            return await work(api)

    return asyncio.run(session())


def profile_of(host: str | None) -> Profile:
    """Return the profile of a server.

    Raises:
        RemoteError: As :func:`registry.cli.profile.load`, or ``host`` cannot be one.
    """
    try:
        return load(host)
    except ValueError as exc:
        raise RemoteError(f"{plain(str(host))} is no host: {plain(str(exc))}") from exc


@asynccontextmanager
async def open_api(
    profile: Profile, auth: httpx.Auth | None = None, way_in: str | None = None
) -> AsyncIterator[Api]:
    """Give a server's API, with the profile's token, or with what ``~/.netrc`` says if it has none.

    Args:
        profile: Where the server is.
        auth: Says who asks, instead of all that.
        way_in: What to do where the server takes no login of that any more; ``None``: to log in.

    Raises:
        RemoteError: ``~/.netrc`` cannot be read.
    """
    try:
        auth = auth or (None if profile.token else credentials())
    except (OSError, netrc.NetrcParseError) as exc:
        raise RemoteError(f"~/.netrc cannot be read: {plain(str(exc))}") from exc
    headers = {**client_headers(), "accept-encoding": ENCODING}
    if profile.token:
        headers["authorization"] = f"Bearer {profile.token}"
    timeout, trusted = httpx.Timeout(30, read=60), trusted_authorities()
    async with httpx.AsyncClient(
        auth=auth, headers=headers, timeout=timeout, verify=trusted
    ) as http:
        yield Api(http, profile.server, way_in)


def etag_of(reply: httpx.Response) -> str:
    """Return what stands for an answer; empty: nothing that could be sent back."""
    etag = str(reply.headers.get("etag", ""))
    return etag if _ETAG.fullmatch(etag) else ""


def silent(server: str, exc: Exception) -> Unreachable:
    """Return what is said of a server that does not answer."""
    return Unreachable(no_answer(server, exc))


def _odd(what: str) -> RemoteError:
    return RemoteError(
        f"the server's answer has {what}: it is no pullforge server, or a much newer one"
    )
