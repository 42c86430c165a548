"""Records of images: their documents, their locks, and the origin of each blob."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from builder.build.image import Flavour
from builder.build.pipeline import BuiltImage
from builder.concurrency.single_flight import together
from builder.keys import blob_key, lock_key
from builder.lock import Lock, Told, from_yaml, to_yaml
from builder.oci.digest import Digest
from builder.oci.models import ImageIndex, ImageManifest, media_type_of, parse, parse_manifest
from builder.ports import Store, Workers
from builder.spec import SpecDigest
from registry.images.executor import StoredImage
from registry.storage.layout import image_key, origin_key, solve_key


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a blob: the lock or subject it is made from."""

    #: The key of a lock, 32 hex digits.
    key: str
    flavour: Flavour
    #: Of an artifact: the manifest that it refers to.
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class SolveRecord:
    """What a spec was solved to."""

    #: The key of the lock, 32 hex digits.
    key: str
    #: In seconds since 1970.
    solved_at: float
    #: What policies did to it.
    told: Told = field(default=Told())


class ImageRecords:
    """Reads and writes what the store knows of locks and their images."""

    def __init__(self, store: Store, workers: Workers) -> None:
        """Make the reader; ``workers`` write and read lock files."""
        self._store = store
        self._workers = workers

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

    async def keep(self, lock: Lock, flavour: Flavour, image: BuiltImage) -> StoredImage:
        """Write down an image that was built: its lock first, what says that it is there last."""
        await self.keep_lock(lock)
        first = next(iter(image.manifests.values()))
        stored = StoredImage(image.top.digest, first.digest)
        origin = Origin(lock.key, flavour)
        await together(self.keep_origin(one, origin) for one in _digests(image))
        await self._store.write(
            image_key(lock.key, flavour),
            json.dumps(asdict(stored)).encode(),
        )
        return stored

    async def keep_lock(self, lock: Lock) -> None:
        """Write down a lock, of which an image can be made from now on. Idempotent."""
        if await self._store.size(lock_key(lock.key)) is None:
            data = await self._workers.run(to_yaml, lock)
            await self._store.write(lock_key(lock.key), data)

    async def has_origin(self, digest: Digest) -> bool:
        """Tell whether a blob is, or was, part of an image or artifact that was built here."""
        return await self._store.size(origin_key(digest)) is not None

    async def origin(self, digest: Digest) -> Origin | None:
        """Return what a blob can be made from again."""
        data = await self._store.read(origin_key(digest))
        return Origin(**json.loads(data)) if data is not None else None

    async def keep_origin(self, digest: Digest, origin: Origin) -> None:
        """Write down how to make a blob again; one way is enough, so the first one stays."""
        if not await self.has_origin(digest):
            said = {name: value for name, value in asdict(origin).items() if value is not None}
            await self._store.write(origin_key(digest), json.dumps(said).encode())

    async def solved(self, spec: SpecDigest) -> SolveRecord | None:
        """Return what a spec was solved to last."""
        data = await self._store.read(solve_key(spec))
        if data is None:
            return None
        said = json.loads(data)
        return SolveRecord(said["key"], said["solved_at"], told_of_json(said.get("told")))

    async def keep_solve(self, spec: SpecDigest, record: SolveRecord) -> None:
        """Write down what a spec was solved to. Idempotent."""
        said: dict[str, Any] = {"key": record.key, "solved_at": record.solved_at}
        if record.told:  # servers from before there was this read what they know
            said["told"] = asdict(record.told)
        await self._store.write(solve_key(spec), json.dumps(said).encode())

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


def told_of_json(said: Mapping[str, Any] | None) -> Told:
    """Return what is told whose fields, as JSON has them, these are; ``None``: nothing."""
    return Told(**{name: tuple(sentences) for name, sentences in (said or {}).items()})


def _digests(image: BuiltImage) -> list[Digest]:
    """Return the digest of everything an image consists of, each once, sorted."""
    found = {image.top.digest}
    for document in image.manifests.values():
        manifest = parse(ImageManifest, document.data)
        found.update(part.digest for part in [manifest.config, *manifest.layers])
        found.add(document.digest)
    return sorted(found)
