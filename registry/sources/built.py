"""From a reference to a manifest: stored, else built.

::

    (repository, tag, flavour)
      ├─ answered lately ──────────────────────────→ from memory
      ├─ failed lately ────────────────────────────→ the same error
      ├─ build/<key> ──────────────────────────────→ the image of that lock, for ever
      ├─ repositories/<name>/_tags/<tag> ─→ images/<key>.<flavour>.json ─→ manifest
      │        old? answered all the same, and renewed in the background
      └─ else spec → lock → image, one task however many ask
"""

import asyncio
import datetime
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import structlog

from builder.build.image import Flavour
from builder.concurrency.single_flight import SingleFlight
from builder.errors import BuilderError, StoreUnavailable
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.oci.models import Descriptor
from builder.ports import Store
from builder.resolve.resolver import Resolver
from registry.content.manifests import Manifest, Manifests
from registry.errors import (
    ManifestUnknown,
    NameUnknown,
    ReferrersUnavailable,
    StillBuilding,
    TooManyNewImages,
)
from registry.images.artifacts import Artifacts
from registry.images.budget import Budget
from registry.images.executor import StoredImage
from registry.images.fairness import current_client
from registry.images.images import ImageBuilds
from registry.images.progress import ProgressTracker
from registry.images.usage import Usage
from registry.lru import LruCache
from registry.storage.layout import origin_key, tag_key, tags_prefix

__all__ = ["Flavour", "ImagePulls", "Pulls"]

#: Below this are images by the packages their names list, and by the key of their lock.
ENVIRONMENTS: Final = "env/"
BUILDS: Final = "build/"
#: The one tag of a locked build.
BUILD_TAG: Final = "latest"
_KEY: Final = re.compile(r"[0-9a-f]{32}")
_DAY_SECONDS: Final = 86_400

Result = TypeVar("Result")


class PullMetrics(Protocol):
    """Counts pulls."""

    def pulled(self, outcome: str) -> None:
        """Count one answer: ``hit stored stale built waiting refused`` or ``failed``."""
        ...


