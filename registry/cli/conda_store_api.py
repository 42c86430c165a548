"""A conda-store that is read by its REST API.

What its versions do differently, or wrongly, is known here alone:

* Pages are counted, and no larger than the server's own bound: what it says of their size holds.
  What is deleted meanwhile moves all behind it: a list is read again if the number of its entries
  changed.
* Who is not known gets empty lists, and no error: who asks is asked first.
* Lists of builds have those of deleted environments too, and leave out what they were built from.
* A lock is where ``…/lockfile/`` redirects to, in most installations on another host: the token is
  not sent there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx

from registry.auth.authorities import trusted_authorities
from registry.cli.conda_store_records import (
    Content,
    Old,
    OldBuild,
    OldEnvironment,
    OldNamespace,
    OldRole,
    Remark,
    Unreadable,
    content_of,
    moment,
)
from registry.cli.output import plain
from registry.cli.received import ENCODING, MAX_BYTES, TooLarge, received
from registry.cli.remote import RemoteError, address_of, client_headers, no_answer

_PAGE: Final = 100
#: The most pages of a list: a server that never comes to an end is broken.
_MAX_PAGES: Final = 100_000
#: How often a list is read that changes while it is read.
_READINGS: Final = 3
_ATTEMPTS: Final = 6
_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 20.0
#: Answers after which the same may go well a moment later.
_LATER: Final = frozenset({429, 500, 502, 503, 504})
#: How many requests are under way at once: conda-store answers one after the other.
_AT_ONCE: Final = 8
_API: Final = "/api/v1"
#: What a role holds in that holds everywhere.
_EVERYTHING: Final = "*/*"
#: How many patterns are named of those in which somebody has a role.
_NAMED: Final = 5


class _Refused(RemoteError):
    """It answers that it cannot be done."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Odd(RemoteError):
    """It answers what conda-store does not."""


