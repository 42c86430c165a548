"""conda.anaconda.org and prefix.dev: channels whose packages lie at a store of somebody else.

What is known of them comes from users' reports: headers and addresses in conda/conda#5436 (302 to a
signed address), #13475 (cookies, validators), #14007 (429), prefix-dev/prefix-dev#32 (the index
redirected to signed addresses too), prefix-dev/pixi#6318 (403 for what is private).
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from conformance.lookalikes.channel_index import SHARDS, Edit, index_files
from conformance.lookalikes.site import LookAlike, Placement

Form = Literal["shards", "zst", "bz2", "json"]

_FORMS: dict[str, Form] = {
    SHARDS: "shards",
    "repodata.json.zst": "zst",
    "repodata.json.bz2": "bz2",
    "repodata.json": "json",
}
_CHANGED_AT = formatdate(1_790_000_000, usegmt=True)
_EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
_UNSIGNED = b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
_TWO_WAYS = b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message>"


def _as_it_is(_: dict[str, object]) -> None:
    """Change nothing of a record."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a private channel asks for; any one of those that are given is enough."""

    #: User and password.
    basic: tuple[str, str] | None = None
    bearer: str | None = None
    #: Stands before the channel's name in the path: `/t/TOKEN/acme`.
    token: str | None = None

    def allow(self, authorization: str, token: str | None) -> bool:
        """Tell whether a request has one of them."""
        known = set()
        if self.basic is not None:
            known.add(f"Basic {base64.b64encode(':'.join(self.basic).encode()).decode()}")
        if self.bearer is not None:
            known.add(f"Bearer {self.bearer}")
        return authorization in known or (self.token is not None and token == self.token)


