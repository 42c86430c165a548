"""Counting pulls of named environments, in memory: no pull waits for a database.

A pull is one manifest that a client gets with GET, by a tag or by a digest. What clients do beside
is none: a HEAD asks whether there is something new, manifests that an index names follow it, and
artifacts such as an SBOM are no images. A file of a version that is downloaded is one pull, too.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lru import LRU

from builder.oci.digest import Digest
from registry.content.manifests import Manifest
from registry.sources.directory import Directory

_DAY_SECONDS: Final = 86_400
#: Manifests of which it is remembered what they are.
_REMEMBERED: Final = 10_000
#: So many counts wait to be written at most, while the database is down: of what is pulled then for
#: the first time, nothing is counted.
_MAX_COUNTS: Final = 100_000

_Kind = Literal["image", "child", "artifact"]


@dataclass(frozen=True, slots=True)
class Pulls:
    """How often a build of an environment was pulled in one day."""

    #: The environment's, e.g. ``"analytics/forecast"``.
    path: str
    #: The build, or a variant of it; empty if that is not known.
    key: str
    pulls: int
    #: When it was pulled last, in seconds since 1970.
    last_at: float


class PullCounts:
    """Counts pulls until somebody takes the counts to write them down.

    It is of one event loop; nothing here waits.

    Args:
        directory: Which repositories are named environments.
        now: The time in seconds since 1970.
    """

    def __init__(self, directory: Directory, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._now = now
        #: Path, build and day → how often, and when last.
        self._counts: dict[tuple[str, str, int], tuple[int, float]] = {}
        self._kinds: LRU[Digest, _Kind] = LRU(_REMEMBERED)

    def seen(self, repository: str, manifest: Manifest, method: str) -> None:
        """Count a manifest that a client gets, if that is a pull.

        It costs two looks into dictionaries where the manifest was seen before.

        Args:
            repository: As it was asked for.
            manifest: What is answered.
            method: Of HTTP.
        """
        if repository not in self._directory:
            return
        kind = self._kinds.get(manifest.digest) or self._look(manifest)
        if kind == "image" and method == "GET":
            self.count(repository, manifest.build or "")

    def count(self, path: str, key: str) -> None:
        """Count one pull of a build of an environment."""
        now = self._now()
        place = (path, key, int(now // _DAY_SECONDS))
        known = self._counts.get(place)
        if known is not None:
            self._counts[place] = (known[0] + 1, now)
        elif len(self._counts) < _MAX_COUNTS:
            self._counts[place] = (1, now)

    def take(self) -> Sequence[Pulls]:
        """Return what was counted since this was called last, and begin anew."""
        counts, self._counts = self._counts, {}
        return [Pulls(path, key, pulls, at) for (path, key, _), (pulls, at) in counts.items()]

    def give_back(self, pulls: Sequence[Pulls]) -> None:
        """Count again what was taken, since it could not be written down."""
        for one in pulls:
            place = (one.path, one.key, int(one.last_at // _DAY_SECONDS))
            known = self._counts.get(place)
            if known is not None:
                self._counts[place] = (known[0] + one.pulls, max(known[1], one.last_at))
            elif len(self._counts) < _MAX_COUNTS:
                self._counts[place] = (one.pulls, one.last_at)

    def _look(self, manifest: Manifest) -> _Kind:
        """Return what a manifest is; of an index, its manifests are remembered as such."""
        document = json.loads(manifest.data)
        kind: _Kind = "image"
        if "subject" in document:
            kind = "artifact"
        for child in document.get("manifests", ()):
            self._kinds[child["digest"]] = "child"
        self._kinds[manifest.digest] = kind
        return kind
