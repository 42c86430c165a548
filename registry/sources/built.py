"""Images that are built here when they are pulled: from a reference to a manifest.

::

    Reference
      ├─ answered lately ──────────────────────────→ from memory
      ├─ failed lately ────────────────────────────→ the same error
      ├─ build/<key> ──────────────────────────────→ the image of that lock, or a variant, for ever
      ├─ repositories/<name>/_tags/<tag> ─→ images/<key>.<flavour>.json ─→ manifest
      │        old? answered all the same, and renewed in the background
      └─ else spec → lock → image, one task however many ask

What policies refuse is not built; what was built before they did stays, also where it is old and
cannot be renewed. A build that is blocked is not answered.
"""

import asyncio
import bisect
import datetime
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

import structlog
from lru import LRU

from builder.concurrency.single_flight import SingleFlight
from builder.errors import BuilderError, DomainError, StoreUnavailable
from builder.lock import Lock, Told
from builder.oci.digest import Digest
from builder.oci.models import Descriptor, dump
from builder.policy import EnvironmentPolicy
from builder.resolve.resolver import Resolver
from builder.rules.model import Rules
from builder.spec import EnvironmentSpec
from registry.content.manifests import Manifest, Manifests
from registry.content.names import RepositoryName
from registry.errors import (
    BuildBlocked,
    ManifestUnknown,
    NameUnknown,
    ReferrersUnavailable,
    StillBuilding,
    TooManyNewImages,
)
from registry.images.artifacts import Artifacts
from registry.images.executor import StoredImage
from registry.images.fairness import current_client
from registry.images.images import ImageBuilds
from registry.images.judging import BuildJudge
from registry.images.progress import ProgressTracker
from registry.images.rate_limit import RateLimit
from registry.images.records import SolveRecord
from registry.images.tag_records import TagRecord, TagRecords
from registry.images.usage import Usage
from registry.sources.source import BUILDS, JsonDescriptor, Reference
from registry.sources.tag_cache import CachedTag, TagCache
from registry.sources.variants import BUILD_TAG, parse_build_tag

_KEY: Final = re.compile(r"[0-9a-f]{32}")
_DAY_SECONDS: Final = 86_400

Result = TypeVar("Result")


class PullMetrics(Protocol):
    """Counts pulls."""

    def pulled(self, outcome: str) -> None:
        """Count one answer: ``hit stored stale built waiting refused`` or ``failed``."""
        ...