class Pulls(Protocol):
    """Answers references of generated repositories (``env/…``, ``build/…``)."""

    def is_generated(self, repository: str) -> bool:
        """Tell whether the server itself makes the images of ``repository``."""
        ...

    async def by_tag(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return the manifest behind a tag; the image's blobs are in the store then.

        ``index=False`` is for clients that take no index: they get the manifest of the first
        platform. The build goes on when the caller stops waiting.

        Raises:
            StillBuilding: The build took longer than ``timeout_seconds``; ask again.
            TooManyNewImages: Whoever asks has asked for too many.
            BuilderError: The name cannot be understood, solved or built.
            NameUnknown: No image is made under this name.
        """
        ...

    def tag_at_hand(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool
    ) -> Manifest | None:
        """Return what :meth:`by_tag` would, if that has nothing to do but to return it.

        ``None`` also when the answer has to be renewed or its use noted.
        """
        ...

    def digest_at_hand(self, digest: Digest) -> Manifest | None:
        """Return a manifest of an image made here if it is in memory."""
        ...

    async def tags(self, repository: str) -> tuple[str, ...]:
        """Return the tags of ``repository`` that were pulled before, sorted.

        Raises:
            NameUnknown: No image has been made under this name.
        """
        ...

    async def made(self, digest: Digest) -> bool:
        """Tell whether a blob or manifest belongs to an image made here: anyone may read it."""
        ...

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Make a blob or manifest again that is gone from the store, which is a cache.

        Returns:
            ``False`` when it was never part of an image made here.

        Raises:
            StillBuilding: It took longer than ``timeout_seconds``; ask again.
            BuilderError: It cannot be built any more.
        """
        ...

    async def referrers(
        self, repository: str, digest: Digest, *, timeout_seconds: float
    ) -> Sequence[Descriptor]:
        """Return the artifacts that the server has made for an image of its own; else none.

        Raises:
            StillBuilding: It took longer than ``timeout_seconds``; ask again.
            ReferrersUnavailable: They cannot be made now.
        """
        ...


@dataclass(frozen=True, slots=True)
class CachedTag:
    """What a tag led to."""

    key: str
    top: Manifest
    first: Manifest
    #: In seconds since 1970, after which it is renewed; ``None``: it is right for ever.
    fresh_until: float | None


class ImagePulls:
    """Answers references from memory, the store, or by building; implements :class:`Pulls`."""

    def __init__(
        self,
        store: Store,
        manifests: Manifests,
        resolver: Resolver,
        builds: ImageBuilds,
        artifacts: Artifacts,
        usage: Usage,
        metrics: PullMetrics,
        budget: Budget,
        *,
        now: Callable[[], float],
        latest_ttl_seconds: float,
        error_ttl_seconds: float,
    ) -> None:
        """Make the front of all builds.

        Args:
            store: Remembers which tags were pulled.
            manifests: Reads manifests.
            resolver: Reads names.
            builds: Solves and builds.
            artifacts: Makes what refers to images.
            usage: Notes which images are used, for eviction.
            metrics: Counts pulls by outcome.
            budget: Bounds what a client may have made.
            now: The time in seconds since 1970.
            latest_ttl_seconds: How long an answer is served before it is renewed.
            error_ttl_seconds: How long an error is answered again without another try; errors
                that may pass are kept a tenth of it.
        """
        self._store = store
        self._manifests = manifests
        self._resolver = resolver
        self._builds = builds
        self._artifacts = artifacts
        self._usage = usage
        self._metrics = metrics
        self._budget = budget
        self._now = now
        self._latest_ttl_seconds = latest_ttl_seconds
        self._error_ttl_seconds = error_ttl_seconds
        self._answers: LruCache[tuple[str, str, Flavour], CachedTag] = LruCache(10_000)
        self._failures: LruCache[tuple[str, str], tuple[float, BuilderError]] = LruCache(10_000)
        #: Digests that are known to be made here, and so for ever.
        self._made: LruCache[Digest, bool] = LruCache(10_000)
        self._flights: SingleFlight[CachedTag] = SingleFlight()
        self._restores: SingleFlight[bool] = SingleFlight()
        self._listings: SingleFlight[Sequence[Descriptor]] = SingleFlight()
        self._progress = ProgressTracker()

    def is_generated(self, repository: str) -> bool:
        """Tell whether the server itself makes the images of ``repository``."""
        return repository.startswith((ENVIRONMENTS, BUILDS))

    async def by_tag(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return the manifest behind a tag; see :meth:`Pulls.by_tag`."""
        answer = self._answers.get((repository, tag, flavour))
        if answer is None:
            answer = await self._wait(repository, tag, flavour, timeout_seconds)
        else:
            self._metrics.pulled("hit")
        if not self._is_fresh(answer):
            answer = await self._renewed_elsewhere(repository, tag, flavour) or answer
        if not self._is_fresh(answer):
            self._renew(repository, tag, flavour)
        await self._usage.note(answer.key)
        return answer.top if index else answer.first

    def tag_at_hand(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool
    ) -> Manifest | None:
        """Return what is behind a tag without waiting; see :meth:`Pulls.tag_at_hand`."""
        answer = self._answers.get((repository, tag, flavour))
        if answer is None or not (self._is_fresh(answer) and self._usage.is_noted(answer.key)):
            return None
        self._metrics.pulled("hit")
        return answer.top if index else answer.first

    def digest_at_hand(self, digest: Digest) -> Manifest | None:
        """Return a manifest in memory; see :meth:`Pulls.digest_at_hand`."""
        return self._manifests.at_hand(digest) if self._made.get(digest) else None

    async def tags(self, repository: str) -> tuple[str, ...]:
        """Return the tags that were pulled; see :meth:`Pulls.tags`."""
        if repository.startswith(BUILDS):
            await self._lock(repository)
            return (BUILD_TAG,)
        prefix = tags_prefix(repository)
        found = [entry.key async for entry in self._store.entries(prefix)]
        if not found or not self.is_generated(repository):
            raise NameUnknown(f"no image '{repository}' has been pulled from this server yet")
        return tuple(sorted(key.removeprefix(prefix) for key in found))

    async def made(self, digest: Digest) -> bool:
        """Tell whether ``digest`` belongs to an image made here; see :meth:`Pulls.made`."""
        if self._made.get(digest) is None:
            if await self._store.size(origin_key(digest)) is None:
                return False
            self._made.put(digest, value=True)
        return True

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Make a lost blob or manifest again; see :meth:`Pulls.restore`."""
        name = f"restore {digest}"

        async def work() -> bool:
            self._budget.spend()
            with self._progress.of(name) as on_progress:
                return await self._artifacts.restore(
                    digest, on_progress
                ) or await self._builds.restore(digest, on_progress)

        return await self._in_time(lambda: self._restores.start(name, work), name, timeout_seconds)

    async def referrers(
        self, repository: str, digest: Digest, *, timeout_seconds: float
    ) -> Sequence[Descriptor]:
        """Return the artifacts of an image; see :meth:`Pulls.referrers`."""
        if not self.is_generated(repository):
            return ()
        name = f"referrers {digest}"

        async def work() -> Sequence[Descriptor]:
            with self._progress.of(name) as on_progress:
                return await self._artifacts.of(digest, on_progress)

        try:
            return await self._in_time(
                lambda: self._listings.start(name, work), name, timeout_seconds
            )
        except BuilderError as exc:
            raise ReferrersUnavailable(exc.message) from exc

    async def keep(
        self, repository: str, tag: str, flavour: Flavour, *, max_age: float | None
    ) -> str:
        """Have an image of an environment ready before it is pulled; return its build's key.

        Args:
            repository: Its name, below ``env/``.
            tag: Of it.
            flavour: Of the image.
            max_age: In seconds; an older answer is made new. ``None``: one that has not expired
                will do.

        Raises:
            BuilderError: It cannot be understood, solved or built.
        """
        if max_age is None:
            answer = await self._remembered(repository, tag, flavour)
            if answer is not None and self._is_fresh(answer):
                return answer.key
        name = _flight(repository, tag, flavour)
        work = partial(self._make, repository, tag, flavour, max_age)
        return (await self._flights.run(name, work)).key

    async def close(self) -> None:
        """Stop every pull under way."""
        await self._flights.close()
        await self._restores.close()
        await self._listings.close()

    async def _wait(
        self, repository: str, tag: str, flavour: Flavour, timeout_seconds: float
    ) -> CachedTag:
        """Return the answer of the one task for this reference, if it comes in time."""
        name = _flight(repository, tag, flavour)
        find = partial(self._find, repository, tag, flavour)
        return await self._in_time(lambda: self._flights.start(name, find), name, timeout_seconds)

    async def _in_time(
        self, start: Callable[[], asyncio.Task[Result]], name: str, timeout_seconds: float
    ) -> Result:
        """Return the result of the task that ``start`` begins or joins, if it comes in time."""
        while True:
            task = start()
            done, _ = await asyncio.wait({task}, timeout=timeout_seconds)
            if not done:
                self._metrics.pulled("waiting")
                raise StillBuilding(self._progress.latest(name))
            try:
                return task.result()
            except TooManyNewImages as error:
                if error.client == current_client.get():
                    self._metrics.pulled("refused")
                    raise
                # Somebody else had asked for it first, and may not.

    async def _find(self, repository: str, tag: str, flavour: Flavour) -> CachedTag:
        """Return what the store has for the reference, however old, else build it."""
        if repository.startswith(BUILDS):
            return await self._locked(repository, tag, flavour)
        answer = await self._remembered(repository, tag, flavour)
        if answer is None:
            failure = self._failure(repository, tag)
            if failure is not None:
                self._metrics.pulled("failed")
                raise failure
            self._budget.spend()
            return await self._make(repository, tag, flavour)
        self._metrics.pulled("stored")
        self._answers.put((repository, tag, flavour), answer)
        return answer

    async def _locked(self, repository: str, tag: str, flavour: Flavour) -> CachedTag:
        """Return the image of ``build/<key>``: one lock's, for ever."""
        lock = await self._lock(repository)
        if tag != BUILD_TAG:
            raise ManifestUnknown(
                f"'{repository}' is one locked build and has the tag '{BUILD_TAG}' only"
            )
        image = await self._builds.records.stored(lock.key, flavour)
        if image is None:
            self._budget.spend()
            with self._progress.of(_flight(repository, tag, flavour)) as on_progress:
                image = await self._builds.build(lock, flavour, on_progress)
        self._metrics.pulled("stored")
        answer = await self._answer(lock.key, image, None)
        self._answers.put((repository, tag, flavour), answer)
        return answer

    async def _lock(self, repository: str) -> Lock:
        key = repository.removeprefix(BUILDS)
        lock = await self._builds.records.lock(key) if _KEY.fullmatch(key) else None
        if lock is None:
            raise NameUnknown(
                f"there is no build '{key}' here: a build is named by the 32 hex digits of its"
                " key, which the annotation io.pullforge.build.key of every image has"
            )
        return lock

    async def _remembered(self, repository: str, tag: str, flavour: Flavour) -> CachedTag | None:
        data = await self._store.read(tag_key(repository, tag))
        if data is None:
            return None
        entry = json.loads(data)
        image = await self._builds.records.stored(entry["key"], flavour)
        if image is None:
            lock = await self._builds.records.lock(entry["key"])
            if lock is None:
                return None
            self._budget.spend()
            with self._progress.of(_flight(repository, tag, flavour)) as on_progress:
                image = await self._builds.build(lock, flavour, on_progress)
        return await self._answer(entry["key"], image, entry["fresh_until"])

    async def _make(
        self, repository: str, tag: str, flavour: Flavour, max_age: float | None = None
    ) -> CachedTag:
        """Solve and build the reference anew; failures are remembered for a while."""
        try:
            with self._progress.of(_flight(repository, tag, flavour)) as on_progress:
                spec = await self._resolver.spec(repository, tag, self._today())
                solved, image = await self._builds.make(
                    spec,
                    flavour,
                    on_progress,
                    max_age=self._latest_ttl_seconds if max_age is None else max_age,
                )
        except BuilderError as exc:
            self._metrics.pulled("failed")
            structlog.get_logger().warning(
                "failed to build",
                repository=repository,
                tag=tag,
                error=exc.message,
                cause=repr(exc.__cause__),
            )
            ttl = self._error_ttl_seconds / (10 if exc.transient else 1)
            self._failures.put((repository, tag), (self._now() + ttl, exc))
            raise
        fresh_until: float | None = solved.solved_at + self._latest_ttl_seconds
        if spec.until is not None and _end_of(spec.until) < solved.solved_at:
            fresh_until = None  # that day is over: the answer is the same for ever
        answer = await self._answer(solved.key, image, fresh_until)
        entry = {"key": solved.key, "spec": spec.digest, "fresh_until": fresh_until}
        await self._store.write(tag_key(repository, tag), json.dumps(entry).encode())
        self._answers.put((repository, tag, flavour), answer)
        self._metrics.pulled("built")
        return answer

    async def _answer(self, key: str, image: StoredImage, fresh_until: float | None) -> CachedTag:
        # Documents in docker's own types cannot say which build they are of.
        top = replace(await self._manifests.get(image.top), build=key)
        # What is answered by its tag can be asked for by its digest while the store is down.
        self._made.put(image.top, value=True)
        self._made.put(image.first, value=True)
        if image.first == image.top:
            return CachedTag(key, top, top, fresh_until)
        first = replace(await self._manifests.get(image.first), build=key)
        return CachedTag(key, top, first, fresh_until)

    def _is_fresh(self, answer: CachedTag) -> bool:
        return answer.fresh_until is None or self._now() < answer.fresh_until

    def _today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._now(), datetime.UTC).date()

    async def _renewed_elsewhere(
        self, repository: str, tag: str, flavour: Flavour
    ) -> CachedTag | None:
        """Return a fresh answer that another server, or a worker, has put into the store."""
        try:
            data = await self._store.read(tag_key(repository, tag))
            entry: dict[str, Any] = json.loads(data) if data is not None else {"fresh_until": 0}
            if entry["fresh_until"] is not None and entry["fresh_until"] <= self._now():
                return None
            image = await self._builds.records.stored(entry["key"], flavour)
            if image is None:  # it has to be built, which is not waited for
                return None
            answer = await self._answer(entry["key"], image, entry["fresh_until"])
        except StoreUnavailable:
            return None
        self._answers.put((repository, tag, flavour), answer)
        return answer

    def _renew(self, repository: str, tag: str, flavour: Flavour) -> None:
        """Make a stale answer new in the background; what fails leaves the old one."""
        if self._failure(repository, tag) is None:
            name = _flight(repository, tag, flavour)
            self._flights.start(name, lambda: self._make(repository, tag, flavour))

    def _failure(self, repository: str, tag: str) -> BuilderError | None:
        """Return the error the reference ended with lately, if it is too early to try again."""
        failure = self._failures.get((repository, tag))
        if failure is None or failure[0] <= self._now():
            return None
        return failure[1].with_traceback(None)


def _flight(repository: str, tag: str, flavour: Flavour) -> str:
    return f"{repository}:{tag}.{flavour}"


def _end_of(day: datetime.date) -> float:
    """Return when ``day`` is over, UTC, in seconds since 1970."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return midnight.timestamp() + _DAY_SECONDS
