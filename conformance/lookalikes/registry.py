"""Docker Hub and ghcr.io: registries that give an image of an OCI layout to those with a token.

Behaviour is taken from Docker's documentation ("Pull usage and limits", "Token authentication
specification"), the distribution specification, and headers that users have published.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from conformance.lookalikes.published import Compression, Family, published
from conformance.lookalikes.site import LookAlike, Placement

_LIMIT_TEXT = (
    "You have reached your unauthenticated pull rate limit."
    " https://www.docker.com/increase-rate-limit"
)


class TokenRegistry(LookAlike):
    """A registry whose images are read with a token, and whose blobs lie elsewhere.

    Args:
        layout: An OCI layout with one image.
        repository: The repository that the image is in, e.g. `library/debian`.
        tag: Its tag.
        family: Whose media types its documents have; images that are older than OCI have Docker's.
        compression: How its layers are compressed.
        placement: Where the hosts listen; `None` for free ports without TLS.
    """

    #: What the token's address is below the host that gives tokens.
    REALM_HOST: ClassVar[str]
    BLOB_HOST: ClassVar[str]
    SERVICE: ClassVar[str]

    def __init__(
        self,
        layout: Path,
        repository: str,
        tag: str,
        *,
        family: Family = "oci",
        compression: Compression = "gzip",
        placement: Placement | None = None,
    ) -> None:
        super().__init__(placement)
        self.repository = repository
        self._documents: dict[str, bytes] = {}
        self._blobs = layout / "blobs"
        root = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
        index = published(self._read, self._add, root, family, compression)
        self._tags = {tag: self._add(index)}
        self._tokens: dict[str, str] = {}
        self._limited, self._limited_methods = 0, frozenset[str]()
        self._limit_form: Literal["json", "text"] = "json"
        self._retry_after: int | None = None

    @property
    def reference(self) -> str:
        """What pullforge is told to use as its base."""
        host = self.address(self.HOSTS[0]).partition("://")[2]
        return f"{host}/{self.repository}:{next(iter(self._tags))}"

    def limit(
        self,
        count: int = 1 << 30,
        form: Literal["json", "text"] = "json",
        retry_after: int | None = None,
        methods: Collection[str] = ("GET",),
    ) -> None:
        """Answer the next requests for manifests with 429.

        Only a GET is a pull (docs.docker.com/docker-hub/usage/pulls); too many of anything else are
        refused too, by a limit against abuse.
        """
        self._limited, self._limit_form, self._retry_after = count, form, retry_after
        self._limited_methods = frozenset(methods)

    def forget_tokens(self) -> None:
        """Refuse all tokens that were given, as when they have expired."""
        self._tokens.clear()

    def token_document(self, token: str) -> dict[str, Any]:
        """Return what the service of tokens answers."""
        raise NotImplementedError

    def refuse_token(self, scope: str) -> Response | None:
        """Return why there is no token for a scope, `None` where there is one."""
        return None

    async def answer(self, host: str, request: Request) -> Response:
        """Give tokens, manifests and, from another host, blobs."""
        if host == self.BLOB_HOST:
            return self._stored_blob(request)
        if host == self.REALM_HOST and request.url.path == "/token":
            return self._token(request)
        return self._registry(request)

    def _token(self, request: Request) -> Response:
        query = parse_qs(request.url.query)
        scope = query.get("scope", [""])[0]
        if query.get("service") != [self.SERVICE]:
            return JSONResponse({"details": "invalid service"}, 400)
        refusal = self.refuse_token(scope)
        if refusal is not None:
            return refusal
        token = secrets.token_urlsafe(24)
        self._tokens[token] = scope
        return JSONResponse(self.token_document(token))

    def _registry(self, request: Request) -> Response:
        _, version, *middle = request.url.path.split("/")
        if version != "v2":
            return PlainTextResponse("404 page not found\n", 404)
        repository, kind, wanted = "/".join(middle[:-2]), middle[-2:-1], middle[-1]
        scope = f"repository:{repository}:pull" if repository else ""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._tokens or self._tokens[token] != scope:
            return self._challenge(scope, invalid=bool(token))
        if repository != self.repository:
            # Whoever may not see it is not told whether it is there.
            return self._challenge(scope, invalid=True)
        if kind == ["blobs"]:
            return self._elsewhere(wanted)
        return self._manifest(wanted, request.method)

    def _challenge(self, scope: str, *, invalid: bool) -> Response:
        fields = f'realm="{self.address(self.REALM_HOST)}/token",service="{self.SERVICE}"'
        fields += f',scope="{scope}"' if scope else ""
        fields += ',error="insufficient_scope"' if invalid else ""
        error = {"code": "UNAUTHORIZED", "message": "authentication required", "detail": None}
        headers = {"www-authenticate": f"Bearer {fields}"}
        return JSONResponse({"errors": [error]}, 401, headers)

    def _manifest(self, wanted: str, method: str) -> Response:
        limits = {"docker-ratelimit-source": "127.0.0.1"}
        if self._limited and method in self._limited_methods:
            self._limited -= 1
            return self._too_many(
                limits | {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}
            )
        digest = self._tags.get(wanted, wanted)
        data = self._read(digest)
        if data is None:
            error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            return JSONResponse({"errors": [error | {"detail": f"unknown tag={wanted}"}]}, 404)
        headers = limits | {
            "docker-content-digest": digest,
            "ratelimit-limit": "100;w=21600",
            "ratelimit-remaining": "99;w=21600",
            "etag": f'"{digest}"',
        }
        return Response(data, 200, headers, json.loads(data)["mediaType"])

    def _too_many(self, headers: dict[str, str]) -> Response:
        if self._retry_after is not None:
            headers = headers | {"retry-after": str(self._retry_after)}
        if self._limit_form == "text":
            return PlainTextResponse("Too Many Requests\n", 429, headers)
        error = {"code": "TOOMANYREQUESTS", "message": _LIMIT_TEXT}
        return JSONResponse({"errors": [error]}, 429, headers)

    def _elsewhere(self, digest: str) -> Response:
        signature = hashlib.sha256(f"signed {digest}".encode()).hexdigest()
        url = (
            f"{self.address(self.BLOB_HOST)}/{digest.replace(':', '/')}/data?signature={signature}"
        )
        return RedirectResponse(url, 307)

    def _stored_blob(self, request: Request) -> Response:
        if "authorization" in request.headers:
            # Storage takes a signature or a header, never both.
            return PlainTextResponse("InvalidArgument: only one auth mechanism allowed\n", 400)
        algorithm, encoded = request.url.path.split("/")[1:3]
        digest = f"{algorithm}:{encoded}"
        signature = hashlib.sha256(f"signed {digest}".encode()).hexdigest()
        if parse_qs(request.url.query).get("signature") != [signature]:
            return PlainTextResponse("SignatureDoesNotMatch\n", 403)
        data = self._read(digest)
        if data is None:
            return PlainTextResponse("NoSuchKey\n", 404)
        return Response(data, media_type="application/octet-stream")

    def _add(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._documents[digest] = data
        return digest

    def _read(self, digest: str) -> bytes | None:
        if digest in self._documents:
            return self._documents[digest]
        path = self._blobs / digest.replace(":", "/")
        return path.read_bytes() if ":" in digest and path.is_file() else None


class DockerHub(TokenRegistry):
    """docker.io, whose registry, tokens and blobs are at three hosts."""

    HOSTS = ("registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com")
    REALM_HOST = "auth.docker.io"
    BLOB_HOST = "production.cloudflare.docker.com"
    SERVICE = "registry.docker.io"

    def __init__(
        self,
        layout: Path,
        repository: str = "library/debian",
        tag: str = "bookworm-slim",
        *,
        family: Family = "oci",
        compression: Compression = "gzip",
        placement: Placement | None = None,
    ) -> None:
        super().__init__(
            layout,
            repository,
            tag,
            family=family,
            compression=compression,
            placement=placement,
        )

    def token_document(self, token: str) -> dict[str, Any]:
        """Return the token under both of its names."""
        issued = "2026-11-28T12:00:00.123456789Z"
        return {"token": token, "access_token": token, "expires_in": 300, "issued_at": issued}


class Ghcr(TokenRegistry):
    """ghcr.io: tokens from the same host, for what is public alone, and without an end."""

    HOSTS = ("ghcr.io", "pkg-containers.githubusercontent.com")
    REALM_HOST = "ghcr.io"
    BLOB_HOST = "pkg-containers.githubusercontent.com"
    SERVICE = "ghcr.io"

    def token_document(self, token: str) -> dict[str, Any]:
        """Return the token alone."""
        return {"token": token}

    def refuse_token(self, scope: str) -> Response | None:
        """Refuse what is private or not there."""
        if scope == f"repository:{self.repository}:pull":
            return None
        error = {"code": "DENIED", "message": "requested access to the resource is denied"}
        return JSONResponse({"errors": [error]}, 403)