class BuiltSource:
    """Answers from memory, the store, or by building; implements :class:`~.source.Source`.

    Args:
        manifests: Reads manifests.
        resolver: Reads names.
        policy: What is offered by such names.
        builds: Solves and builds.
        judge: Says what may be built, and which builds are blocked.
        artifacts: Makes what refers to images.
        tags: Remember which tags were pulled.
        usage: Notes which images are used, for eviction.
        metrics: Counts pulls by outcome.
        rate_limit: Bounds what a client may have built.
        now: The time in seconds since 1970.
        latest_ttl_seconds: How long an answer is served before it is renewed.
        error_ttl_seconds: As :class:`.tag_cache.TagCache` says.
    """

    is_writable = False

    def __init__(
        self,
        manifests: Manifests,
        resolver: Resolver,
        policy: EnvironmentPolicy,
        builds: ImageBuilds,
        judge: BuildJudge,
        artifacts: Artifacts,
        tags: TagRecords,
        usage: Usage,
        metrics: PullMetrics,
        rate_limit: RateLimit,
        *,
        now: Callable[[], float],
        latest_ttl_seconds: float,
        error_ttl_seconds: float,
    ) -> None:
        self._manifests = manifests
        self._resolver = resolver
        self._policy = policy
        self._builds = builds
        self._judge = judge
        self._blocked = judge.blocked
        self._artifacts = artifacts
        self._tags = tags
        self._usage = usage
        self._metrics = metrics
        self._rate_limit = rate_limit
        self._now = now
        self._latest_ttl_seconds = latest_ttl_seconds
        self._cache = TagCache(now, error_ttl_seconds=error_ttl_seconds)
        #: Digests that are known to be built here, and so for ever.
        self._built: LRU[Digest, bool] = LRU(10_000)
        self._flights: SingleFlight[CachedTag] = SingleFlight()
        self._restores: SingleFlight[bool] = SingleFlight()
        self._listings: SingleFlight[Sequence[Descriptor]] = SingleFlight()
        self._progress = ProgressTracker()

    async def resolve(
        self, reference: Reference, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return the manifest behind a tag; see :meth:`.source.Source.resolve`."""
        cached = self._cache.get(reference)
        if cached is not None and await self._is_blocked(cached.key):
            self._cache.forget(reference)
            cached = None
        if cached is None:
            name = str(reference)
            cached = await self._in_time(
                lambda: self._flights.start(name, lambda: self._find(reference)),
                name,
                timeout_seconds,
            )
        else:
            self._metrics.pulled("hit")
        if not self._cache.is_fresh(cached):
            cached = await self._renewed_elsewhere(reference) or cached
        if not self._cache.is_fresh(cached):
            await self._renew(reference)
        await self._blocked.require(cached.key)  # it may have been blocked meanwhile
        await self._usage.note(cached.key)
        return cached.manifest(index=index)

    def cached(self, reference: Reference, *, index: bool) -> Manifest | None:
        """Return what is behind a tag without waiting; see :meth:`.source.Source.cached`."""
        cached = self._cache.get(reference)
        if cached is None:
            return None
        if not (self._cache.is_fresh(cached) and self._usage.is_noted(cached.key)):
            return None
        if not self._blocked.is_clear(cached.key):
            return None
        self._metrics.pulled("hit")
        return cached.manifest(index=index)

    def cached_manifest(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        """Return a manifest in memory; see :meth:`.source.Source.cached_manifest`."""
        if self._built.get(digest) and self._blocked.is_clear(digest):
            return self._manifests.at_hand(digest)
        return None

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        """Return a manifest; see :meth:`.source.Source.manifest`."""
        if not await self.has_manifest(repository, digest):
            raise ManifestUnknown(f"there is no manifest {digest} of an image made here")
        return await self._manifests.get(digest)

    async def has_manifest(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a manifest belongs to an image built here: it may be read by any name."""
        await self._blocked.require_manifest(digest)
        return await self._is_built(digest)

    async def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a blob belongs to an image built here: it may be read by any name."""
        await self._blocked.require_blob(digest)
        return await self._is_built(digest)

    async def want_blob(self, repository: RepositoryName, digest: Digest) -> None:
        """Do nothing: nobody pushes to these repositories."""

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Return the tags that were pulled; see :meth:`.source.Source.tags`."""
        if repository.startswith(BUILDS):
            await self._lock(repository)
            found = sorted([BUILD_TAG, *await self._tags.names(repository)])
        else:
            found = await self._tags.names(repository)
            if not found:
                raise NameUnknown(f"no image '{repository}' has been pulled from this server yet")
        rest = found[bisect.bisect_right(found, last) :] if last else found
        return rest[:limit], bool(limit) and len(rest) > limit

    async def referrers(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_type: str,
        last: str,
        *,
        timeout_seconds: float,
    ) -> tuple[list[JsonDescriptor], str]:
        """Return the artifacts of an image; see :meth:`.source.Source.referrers`."""
        await self._blocked.require_manifest(subject)
        name = f"referrers {subject}"

        async def work() -> Sequence[Descriptor]:
            with self._progress.of(name) as on_progress:
                return await self._artifacts.of(subject, on_progress)

        try:
            found = await self._in_time(
                lambda: self._listings.start(name, work), name, timeout_seconds
            )
        except BuilderError as exc:
            raise ReferrersUnavailable(exc.message) from exc
        wanted = [one for one in found if artifact_type in {"", one.artifact_type}]
        return [json.loads(dump(one)) for one in wanted], ""

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Make a lost blob or manifest again; see :meth:`.source.Source.restore`."""
        name = f"restore {digest}"

        async def work() -> bool:
            self._rate_limit.spend()
            with self._progress.of(name) as on_progress:
                return await self._artifacts.restore(
                    digest, on_progress
                ) or await self._builds.restore(digest, on_progress)

        return await self._in_time(lambda: self._restores.start(name, work), name, timeout_seconds)

    async def ensure(self, reference: Reference, *, max_age: float | None) -> str:
        """Have an image of an environment ready before it is pulled; return its build's key.

        Args:
            reference: Of a repository below ``env/``.
            max_age: In seconds; an older answer is made new. ``None``: one that has not expired
                will do.

        Raises:
            BuilderError: It cannot be understood, solved or built.
        """
        if max_age is None:
            cached = await self._stored(reference)
            if cached is not None and self._cache.is_fresh(cached):
                return cached.key
        cached = await self._flights.run(
            _renewal_of(reference), lambda: self._make(reference, max_age)
        )
        return cached.key

    async def close(self) -> None:
        """Stop every pull under way."""
        await self._flights.close()
        await self._restores.close()
        await self._listings.close()

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

    async def _find(self, reference: Reference) -> CachedTag:
        """Return what the store has for the reference, however old, else build it."""
        if reference.repository.startswith(BUILDS):
            cached = await self._locked(reference)
        else:
            found = await self._stored(reference)
            if found is None:
                failure = await self._failure(reference)
                if failure is not None:
                    self._metrics.pulled("failed")
                    raise failure
                self._rate_limit.spend()
                return await self._make(reference)
            cached = found
        self._metrics.pulled("stored")
        return self._cache.put(reference, cached)

    async def _locked(self, reference: Reference) -> CachedTag:
        """Return the image of ``build/<key>``, one lock's, or of a variant of it; for ever."""
        lock = await self._lock(reference.repository)
        variant = parse_build_tag(reference.repository, reference.tag).of(lock)
        await self._blocked.require(variant.key)
        image = await self._builds.records.stored(variant.key, reference.flavour)
        if image is None:
            if variant.base != lock.base:  # its packages are those of a build that there is
                bases = (await self._judge.everywhere()).bases
                await self._judge.hold(variant, Rules(bases=bases))
            image = await self._build(variant, reference)
        if variant.key != lock.key and await self._tags.get(*reference[:2]) is None:
            # By this it is known that what the variant consists of belongs to this build.
            await self._tags.put(*reference[:2], TagRecord(variant.key, "", None))
        return await self._read(variant.key, image, None)

    async def _lock(self, repository: str) -> Lock:
        key = repository.removeprefix(BUILDS)
        lock = await self._builds.records.lock(key) if _KEY.fullmatch(key) else None
        if lock is None:
            raise NameUnknown(
                f"there is no build '{key}' here: a build is named by the 32 hex digits of its"
                " key, which the annotation io.pullforge.build.key of every image has"
            )
        await self._blocked.require(key)
        return lock

    async def _stored(self, reference: Reference) -> CachedTag | None:
        """Return what the tag led to before, with its image built again where it is gone.

        ``None``, too, if that is blocked: by now the name may lead to something else.
        """
        record = await self._tags.get(reference.repository, reference.tag)
        if record is None or await self._is_blocked(record.key):
            return None
        image = await self._builds.records.stored(record.key, reference.flavour)
        if image is None:
            lock = await self._builds.records.lock(record.key)
            if lock is None:
                return None
            image = await self._build(lock, reference)
        return await self._read(record.key, image, record.fresh_until)

    async def _build(self, lock: Lock, reference: Reference) -> StoredImage:
        self._rate_limit.spend()
        with self._progress.of(str(reference)) as on_progress:
            return await self._builds.build(lock, reference.flavour, on_progress)

    async def _make(self, reference: Reference, max_age: float | None = None) -> CachedTag:
        """Solve and build the reference anew, and write down what it led to."""
        rules = await self._judge.everywhere()
        try:
            spec, solved, image = await self._solve_and_build(
                reference, self._latest_ttl_seconds if max_age is None else max_age, rules
            )
        except (BuilderError, BuildBlocked) as exc:
            self._metrics.pulled("failed")
            structlog.get_logger().warning(
                "failed to build",
                repository=reference.repository,
                tag=reference.tag,
                error=exc.message,
                cause=repr(exc.__cause__),
            )
            self._cache.put_failure(reference, exc, rules)
            raise
        fresh_until: float | None = solved.solved_at + self._latest_ttl_seconds
        if spec.until is not None and _is_settled(spec.until, solved.solved_at, rules):
            fresh_until = None  # that day is over: the answer is the same for ever
        cached = await self._read(solved.key, image, fresh_until)
        record = TagRecord(solved.key, spec.digest, fresh_until)
        await self._tags.put(reference.repository, reference.tag, record)
        self._metrics.pulled("built")
        return self._cache.put(reference, cached)

    async def _solve_and_build(
        self, reference: Reference, max_age: float, rules: Rules
    ) -> tuple[EnvironmentSpec, SolveRecord, StoredImage]:
        """Return what a reference means, and its image; a solve is stored when there is one."""
        today = datetime.datetime.fromtimestamp(self._now(), datetime.UTC).date()
        with self._progress.of(str(reference)) as on_progress:
            spec = await self._resolver.spec(
                reference.repository, reference.tag, self._policy, today
            )
            spec, told = await self._judge.apply(spec, rules)
            solved, lock = await self._builds.solve(spec, on_progress, max_age=max_age)
            told += solved.told + await self._judge.judge(lock, rules)
            image = await self._builds.build(lock, reference.flavour, on_progress)
            await self._builds.remember(spec, solved)
        _log_told(reference, solved.key, told)
        return spec, solved, image

    async def _failure(self, reference: Reference) -> DomainError | None:
        """Return the error that a tag ended with lately, if nothing has changed since."""
        failure = self._cache.failure(reference, await self._judge.everywhere())
        if isinstance(failure, BuildBlocked) and self._blocked.reason(failure.key) is None:
            return None
        return failure

    async def _is_blocked(self, key: str) -> bool:
        try:
            await self._blocked.require(key)
        except BuildBlocked:
            return True
        return False

    async def _is_built(self, digest: Digest) -> bool:
        if self._built.get(digest) is None:
            if not await self._builds.records.has_origin(digest):
                return False
            self._built[digest] = True
        return True

    async def _read(self, key: str, image: StoredImage, fresh_until: float | None) -> CachedTag:
        # Documents in docker's own types cannot say which build they are of.
        top = replace(await self._manifests.get(image.top), build=key)
        # What is answered by its tag can be asked for by its digest while the store is down.
        self._built[image.top] = True
        self._built[image.first] = True
        if image.first == image.top:
            return CachedTag(key, top, top, fresh_until)
        first = replace(await self._manifests.get(image.first), build=key)
        return CachedTag(key, top, first, fresh_until)

    async def _renewed_elsewhere(self, reference: Reference) -> CachedTag | None:
        """Return a fresh answer that another server, or a worker, has put into the store."""
        try:
            record = await self._tags.get(reference.repository, reference.tag)
            if record is None or not self._cache.is_fresh(record):
                return None
            image = await self._builds.records.stored(record.key, reference.flavour)
            if image is None:  # it has to be built, which is not waited for
                return None
            cached = await self._read(record.key, image, record.fresh_until)
        except StoreUnavailable:
            return None
        return self._cache.put(reference, cached)

    async def _renew(self, reference: Reference) -> None:
        """Make a stale answer new in the background; what fails leaves the old one."""
        try:
            failure = await self._failure(reference)
        except StoreUnavailable:
            return
        if failure is None:
            self._flights.start(_renewal_of(reference), lambda: self._make(reference))


def _renewal_of(reference: Reference) -> str:
    """Return the name of the work that makes an answer new.

    Not that of a pull: whoever pulls what is there must not fail with what cannot be renewed.
    """
    return f"renew {reference}"


def _is_settled(day: datetime.date, solved_at: float, rules: Rules) -> bool:
    """Tell whether nothing that is published up to the end of a day can become newer or older.

    Until packages of that day have reached the age that policies want, more and more are offered.
    """
    end = _end_of(day)
    return end < solved_at and all(end * 1000 <= rule.published_until_ms for rule in rules.age)


def _log_told(reference: Reference, key: str, told: Told) -> None:
    if told:
        structlog.get_logger().info(
            "policies had a say",
            repository=reference.repository,
            tag=reference.tag,
            key=key,
            added=told.added,
            left_out=told.left_out,
            warnings=told.warnings,
        )


def _end_of(day: datetime.date) -> float:
    """Return when ``day`` is over, UTC, in seconds since 1970."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return midnight.timestamp() + _DAY_SECONDS
