"""Files that pages load, under names that change with their content: kept for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from registry.web.asgi.responses import BytesResponse, header

#: Where they are, below the service's address.
STATIC: Final = "/static"
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
#: RFC 8246.
_FOR_EVER: Final = header("cache-control", "public, max-age=31536000, immutable")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    #: With the beginning of its sha256 in it, e.g. ``style.0f3a9c2e.css``.
    name: str
    media_type: str
    content: bytes
    compressed: bytes

    def answer(self, *, takes_gzip: bool) -> BytesResponse:
        """Return it as an answer."""
        headers = [
            header("content-type", self.media_type),
            _FOR_EVER,
            header("vary", "accept-encoding"),
            header("x-content-type-options", "nosniff"),
        ]
        if takes_gzip:
            return BytesResponse(
                200, [*headers, header("content-encoding", "gzip")], self.compressed
            )
        return BytesResponse(200, headers, self.content)


def _load() -> dict[str, Asset]:
    found = {}
    for path in (files("registry.web.html") / "static").iterdir():
        stem, _, suffix = path.name.rpartition(".")
        if suffix not in _TYPES:
            continue
        content = path.read_bytes()
        name = f"{stem}.{hashlib.sha256(content).hexdigest()[:8]}.{suffix}"
        found[path.name] = Asset(name, _TYPES[suffix], content, gzip.compress(content, 9, mtime=0))
    return found


_ASSETS: Final = _load()
_BY_NAME: Final = {asset.name: asset for asset in _ASSETS.values()}


def asset(name: str) -> str:
    """Return the address of a file, by its plain name, e.g. ``style.css``.

    Raises:
        KeyError: There is none.
    """
    return f"{STATIC}/{_ASSETS[name].name}"


def find_asset(name: str) -> Asset | None:
    """Return the file of that hashed name, if there is one."""
    return _BY_NAME.get(name)
