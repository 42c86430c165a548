"""Manifests in memory, answered before the application: every pull of a known image asks for them.

Only the reading of addresses and headers is remembered here, and how an answer is written. Whether
a manifest may be answered is asked with each request, of those who know: the policy whether the
repository is open to everyone, the pulls whether the answer is in memory, fresh, and its use noted.
In all other cases the face answers, which renews, notes, checks credentials and tells errors.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lru import LRU

from builder.errors import BuilderError
from builder.oci.digest import Digest, is_digest, parse_digest
from registry.auth.rights import Need
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, parse_repository, parse_tag
from registry.errors import RegistryError
from registry.sources.source import Reference, Source
from registry.telemetry import AccessLog, AnsweredRequest
from registry.web.distribution.client import Negotiated, negotiate
from registry.web.distribution.manifests import BUILT_BY_TAG, whole_manifest
from registry.web.distribution.paths import TEMPLATES, belongs_here, parse_path
from registry.web.distribution.request import IMMUTABLE
from registry.web.observe import new_request_id, sane_request_id
from registry.web.services import Services

#: What changes an answer, or belongs to a body: such requests are the face's.
_OUT_OF_THE_ORDINARY: Final = frozenset(
    {b"content-length", b"expect", b"if-none-match", b"transfer-encoding", b"upgrade"}
)
#: So many ways of asking are remembered, none of them longer than this: at most 8 MB.
_REMEMBERED: Final = 4096
_MAX_BYTES: Final = 2000


@dataclass(slots=True)
class _Asked:
    """One way of asking for one manifest, read."""

    path: str
    user_agent: str
    source: Source
    repository: RepositoryName
    reference: Reference | Digest
    #: Whether the client takes an index.
    index: bool
    needs: tuple[Need]
    #: The last answer, and its header lines.
    manifest: Manifest | None = None
    lines: bytes = b""


class WarmManifests:
    """Answers GET and HEAD of manifests in memory; implements the shortcut of the protocol."""

    def __init__(self, services: Services, access_log: AccessLog) -> None:
        self._services = services
        self._access_log = access_log
        self._asked: LRU[tuple[bytes, bytes, bytes], _Asked] = LRU(_REMEMBERED)

    def answer(
        self, method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[bytes, bytes] | None:
        """Return header lines and body, or ``None`` for what has to go the ordinary way."""
        started = time.perf_counter()
        accept = user_agent = b""
        request_id: str | None = None
        for name, value in headers:
            if name == b"accept":
                accept = b"%s, %s" % (accept, value) if accept else value
            elif name == b"user-agent" and not user_agent:
                user_agent = value
            elif name == b"x-request-id":
                request_id = sane_request_id(value) or request_id
            elif name in _OUT_OF_THE_ORDINARY or name == b"user-agent":
                return None
        key = (url, accept, user_agent)
        asked = self._asked.get(key) or self._read(key)
        if asked is None or not self._services.access.is_open(asked.needs):
            return None
        manifest = self._at_hand(asked)
        if manifest is None:
            return None
        if manifest is not asked.manifest:
            asked.manifest, asked.lines = manifest, _lines(asked, manifest)
        self._services.pulls.seen(asked.repository, manifest, method.decode("ascii"))
        request_id = request_id or new_request_id()
        body = b"" if method == b"HEAD" else manifest.data
        self._observe(request_id, method.decode("ascii"), asked, started, len(body))
        return b"%sx-request-id: %s\r\n" % (asked.lines, request_id.encode("ascii")), body

    def _at_hand(self, asked: _Asked) -> Manifest | None:
        if isinstance(asked.reference, Reference):
            return asked.source.cached(asked.reference, index=asked.index)
        return asked.source.cached_manifest(asked.repository, asked.reference)

    def _read(self, key: tuple[bytes, bytes, bytes]) -> _Asked | None:
        """Return what is asked for, and remember it; ``None`` if it is no manifest made here."""
        if sum(map(len, key)) > _MAX_BYTES:
            return None
        url, accept, user_agent = (part.decode("latin-1") for part in key)
        path = url.partition("?")[0]
        if not belongs_here(path):
            return None
        wanted = negotiate({"accept": accept, "user-agent": user_agent})
        try:
            target = parse_path(path)
            repository = parse_repository(target.name)
            reference = _reference(repository, target.reference, wanted)
        except (BuilderError, RegistryError):
            return None
        source = self._services.sources.of(repository)
        if target.kind != "manifest" or source.is_writable:
            return None
        needs = (Need("pull", repository),)
        asked = _Asked(path, user_agent, source, repository, reference, wanted.index, needs)
        self._asked[key] = asked
        return asked

    def _observe(
        self, request_id: str, method: str, asked: _Asked, started: float, sent_bytes: int
    ) -> None:
        """Log and count an answer, as the application's own middleware does."""
        seconds = time.perf_counter() - started
        metrics = self._services.metrics
        metrics.request_started()
        metrics.request_ended(TEMPLATES["manifest"], method, 200, seconds, sent_bytes)
        self._access_log.answered(
            AnsweredRequest(
                request_id, method, asked.path, 200, seconds, sent_bytes, asked.user_agent, None
            )
        )


def _reference(repository: RepositoryName, text: str, wanted: Negotiated) -> Reference | Digest:
    if is_digest(text):
        return parse_digest(text)
    return Reference(repository, parse_tag(text), wanted.flavour)


def _lines(asked: _Asked, manifest: Manifest) -> bytes:
    caching = BUILT_BY_TAG if isinstance(asked.reference, Reference) else [IMMUTABLE]
    answer = whole_manifest(manifest, caching)
    return b"".join(b"%s: %s\r\n" % line for line in answer.lines)
