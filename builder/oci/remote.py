"""Reading images from other registries (distribution-spec, "Pull"; distribution token auth)."""

import re
from collections.abc import AsyncIterator
from typing import Final

import httpx

from builder.errors import BaseImageError, BaseImageUnavailable
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES
from builder.oci.reference import Reference

#: Where docker.io really answers.
_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
_ACCEPT: Final = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')
_CHUNK: Final = 1024 * 1024
_MAX_MANIFEST: Final = 4 * 1024 * 1024


class RemoteRegistry:
    """Pulls anonymously from registries; plain HTTP for loopback addresses only."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._tokens: dict[str, str] = {}

    async def digest(self, reference: Reference) -> Digest:
        """Return the digest that the reference's tag has now.

        Raises:
            BaseImageError: There is no such image.
            BaseImageUnavailable: The registry does not answer.
        """
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
            BaseImageUnavailable: The registry does not answer.
        """
        seen = 0
        try:
            response = await self._open(reference, kind)
            try:
                async for chunk in response.aiter_bytes(_CHUNK):
                    seen += len(chunk)
                    if limit is not None and seen > limit:
                        raise BaseImageError(f"the manifest of {reference.name} is over 4 MiB")
                    yield chunk
            finally:
                await response.aclose()
        except httpx.HTTPError as exc:
            raise BaseImageUnavailable(
                f"the base image's registry {reference.host} does not answer; try again later"
            ) from exc

    async def _open(self, reference: Reference, kind: str) -> httpx.Response:
        url = f"{_base_url(reference.host)}/v2/{reference.repository}/{kind}/{reference.manifest}"
        response = await self._get(url, self._tokens.get(reference.name))
        if response.status_code == 401:
            await response.aclose()
            token = await self._token(response.headers.get("www-authenticate", ""))
            self._tokens[reference.name] = token
            response = await self._get(url, token)
        if response.status_code != 200:
            await response.aclose()
            problem = f"the base image {reference.name}:{reference.manifest} cannot be read"
            if response.status_code >= 500 or response.status_code == 429:
                raise BaseImageUnavailable(f"{problem} at the moment; try again later")
            raise BaseImageError(f"{problem}: its registry answered {response.status_code}")
        return response

    async def _get(self, url: str, token: str | None) -> httpx.Response:
        headers = {"Accept": _ACCEPT}
        if token:
            # httpx drops this header when a redirect leads to another host.
            headers["Authorization"] = f"Bearer {token}"
        request = self._http.build_request("GET", url, headers=headers)
        return await self._http.send(request, stream=True, follow_redirects=True)

    async def _token(self, challenge: str) -> str:
        """Return an anonymous token for a ``WWW-Authenticate: Bearer`` challenge."""
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.pop("realm", "")
        if not challenge.lower().startswith("bearer ") or not realm.startswith("https://"):
            raise BaseImageError("the base image's registry asks for credentials")
        response = await self._http.get(realm, params=fields)
        body = response.json() if response.status_code == 200 else {}
        token = body.get("token") or body.get("access_token")
        if not isinstance(token, str):
            raise BaseImageError("the base image's registry gave no token for an anonymous pull")
        return token


def _base_url(host: str) -> str:
    """Return the scheme and host to ask; plain HTTP is for this machine only."""
    name = host.rpartition(":")[0] or host
    scheme = "http" if name in {"localhost", "127.0.0.1", "[::1]"} else "https"
    return f"{scheme}://{_HOSTS.get(host, host)}"
