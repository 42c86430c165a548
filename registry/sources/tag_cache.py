"""What tags led to lately, and with which errors, in memory."""

from collections.abc import Callable
from dataclasses import dataclass

from lru import LRU

from builder.errors import DomainError
from builder.rules.model import NO_RULES, Rules
from registry.content.manifests import Manifest
from registry.images.tag_records import TagRecord
from registry.sources.source import Reference

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class CachedTag:
    """What a tag led to."""

    #: The key of the build.
    key: str
    #: The index, or the only manifest.
    top: Manifest
    #: The manifest of the first platform.
    first: Manifest
    #: In seconds since 1970, after which it is renewed; ``None``: it is right for ever.
    fresh_until: float | None

    def manifest(self, *, index: bool) -> Manifest:
        """Return what a client gets that takes an index, or takes none."""
        return self.top if index else self.first


class TagCache:
    """Remembers what tags led to, and errors for a while.

    Args:
        now: The time in seconds since 1970.
        error_ttl_seconds: How long an error is answered again without another try; errors
            that may pass are kept a tenth of it.
    """

    def __init__(self, now: Callable[[], float], *, error_ttl_seconds: float) -> None:
        self._now = now
        self._error_ttl_seconds = error_ttl_seconds
        self._tags: LRU[Reference, CachedTag] = LRU(_REMEMBERED)
        #: By repository and tag: no flavour can be built then. Each with the rules that held.
        self._failures: LRU[tuple[str, str], tuple[float, Rules, DomainError]] = LRU(_REMEMBERED)

    def get(self, reference: Reference) -> CachedTag | None:
        """Return what a tag led to, however long ago."""
        return self._tags.get(reference)

    def put(self, reference: Reference, cached: CachedTag) -> CachedTag:
        """Remember what a tag led to, and return it."""
        self._tags[reference] = cached
        return cached

    def forget(self, reference: Reference) -> None:
        """Remember no longer what a tag led to; harmless if it is not remembered."""
        self._tags.pop(reference, None)

    def is_fresh(self, found: CachedTag | TagRecord) -> bool:
        """Tell whether nothing has to be done before it is answered."""
        return found.fresh_until is None or self._now() < found.fresh_until

    def put_failure(self, reference: Reference, error: DomainError, rules: Rules) -> None:
        """Remember an error, as long as the same rules hold."""
        is_transient = error.kind in {"busy", "unavailable"}
        until = self._now() + self._error_ttl_seconds / (10 if is_transient else 1)
        self._failures[(reference.repository, reference.tag)] = (until, rules, error)

    def failure(self, reference: Reference, rules: Rules = NO_RULES) -> DomainError | None:
        """Return the error a tag ended with lately, if it is too early to try again.

        Args:
            reference: What was asked for.
            rules: Those that hold now, the same object as before if no policy has changed.
        """
        failure = self._failures.get((reference.repository, reference.tag))
        if failure is None or failure[0] <= self._now() or failure[1] is not rules:
            return None
        return failure[2].with_traceback(None)
