"""One request to the distribution protocol, read."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope

from registry.content.names import RepositoryName, parse_repository
from registry.errors import PageInvalid
from registry.sources.source import Source
from registry.web.asgi.headers import RequestHeaders
from registry.web.asgi.responses import RawHeaders, header
from registry.web.distribution.paths import Target
from registry.web.services import Services

#: What a digest stands for never changes.
IMMUTABLE: Final = (b"cache-control", b"public, max-age=31536000, immutable")
#: What a tag stands for may: caches must ask.
REVALIDATE: Final = (b"cache-control", b"no-cache")
#: What belongs to one moment only.
NO_STORE: Final = (b"cache-control", b"no-store")

_NAME_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._/-]{0,512}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class RegistryRequest:
    """One request, read."""

    scope: Scope
    receive: Receive
    target: Target
    headers: RequestHeaders
    services: Services
    #: Answers for the repository that the address names.
    source: Source

    @property
    def method(self) -> str:
        """The method of the request."""
        method: str = self.scope["method"]
        return method

    def repository(self) -> RepositoryName:
        """Return the repository that the address names.

        Raises:
            NameInvalid: It does not follow the grammar.
        """
        return parse_repository(self.target.name)

    def query(self) -> list[tuple[str, str]]:
        """Return the parameters of the query, in order."""
        return parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        """Return a parameter of the query, the last one of that name."""
        return dict(self.query()).get(name)

    def last(self) -> str:
        """Return ``last``, cut off at a character that no name has, which keeps the order."""
        match = _NAME_CHARACTERS.match(self.parameter("last") or "")
        return match[0] if match else ""

    def limit(self, default: int) -> int:
        """Return how many entries are asked for (``n``), at most ``default``.

        Raises:
            PageInvalid: It is not a number.
        """
        text = self.parameter("n")
        if text is None:
            return default
        if not _NUMBER.fullmatch(text):
            raise PageInvalid("'n' says how many entries to list: a number of at most nine digits")
        return min(int(text), default)


#: Answers one kind of request; errors are raised, and told by the face.
Handler = Callable[[RegistryRequest], Awaitable[ASGIApp]]


def digest_lines(digest: str) -> RawHeaders:
    """Return the header lines of whatever is identified by a digest."""
    return [header("docker-content-digest", digest), header("etag", f'"{digest}"')]


def next_page(path: str) -> tuple[bytes, bytes]:
    """Return the ``Link`` header; containers/image needs an absolute path."""
    return header("link", f'<{path}>; rel="next"')
