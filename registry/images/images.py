"""Images by spec: one solve and one build of each, however many ask; results in the store."""

from collections.abc import Callable
from typing import Final

from lru import LRU

from builder.build.image import Flavour
from builder.concurrency.single_flight import SingleFlight
from builder.inputs import PackageList
from builder.keys import blob_key
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.ports import ProgressListener, Store
from builder.spec import EnvironmentSpec, SpecDigest
from registry.images.executor import Executor, StoredImage
from registry.images.records import ImageRecords, SolveRecord

#: How often a blob is made again that was evicted while its image was built.
_RESTORES: Final = 3
#: So many solves are in memory of which nothing is built yet: whoever has tried a specification
#: pulls or builds it next. Large locks take some megabytes each.
_TRIED: Final = 32


class ImageBuilds:
    """Solves specs and builds images; ``now`` gives seconds since 1970."""

    def __init__(
        self,
        store: Store,
        records: ImageRecords,
        executor: Executor,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        #: What is written down of locks and images.
        self.records = records
        self._executor = executor
        self._now = now
        self._solves: SingleFlight[tuple[SolveRecord, Lock]] = SingleFlight()
        self._tried: LRU[SpecDigest, tuple[SolveRecord, Lock]] = LRU(_TRIED)
        self._builds: SingleFlight[StoredImage] = SingleFlight()

    async def solve(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> tuple[SolveRecord, Lock]:
        """Return the lock of the spec, solved within the last ``max_age`` seconds.

        Raises:
            BuilderError: It cannot be solved.
        """
        known = await self._solved(spec.digest, max_age)
        if known is not None:
            return known
        # Once: if no image can be made of it, another solve may help.
        tried = self._tried.pop(spec.digest, None)
        if tried is not None and self._is_fresh(tried[0], max_age):
            return tried
        return await self._solves.run(spec.digest, lambda: self._solve(spec, on_progress, max_age))

    async def tried(self, spec: EnvironmentSpec, max_age: float) -> tuple[SolveRecord, Lock] | None:
        """Return what a spec was solved to within the last ``max_age`` seconds, if it was here."""
        known = await self._solved(spec.digest, max_age)
        tried = self._tried.get(spec.digest)
        if known is None and tried is not None and self._is_fresh(tried[0], max_age):
            known = tried
        return known

    async def attempt(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> tuple[SolveRecord, Lock]:
        """Return the lock of the spec as :meth:`solve` does, and have it at hand for a while.

        Raises:
            BuilderError: It cannot be solved.
        """
        solved = await self.tried(spec, max_age)
        if solved is None:
            solved = await self.solve(spec, on_progress, max_age=max_age)
            self._tried[spec.digest] = solved
        return solved

    def is_solving(self, spec: EnvironmentSpec) -> bool:
        """Tell whether the spec is being solved in this process now."""
        return self._solves.running(spec.digest)

    async def complete(self, packages: PackageList, on_progress: ProgressListener) -> Lock:
        """Return the lock of packages that another tool has chosen.

        Raises:
            BuilderError: As :meth:`builder.resolve.resolver.Resolver.complete`.
        """
        return await self._executor.complete(packages, on_progress)

    async def remember(self, spec: EnvironmentSpec, solved: SolveRecord) -> None:
        """Store the lock of a spec whose image could be built; idempotent."""
        await self.records.keep_solve(spec.digest, solved)
        self._tried.pop(spec.digest, None)

    async def restore(self, digest: Digest, on_progress: ProgressListener) -> bool:
        """Make a blob or manifest again that is gone from the store, with all of its image.

        Returns:
            ``False`` when it was never part of an image made here.

        Raises:
            BuilderError: It cannot be built.
        """
        origin = await self.records.origin(digest)
        lock = await self.records.lock(origin.key) if origin is not None else None
        if origin is None or lock is None:
            return False
        for _ in range(_RESTORES):
            await self.build(lock, origin.flavour, on_progress)
            # The build may have begun before, and seen the blob when it was still there.
            if await self._store.size(blob_key(digest)) is not None:
                return True
        return False

    async def build(
        self, lock: Lock, flavour: Flavour, on_progress: ProgressListener
    ) -> StoredImage:
        """Return the image of a lock, with every blob of it in the store.

        Raises:
            BuilderError: It cannot be built.
        """
        return await self._builds.run(
            f"{lock.key}.{flavour}", lambda: self._executor.build(lock, flavour, on_progress)
        )

    async def close(self) -> None:
        """Cancel every solve and build of this process."""
        await self._solves.close()
        await self._builds.close()

    async def _solved(self, digest: SpecDigest, max_age: float) -> tuple[SolveRecord, Lock] | None:
        solved = await self.records.solved(digest)
        if solved is None or not self._is_fresh(solved, max_age):
            return None
        lock = await self.records.lock(solved.key)
        return (solved, lock) if lock is not None else None

    def _is_fresh(self, solved: SolveRecord, max_age: float) -> bool:
        return self._now() < solved.solved_at + max_age

    async def _solve(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, max_age: float
    ) -> tuple[SolveRecord, Lock]:
        found = await self._executor.solve(spec, on_progress, max_age=max_age)
        return SolveRecord(found.lock.key, found.solved_at, found.lock.told), found.lock
