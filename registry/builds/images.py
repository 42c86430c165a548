"""Images by spec: one solve and one build of each, however many ask; results in the store."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from builder.flight import SingleFlight, together
from builder.image import Flavour
from builder.keys import blob_key, image_key, lock_key, origin_key, solve_key
from builder.lock import Lock, from_yaml, to_yaml
from builder.oci.digest import Digest
from builder.oci.models import ImageIndex, ImageManifest, media_type_of, parse, parse_manifest
from builder.pipeline import BuiltImage, Pipeline
from builder.ports import ProgressListener, Store, Workers
from builder.resolver import Resolver
from builder.spec import EnvironmentSpec, SpecDigest

#: How often a blob is made again that was evicted while its image was built.
_RESTORES: Final = 3


@dataclass(frozen=True, slots=True)
class Solved:
    """What a spec was solved to."""

    #: The key of the lock, 32 hex digits.
    key: str
    #: In seconds since 1970.
    solved_at: float


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Where the documents of an image are, in one flavour."""

    #: The index, or the only manifest.
    top: Digest
    #: The manifest for clients that take no index.
    first: Digest


class ImageBuilds:
    """Solves specs and builds images."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        pipeline: Pipeline,
        workers: Workers,
        now: Callable[[], float],
    ) -> None:
        """Make the builder.

        Args:
            store: Where solves, locks and images are kept.
            resolver: Solves.
            pipeline: Builds.
            workers: Write and read lock files.
            now: The time in seconds since 1970.
        """
        self._store = store
        self._resolver = resolver
        self._pipeline = pipeline
        self._workers = workers
        self._now = now
        self._solves: SingleFlight[tuple[Solved, Lock]] = SingleFlight()
        self._builds: SingleFlight[StoredImage] = SingleFlight()

    async def make(
        self, spec: EnvironmentSpec, flavour: Flavour, listen: ProgressListener, *, max_age: float
    ) -> tuple[Solved, StoredImage]:
        """Return what the spec means, solved anew unless that was done lately, and its image.

        A solve is remembered only when its image could be built: nothing stays of one that fails.

        Args:
            spec: What is wanted.
            flavour: Of the image.
            listen: Is told how far it is.
            max_age: In seconds; an older solve is not used.

        Raises:
            BuilderError: It cannot be solved or built.
        """
        solved, lock = await self.solve(spec, listen, max_age=max_age)
        image = await self.build(lock, flavour, listen)
        await self.remember(spec, solved)
        return solved, image

    async def solve(
        self, spec: EnvironmentSpec, listen: ProgressListener, *, max_age: float
    ) -> tuple[Solved, Lock]:
        """Return what the spec means, solved anew unless that was done lately.

        Args:
            spec: What is wanted.
            listen: Is told how far it is.
            max_age: In seconds; an older solve is not used.

        Raises:
            BuilderError: It cannot be solved.
        """
        known = await self._solved(spec.digest, max_age)
        if known is not None:
            return known
        return await self._solves.run(spec.digest, lambda: self._solve(spec, listen))

    async def remember(self, spec: EnvironmentSpec, solved: Solved) -> None:
        """Keep what a spec was solved to; for solves whose image could be built. Idempotent."""
        data = json.dumps({"key": solved.key, "solved_at": solved.solved_at}).encode()
        await self._store.write(solve_key(spec.digest), data)

    async def restore(self, digest: Digest, listen: ProgressListener) -> bool:
        """Make a blob or manifest again that is gone from the store, with all of its image.

        Returns:
            ``False`` when it was never part of an image made here.

        Raises:
            BuilderError: It cannot be built.
        """
        data = await self._store.read(origin_key(digest))
        if data is None:
            return False
        origin = json.loads(data)
        lock = await self.lock(origin["key"])
        if lock is None:
            return False
        for _ in range(_RESTORES):
            await self.build(lock, origin["flavour"], listen)
            # The build may have begun before, and seen the blob when it was still there.
            if await self._store.size(blob_key(digest)) is not None:
                return True
        return False

    async def lock(self, key: str) -> Lock | None:
        """Return a kept lock."""
        data = await self._store.read(lock_key(key))
        return await self._workers.run(from_yaml, data) if data is not None else None

    async def recorded(self, key: str, flavour: Flavour) -> StoredImage | None:
        """Return where the image of a lock was put when it was built; parts may be gone since."""
        data = await self._store.read(image_key(key, flavour))
        return StoredImage(**json.loads(data)) if data is not None else None

    async def stored(self, key: str, flavour: Flavour) -> StoredImage | None:
        """Return where the image of a lock is, if all of it is in the store in that flavour."""
        image = await self.recorded(key, flavour)
        return image if image is not None and await self._is_whole(image.top) else None

    async def build(self, lock: Lock, flavour: Flavour, listen: ProgressListener) -> StoredImage:
        """Return the image of a lock, with every blob of it in the store.

        Raises:
            BuilderError: It cannot be built.
        """
        return await self._builds.run(
            f"{lock.key}.{flavour}", lambda: self._build(lock, flavour, listen)
        )

    async def close(self) -> None:
        """Stop every solve and build."""
        await self._solves.close()
        await self._builds.close()

    async def _is_whole(self, digest: Digest) -> bool:
        """Tell whether a manifest and all that hangs on it is in the store, which is a cache."""
        data = await self._store.read(blob_key(digest))
        if data is None:
            return False
        document = parse_manifest(data, media_type_of(data))
        if isinstance(document, ImageIndex):
            return all([await self._is_whole(child.digest) for child in document.manifests])
        parts = [document.config, *document.layers]
        sizes = await together(self._store.size(blob_key(part.digest)) for part in parts)
        return sizes == [part.size for part in parts]

    async def _solved(self, digest: SpecDigest, max_age: float) -> tuple[Solved, Lock] | None:
        data = await self._store.read(solve_key(digest))
        if data is None:
            return None
        solved = Solved(**json.loads(data))
        lock = await self.lock(solved.key) if self._now() < solved.solved_at + max_age else None
        return (solved, lock) if lock is not None else None

    async def _solve(self, spec: EnvironmentSpec, listen: ProgressListener) -> tuple[Solved, Lock]:
        started = self._now()
        lock = await self._resolver.lock(spec, listen)
        seconds = round(self._now() - started, 3)
        structlog.get_logger().info("solved", spec=spec.digest, key=lock.key, seconds=seconds)
        return Solved(lock.key, self._now()), lock

    async def _build(self, lock: Lock, flavour: Flavour, listen: ProgressListener) -> StoredImage:
        started = self._now()
        image = await self._pipeline.build(lock, flavour, listen)
        seconds = round(self._now() - started, 3)
        structlog.get_logger().info("built", key=lock.key, flavour=flavour, seconds=seconds)
        if await self._store.size(lock_key(lock.key)) is None:
            data = await self._workers.run(to_yaml, lock)
            await self._store.write(lock_key(lock.key), data)
        first = next(iter(image.manifests.values()))
        stored = StoredImage(image.top.digest, first.digest)
        await together(self._note_origin(one, lock, flavour) for one in _digests(image))
        await self._store.write(
            image_key(lock.key, flavour),
            json.dumps({"top": stored.top, "first": stored.first}).encode(),
        )
        return stored

    async def _note_origin(self, digest: Digest, lock: Lock, flavour: Flavour) -> None:
        """Write down how to make a blob again; one way is enough, so the first one stays."""
        if await self._store.size(origin_key(digest)) is None:
            origin = json.dumps({"key": lock.key, "flavour": flavour}).encode()
            await self._store.write(origin_key(digest), origin)


def _digests(image: BuiltImage) -> list[Digest]:
    """Return the digest of everything an image consists of, each once, sorted."""
    found = {image.top.digest}
    for document in image.manifests.values():
        manifest = parse(ImageManifest, document.data)
        found.update(part.digest for part in [manifest.config, *manifest.layers])
        found.add(document.digest)
    return sorted(found)
