"""Images by spec: one solve and one build of each, however many ask; results in the store."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from builder.flight import SingleFlight, together
from builder.image import Flavour
from builder.keys import blob_key, image_key, lock_key, solve_key
from builder.lock import Lock, from_yaml, to_yaml
from builder.oci.digest import Digest
from builder.oci.models import ImageIndex, media_type_of, parse_manifest
from builder.pipeline import Pipeline
from builder.ports import ProgressListener, Store, Workers
from builder.resolver import Resolver
from builder.spec import EnvironmentSpec, SpecDigest


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

    async def solved(self, digest: SpecDigest) -> Solved | None:
        """Return what the spec was solved to last, if it was."""
        data = await self._store.read(solve_key(digest))
        return Solved(**json.loads(data)) if data is not None else None

    async def solve(self, spec: EnvironmentSpec, listen: ProgressListener) -> tuple[Solved, Lock]:
        """Solve the spec anew and keep the lock.

        Raises:
            SolveError: No packages fit, or a channel does not answer.
            BaseImageError: The base image cannot be found.
        """
        return await self._solves.run(spec.digest, lambda: self._solve(spec, listen))

    async def lock(self, key: str) -> Lock | None:
        """Return a kept lock."""
        data = await self._store.read(lock_key(key))
        return await self._workers.run(from_yaml, data) if data is not None else None

    async def stored(self, key: str, flavour: Flavour) -> StoredImage | None:
        """Return where the image of a lock is, if all of it is in the store in that flavour."""
        data = await self._store.read(image_key(key, flavour))
        if data is None:
            return None
        image = StoredImage(**json.loads(data))
        return image if await self._is_whole(image.top) else None

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

    async def _solve(self, spec: EnvironmentSpec, listen: ProgressListener) -> tuple[Solved, Lock]:
        started = self._now()
        lock = await self._resolver.lock(spec, listen)
        solved = Solved(lock.key, self._now())
        if await self._store.size(lock_key(lock.key)) is None:
            await self._store.write(lock_key(lock.key), await self._workers.run(to_yaml, lock))
        await self._store.write(
            solve_key(spec.digest),
            json.dumps({"key": solved.key, "solved_at": solved.solved_at}).encode(),
        )
        log = structlog.get_logger()
        log.info("solved", spec=spec.digest, key=lock.key, seconds=round(self._now() - started, 3))
        return solved, lock

    async def _build(self, lock: Lock, flavour: Flavour, listen: ProgressListener) -> StoredImage:
        started = self._now()
        image = await self._pipeline.build(lock, flavour, listen)
        seconds = round(self._now() - started, 3)
        structlog.get_logger().info("built", key=lock.key, flavour=flavour, seconds=seconds)
        first = next(iter(image.manifests.values()))
        stored = StoredImage(image.top.digest, first.digest)
        await self._store.write(
            image_key(lock.key, flavour),
            json.dumps({"top": stored.top, "first": stored.first}).encode(),
        )
        return stored