class SignedChannels(LookAlike):
    """A server of one channel, which sends those who want a package to a store.

    Args:
        directory: A channel; nothing is written there.
        name: Its name, which is the path of its address.
        forms: How its index can be had.
        edit: What has been changed in the index since the packages were made.
        removed: File names that were taken out of the index.
        noarch: Whether it has a `noarch/`.
        base_url: Where the index says packages are (CEP 15).
        credentials: What it wants; `None` for a public channel.
        sign_index: Whether the index is redirected to the store, too.
        seconds: How long an address of the store works.
        missing: Answered for what is not there.
        placement: Where the hosts listen; `None` for free ports without TLS.
    """

    STORE_HOST: ClassVar[str]
    #: Answered to those who may not see the channel.
    REFUSAL: ClassVar[int]

    def __init__(
        self,
        directory: Path,
        name: str = "conda-forge",
        *,
        forms: Collection[Form] = ("shards", "zst", "bz2", "json"),
        edit: Edit = _as_it_is,
        removed: Collection[str] = (),
        noarch: bool = True,
        base_url: str = "",
        credentials: Credentials | None = None,
        sign_index: bool = False,
        seconds: float = 60,
        missing: int = 404,
        placement: Placement | None = None,
    ) -> None:
        super().__init__(placement)
        self.name = name
        self._directory = directory
        self._forms = frozenset(forms)
        self._noarch = noarch
        self._credentials = credentials
        self._sign_index = sign_index
        #: What is answered for what is not there; may be changed.
        self.missing_status = missing
        self._lost: list[str] = []
        #: May be changed: addresses that are given from then on work that long.
        self.seconds = seconds
        #: For how long the index need not be asked for again.
        self.max_age_seconds = 30
        self._limited, self._retry_after = 0, "30"

        @cache
        def index(subdir: str) -> Mapping[str, bytes]:
            return index_files(
                directory / subdir, edit, removed, self._shards_url(subdir), base_url
            )

        self._index = index

    @property
    def url(self) -> str:
        """The channel's address, without a slash at its end."""
        return f"{self.address(self.HOSTS[0])}/{self.name}"

    def limit(self, count: int = 1 << 30, retry_after: str = "30") -> None:
        """Answer the next requests with 429."""
        self._limited, self._retry_after = count, retry_after

    def lose(self, pattern: str) -> None:
        """Have no more what matches, e.g. `noarch/click-*`, though the index names it."""
        self._lost.append(pattern)

    async def answer(self, host: str, request: Request) -> Response:
        """Give the index, and addresses of packages at the store."""
        if host == self.STORE_HOST:
            return self._stored(request)
        if self._limited:
            self._limited -= 1
            reason = {"reason": "terms of service rate limit exceeded"}
            return JSONResponse(reason, 429, {"retry-after": self._retry_after})
        place = self._allowed(request)
        return place if isinstance(place, Response) else self._found(place, request)

    def _allowed(self, request: Request) -> str | Response:
        """Return what is asked for below the channel, or why it is not given."""
        path, token = request.url.path.lstrip("/"), None
        if path.startswith("t/"):
            _, token, path = [*path.split("/", 2), ""][:3]
        channel, _, place = path.partition("/")
        if channel != self.name:
            return self._not_there()
        asked = request.headers.get("authorization", "")
        if self._credentials is None or self._credentials.allow(asked, token):
            return place
        challenge = {"www-authenticate": "Bearer"} if self.REFUSAL == 401 else {}
        return JSONResponse({"error": "not for you"}, self.REFUSAL, challenge)

    def _found(self, place: str, request: Request) -> Response:
        data = self._indexed(place)
        if any(fnmatchcase(place, pattern) for pattern in self._lost):
            return self._not_there()
        if data is not None:
            return self._signed(place) if self._sign_index else self._validated(data, request)
        if (self._directory / place).is_file() and self._has(place):
            return self._signed(place)
        return self._not_there()

    def _shards_url(self, subdir: str) -> str:
        """Return where the shards of a subdir are, as its index says."""
        return "./shards/"

    def _has(self, place: str) -> bool:
        subdir, _, name = place.partition("/")
        return (self._noarch or subdir != "noarch") and not name.startswith(("repodata", "shards"))

    def _indexed(self, place: str) -> bytes | None:
        """Return a file of the index in a form that this server has."""
        subdir, _, name = place.partition("/")
        shard = name.startswith("shards/")
        form = "shards" if shard else _FORMS.get(name)
        if form not in self._forms or not (self._directory / subdir / "repodata.json").is_file():
            return None
        if subdir == "noarch" and not self._noarch:
            return None
        return self._index(subdir).get(name.removeprefix("shards/"))

    def _validated(self, data: bytes, request: Request) -> Response:
        headers = {
            "etag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"',
            "last-modified": _CHANGED_AT,
            "cache-control": f"public, max-age={self.max_age_seconds}",
            "set-cookie": "__cf_bm=1.0-abc; path=/; domain=.anaconda.org; HttpOnly; Secure",
            "cf-ray": "9aec45cee0a679f-FRA",
        }
        asked = request.headers
        known = asked.get("if-none-match") == headers["etag"]
        known = known or asked.get("if-modified-since") == _CHANGED_AT
        if known:
            return Response(status_code=304, headers=headers)
        return Response(data, 200, headers, "application/octet-stream")

    def _signed(self, place: str) -> Response:
        """Send away to the store, with an address that works for a GET, and for a while."""
        until = time.time() + self.seconds
        name = quote(f'attachment; filename="{place.rpartition("/")[2]}"')
        query = f"response-content-disposition={name}&X-Amz-Expires={self.seconds:g}"
        query += f"&X-Amz-Date={until}&X-Amz-Signature={self._signature(place, str(until))}"
        location = f"{self.address(self.STORE_HOST)}/{self.name}/{place}?{query}"
        return Response(status_code=302, headers={"location": location})

    def _signature(self, place: str, until: str) -> str:
        return hashlib.sha256(f"GET {place} {until}".encode()).hexdigest()

    def _stored(self, request: Request) -> Response:
        place = request.url.path.lstrip("/").partition("/")[2]
        query = parse_qs(request.url.query)
        until = query.get("X-Amz-Date", ["0"])[0]
        signed = query.get("X-Amz-Signature") == [self._signature(place, until)]
        if "authorization" in request.headers:
            return Response(_TWO_WAYS, 400, media_type="application/xml")
        if request.method != "GET" or not signed:
            return Response(_UNSIGNED, 403, media_type="application/xml")
        if time.time() > float(until):
            return Response(_EXPIRED, 403, media_type="application/xml")
        data = self._indexed(place)
        if data is not None:
            return Response(data, media_type="application/octet-stream")
        return FileResponse(self._directory / place, media_type="binary/octet-stream")

    def _not_there(self) -> Response:
        return PlainTextResponse("not found\n", self.missing_status)


class AnacondaOrg(SignedChannels):
    """conda.anaconda.org, with packages at Amazon's S3."""

    HOSTS = ("conda.anaconda.org", "binstar-cio-packages-prod.s3.amazonaws.com")
    STORE_HOST = "binstar-cio-packages-prod.s3.amazonaws.com"
    REFUSAL = 401


class PrefixDev(SignedChannels):
    """prefix.dev, which has shards at a host of their own, and the rest at Cloudflare's R2."""

    HOSTS = ("prefix.dev", "shards.prefix.dev", "e1a7cde7.r2.cloudflarestorage.com")
    STORE_HOST = "e1a7cde7.r2.cloudflarestorage.com"
    REFUSAL = 403

    async def answer(self, host: str, request: Request) -> Response:
        """Give shards, which need no rights, besides what the others do."""
        if host == "shards.prefix.dev":
            return self._found(request.url.path.lstrip("/"), request)
        return await super().answer(host, request)

    def _shards_url(self, subdir: str) -> str:
        return f"{self.address('shards.prefix.dev')}/{subdir}/shards/"
