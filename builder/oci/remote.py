"""Reading images from other registries (distribution-spec, "Pull")."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import httpx

from builder.errors import BaseImageError, BaseImageUnavailable, InvalidDigest
from builder.network.hosts import RefusedHost
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES
from builder.oci.reference import Reference
from builder.oci.tokens import is_loopback, token_of, token_request

#: Where docker.io really answers.
_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
_ACCEPT: Final = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))
_PARTS: Final = {"manifests": "manifest", "blobs": "config"}
_CHUNK: Final = 1024 * 1024
_MAX_MANIFEST: Final = 4 * 1024 * 1024
#: What a server of tokens answers; those of large registries have some 4 KiB.
_MAX_TOKEN_BYTES: Final = 256 * 1024
_ATTEMPTS: Final = 3
#: A registry that wants to be left alone for longer is not waited for.
_LONGEST_WAIT_SECONDS: Final = 10


class RemoteRegistry:
    """Pulls anonymously from registries; plain HTTP for loopback addresses only."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._tokens: dict[str, str] = {}

    async def digest(self, reference: Reference) -> Digest:
        """Return the digest that the reference's tag has now.

        A registry that limits how many images are pulled counts each GET of a manifest, and no
        HEAD: every new environment asks.

        Raises:
            BaseImageError: There is no such image.
            BaseImageUnavailable: The registry does not answer.
        """
        with _mapped(reference):
            try:
                response = await self._open(reference, "manifests", "HEAD")
            except BaseImageError:
                pass  # A registry without HEAD; or its GET says more.
            else:
                await response.aclose()
                said = response.headers.get("docker-content-digest", "")
                with suppress(InvalidDigest):
                    return parse_digest(said)
        data = b"".join(
            [chunk async for chunk in self.stream(reference, "manifests", _MAX_MANIFEST)]
        )
        return parse_digest(digest_of(data))

    async def stream(
        self, reference: Reference, kind: str, limit: int | None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of a manifest or blob as the registry sends them, unverified.

        Args:
            reference: What to read.
            kind: ``"manifests"`` or ``"blobs"``.
            limit: The most bytes to accept, or ``None``.

        Raises:
            BaseImageError: There is no such thing, or it is larger than ``limit``.
            BaseImageUnavailable: The registry does not answer, or limits how much is pulled.
        """
        seen = 0
        with _mapped(reference):
            response = await self._open(reference, kind, "GET")
            try:
                async for chunk in response.aiter_bytes(_CHUNK):
                    seen += len(chunk)
                    if limit is not None and seen > limit:
                        raise BaseImageError(
                            f"the base image {reference.name} cannot be read: its"
                            f" {_PARTS[kind]} is larger than the {limit} bytes that are accepted"
                        )
                    yield chunk
            finally:
                await response.aclose()

    async def _open(self, reference: Reference, kind: str, method: str) -> httpx.Response:
        """Return the answer to a request, whose body is not read yet."""
        url = f"{_base_url(reference.host)}/v2/{reference.repository}/{kind}/{reference.manifest}"
        for attempt in range(1, _ATTEMPTS + 1):
            response = await self._send(method, url, self._tokens.get(reference.name))
            if response.status_code == 401:
                await response.aclose()
                challenge = response.headers.get("www-authenticate", "")
                self._tokens[reference.name] = await self._token(challenge, reference)
                response = await self._send(method, url, self._tokens[reference.name])
            if response.status_code == 200:
                return response
            await response.aclose()
            wait_seconds = _retry_after(response)
            if response.status_code != 429 or wait_seconds is None:
                break
            if attempt == _ATTEMPTS or wait_seconds > _LONGEST_WAIT_SECONDS:
                break
            await asyncio.sleep(wait_seconds)
        raise _refusal(response, reference)

    async def _send(self, method: str, url: str, token: str | None) -> httpx.Response:
        # A blob is compressed already; one that was compressed once more would be another.
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity"}
        if token:
            # httpx drops this header when a redirect leads to another host.
            headers["Authorization"] = f"Bearer {token}"
        request = self._http.build_request(method, url, headers=headers)
        return await self._http.send(request, stream=True, follow_redirects=True)

    async def _token(self, challenge: str, reference: Reference) -> str:
        """Return an anonymous token for a ``WWW-Authenticate`` challenge."""
        realm, query = token_request(challenge, reference)
        headers = {"Accept-Encoding": "identity"}
        async with self._http.stream("GET", realm, params=query, headers=headers) as response:
            if response.status_code != 200:
                raise _refusal(response, reference)
            answer = b""
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > _MAX_TOKEN_BYTES:
                    break
        token = token_of(answer) if len(answer) <= _MAX_TOKEN_BYTES else None
        if token is None:
            raise BaseImageError(
                f"the base image {reference} cannot be read: {reference.host} answered something"
                " else than a token for an anonymous pull"
            )
        return token


@contextmanager
def _mapped(reference: Reference) -> Iterator[None]:
    try:
        yield
    except RefusedHost as exc:
        raise BaseImageError(
            f"the base image {reference} cannot be read: {reference.host} {exc}"
        ) from exc
    except httpx.HTTPError as exc:
        raise BaseImageUnavailable(
            f"the base image's registry {reference.host} does not answer; try again later"
        ) from exc


def _refusal(response: httpx.Response, reference: Reference) -> BaseImageError:
    """Return the error for an answer that is not what was asked for."""
    problem = f"the base image {reference} cannot be read"
    status = response.status_code
    if status == 429:
        seconds = _retry_after(response)
        when = "later" if seconds is None else f"in {_duration(seconds)}"
        return BaseImageUnavailable(
            f"{problem}: {reference.host} lets this server pull no more for now"
            f"{_limit(response)}; try again {when}"
        )
    if status >= 500:
        return BaseImageUnavailable(f"{problem} at the moment; try again later")
    if status in {401, 403}:
        return BaseImageError(
            f"{problem}: on {reference.host} it is not there, or not for everyone"
        )
    return BaseImageError(f"{problem}: its registry answered {status}")


def _retry_after(response: httpx.Response) -> int | None:
    text = response.headers.get("retry-after", "")
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else None


def _limit(response: httpx.Response) -> str:
    """Return how much may be pulled, where the registry says so (``ratelimit-limit``)."""
    match = re.fullmatch(r"(\d{1,7});w=(\d{1,7})", response.headers.get("ratelimit-limit", ""))
    return f" ({match[1]} in {_duration(int(match[2]))})" if match else ""


def _duration(seconds: int) -> str:
    """Return a time in the largest unit that says it, rounded up.

    >>> _duration(21600), _duration(3599), _duration(30), _duration(3600)
    ('6 hours', '60 minutes', '30 seconds', '60 minutes')
    """
    for unit_seconds, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit_seconds:
            return f"{-(-seconds // unit_seconds)} {unit}"
    return f"{seconds} seconds"


def _base_url(host: str) -> str:
    """Return the scheme and host to ask; plain HTTP is for this machine only."""
    scheme = "http" if is_loopback(host) else "https"
    return f"{scheme}://{_HOSTS.get(host, host)}"