class CondaStoreApi:
    """Reads a conda-store by its REST API; :func:`open_conda_store` makes it."""

    def __init__(self, http: httpx.AsyncClient, server: str, token: str | None) -> None:
        self._http = http
        #: Its address, without a slash at the end and without ``/api/v1``.
        self._server = server
        self._token = token
        self._turn = asyncio.Semaphore(_AT_ONCE)

    @property
    def source(self) -> str:
        """Its address."""
        return self._server

    async def find(self) -> None:
        """Find out where its API is: at the address that was given, or below ``/conda-store``.

        Raises:
            RemoteError: It is no conda-store, or does not take the token.
        """
        if not await self._is_here():
            given = self._server
            self._server = f"{given}/conda-store"
            if not await self._is_here():
                raise RemoteError(
                    f"{given} is no conda-store: give its address up to what is before '/api/v1'"
                )
        if self._token and not (await self._rights()).get("authenticated", True):
            raise RemoteError(
                f"{self._server} does not take the token, which has perhaps ended: make another one"
            )

    async def read(self, namespaces: Collection[str]) -> Old:
        """Return what it has in these namespaces; none said: in all."""
        old = Old()
        for row in await self._list("/namespace/"):
            # Those of the others may give rights in these.
            namespace = await self._namespace(_text(row, "name"), old)
            if not namespaces or namespace.name in namespaces:
                old.namespaces.append(namespace)
        wanted = [{"namespace": name} for name in namespaces] if namespaces else [{}]
        for query in wanted:
            old.environments += map(_environment, await self._list("/environment/", query))
            old.builds += map(_build, await self._list("/build/", query))
        old.remarks += await self._rights_of_all()
        old.unseen = _unseen(await self._rights(), has_token=bool(self._token))
        return old

    async def content(self, build: OldBuild, *, with_lock: bool) -> Content:
        """Return what a build was built from.

        Raises:
            Unreadable: That of this build cannot be had.
            RemoteError: It does not answer any more.
        """
        try:
            document = await self._data(f"/build/{build.id}/")
            spec = document["specification"]["spec"]
            kinds = {_text(one, "artifact_type") for one in document.get("build_artifacts") or ()}
        except (_Refused, _Odd) as exc:
            raise Unreadable(str(exc)) from exc
        except (LookupError, TypeError) as exc:
            raise Unreadable("conda-store tells nothing of what it was built from") from exc
        if not isinstance(spec, Mapping):
            raise Unreadable("what it was built from is no environment.yml")
        if not with_lock or "LOCKFILE" not in kinds:
            return content_of(spec, None)
        try:
            return content_of(spec, await self._lock(build.id))
        except _Refused as exc:
            return content_of(spec, None, f"its lock cannot be had: {exc}")

    async def _is_here(self) -> bool:
        try:
            return "version" in await self._data("/")
        except _Refused:
            return False

    async def _namespace(self, name: str, old: Old) -> OldNamespace:
        """Return a namespace; its roles of both generations are put to the others."""
        path = f"/namespace/{quote(name, safe='', errors='replace')}"
        try:
            document = await self._data(f"{path}/")
            # An installation of before 2024 has none of these.
            roles = await self._answer(f"{path}/roles", missing={"data": []})
            old.roles += [
                OldRole("v1", name, _text(row, "entity"), _text(row, "role"))
                for row in _rows(document, "role_mappings")
            ] + [
                OldRole(
                    "v2",
                    _text(row, "other_namespace"),
                    f"{_text(row, 'namespace')}/*",
                    _text(row, "role"),
                )
                for row in _rows(roles, "data")
            ]
        except (_Refused, _Odd) as exc:
            old.remarks.append(Remark(f"the roles of {name}", str(exc)))
            return OldNamespace(name)
        return OldNamespace(name, has_metadata=bool(document.get("metadata_")))

    async def _rights(self, *, is_known: bool = True) -> dict[str, Any]:
        """Return what whoever asks may do; empty: it does not tell."""
        try:
            return await self._data("/permission/", is_known=is_known)
        except _Refused:
            return {}

    async def _rights_of_all(self) -> list[Remark]:
        """Return what of the configuration is known to give rights, which no table has."""
        document = await self._rights(is_known=False)
        roles = document.get("entity_roles")
        all_given = {one: _rows(roles, one) for one in roles} if isinstance(roles, dict) else {}
        return [
            Remark(
                f"{', '.join(sorted(map(str, given)))} on {where} for whoever has not logged in",
                "its configuration says so: give it with 'pullforge grant add … --everyone' if it"
                " is wanted here",
            )
            for where, given in all_given.items()
        ]

    async def _lock(self, build: int) -> str:
        reply = await self._send(f"/build/{build}/lockfile/")
        try:
            return reply.content.decode()
        except UnicodeDecodeError as exc:
            raise _Refused("its lock is no text", reply.status_code) from exc

    async def _list(
        self, path: str, query: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return all of a list, each entry once."""
        found: dict[object, dict[str, Any]] = {}
        for _ in range(_READINGS):
            found, is_whole = await self._pages(path, query or {})
            if is_whole:
                break
        return list(found.values())

    async def _pages(
        self, path: str, query: Mapping[str, str]
    ) -> tuple[dict[object, dict[str, Any]], bool]:
        """Return the entries of all pages by their ids, and whether nothing changed meanwhile."""
        found: dict[object, dict[str, Any]] = {}
        counts: set[int] = set()
        for page in range(1, _MAX_PAGES):
            bounds = {"page": str(page), "size": str(_PAGE)}
            answer = await self._answer(path, query={**query, **bounds})
            rows, count = answer.get("data"), answer.get("count")
            if not isinstance(rows, list) or not isinstance(count, int):
                raise self._odd(path)
            before = len(found)
            counts.add(count)
            for row in rows:
                if not isinstance(row, dict) or not isinstance(row.get("id"), int):
                    raise self._odd(path)
                found[row["id"]] = row
            # One that answers the first page whatever is asked for has come to its end too.
            if len(found) >= count or len(found) == before:
                return found, counts == {len(found)}
        raise self._odd(path)

    async def _data(self, path: str, *, is_known: bool = True) -> dict[str, Any]:
        """Return the field ``data`` of an answer."""
        data = (await self._answer(path, is_known=is_known)).get("data")
        if not isinstance(data, dict):
            raise self._odd(path)
        return data

    async def _answer(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        missing: dict[str, Any] | None = None,
        is_known: bool = True,
    ) -> dict[str, Any]:
        """Return an answer; ``missing`` is the one where there is no such address."""
        try:
            reply = await self._send(path, query, is_known=is_known)
        except _Refused as exc:
            if missing is not None and exc.status in {404, 405}:
                return missing
            raise
        try:
            document = json.loads(reply.content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            # A page of HTML: a proxy that wants somebody to log in, or another program.
            raise _Refused(
                f"{self._server}{_API}{path} answers no JSON: it is no conda-store, or a proxy"
                " before it wants a login",
                404,
            )
        return document

    async def _send(
        self, path: str, query: Mapping[str, str] | None = None, *, is_known: bool = True
    ) -> httpx.Response:
        """Return a good answer; what may go well later is tried again.

        Raises:
            RemoteError: It does not answer.
        """
        url = f"{self._server}{_API}{path}"
        headers = {"authorization": f"Bearer {self._token}"} if self._token and is_known else {}
        pause = _PAUSE_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            wait = pause
            try:
                async with (
                    self._turn,
                    self._http.stream("GET", url, params=query or {}, headers=headers) as stream,
                ):
                    reply = await received(stream)
            except TooLarge as exc:
                raise _Refused(f"it is larger than {MAX_BYTES // 2**20} MiB", 413) from exc
            except (httpx.TransportError, httpx.DecodingError) as exc:
                if attempt == _ATTEMPTS:
                    raise RemoteError(no_answer(self._server, exc)) from exc
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                raise RemoteError(no_answer(self._server, exc)) from exc
            else:
                if reply.is_success:
                    return reply
                if reply.status_code not in _LATER or attempt == _ATTEMPTS:
                    raise _Refused(_message(reply), reply.status_code)
                asked = reply.headers.get("retry-after", "")
                wait = float(asked) if asked.isascii() and asked.isdigit() else pause
            await asyncio.sleep(min(wait, _LONGEST_PAUSE_SECONDS))
            pause *= 2
        raise AssertionError

    def _odd(self, path: str) -> _Odd:
        return _Odd(
            f"{self._server}{_API}{path} does not answer as conda-store does: give the address of"
            " one"
        )


@asynccontextmanager
async def open_conda_store(host: str, token: str | None) -> AsyncIterator[CondaStoreApi]:
    """Give the conda-store at an address.

    Args:
        host: Its address, with or without ``/api/v1``.
        token: Says who asks; ``None``: nobody.

    Raises:
        RemoteError: There is none, or it does not take the token.
    """
    server = address_of(host).rstrip("/").removesuffix(_API)
    headers = {**client_headers(), "accept-encoding": ENCODING}
    timeout = httpx.Timeout(30, read=120)
    async with httpx.AsyncClient(
        headers=headers,
        timeout=timeout,
        verify=trusted_authorities(),
        follow_redirects=True,
        limits=httpx.Limits(max_connections=2 * _AT_ONCE),
    ) as http:
        conda_store = CondaStoreApi(http, server, token)
        await conda_store.find()
        yield conda_store


def _message(reply: httpx.Response) -> str:
    """Return what an answer says that is an error."""
    try:
        document = json.loads(reply.content)
        said = document.get("message") or document.get("detail")
    except (ValueError, AttributeError, RecursionError):
        said = None
    at = f"{reply.url.host}{reply.url.path}"
    return f"{at} answers {reply.status_code}" + (f": {plain(str(said))}" if said else "")


def _unseen(rights: Mapping[str, Any], *, has_token: bool) -> Remark | None:
    """Return that whoever asks does not see everything; ``None``: they do, or it is not told."""
    roles = rights.get("entity_roles")
    # A viewer sees as much as an administrator does.
    if not isinstance(roles, Mapping) or roles.get(_EVERYTHING):
        return None
    seen = sorted(plain(str(where)) for where, given in roles.items() if given)
    if len(seen) > _NAMED:
        seen[_NAMED:] = [f"{len(seen) - _NAMED} more"]
    what = " and ".join(filter(None, [", ".join(seen[:-1]), *seen[-1:]])) or "nothing"
    if has_token:
        return Remark(f"this token sees only {what}", "what it does not see is not imported")
    why = "what is not seen is not imported: give an administrator's with --token-file"
    return Remark(f"without a token, whoever asks sees only {what}", why)


def _environment(row: Mapping[str, Any]) -> OldEnvironment:
    namespace = row.get("namespace")
    if not isinstance(namespace, Mapping):
        raise _Odd("an environment of conda-store has no namespace: it is a much older one")
    current = row.get("current_build_id")
    return OldEnvironment(
        id=row["id"],
        namespace=_text(namespace, "name"),
        name=_text(row, "name"),
        description=str(row.get("description") or ""),
        current_build_id=current if isinstance(current, int) else None,
    )


def _build(row: Mapping[str, Any]) -> OldBuild:
    environment = row.get("environment_id")
    if not isinstance(environment, int):
        raise _Odd("a build of conda-store has no environment: it is a much older one")
    return OldBuild(
        id=row["id"],
        environment_id=environment,
        status=_text(row, "status"),
        message=str(row.get("status_info") or ""),
        scheduled_on=moment(_text(row, "scheduled_on")) or "",
        started_on=moment(row.get("started_on")),
        ended_on=moment(row.get("ended_on")),
    )


def _rows(row: Mapping[str, Any], field: str) -> list[Any]:
    """Return a field that is a list, or nothing.

    Raises:
        _Odd: It is something else.
    """
    value = row.get(field) or []
    if not isinstance(value, list):
        raise _Odd(f"conda-store's answer has no list '{plain(field)}': it is none")
    return value


def _text(row: object, field: str) -> str:
    """Return a field that is a text.

    Raises:
        _Odd: It is none.
    """
    value = row.get(field) if isinstance(row, Mapping) else None
    if not isinstance(value, str):
        raise _Odd(f"conda-store's answer has no text '{field}': it is a much older one")
    return value
