"""Builds that nobody may have any more, by their keys: asked at every door.

::

    follower of the catalog ──→ put, remove                 where there is a database
    blocked/<key>           ──→ read again and again        where none is followed
                                    │
    a key, or a manifest's digest ──┴→ is_clear: one look into a dictionary, or none
                                         └ else require: that build, or a variant of one that is
                                           blocked

Layers are no build's own: they are read whatever is blocked, since other images have them too.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Final, get_args

import structlog
from lru import LRU

from builder.build.image import Flavour
from builder.concurrency.single_flight import SingleFlight, together
from builder.errors import StoreUnavailable
from builder.keys import blob_key
from builder.lock import Lock
from builder.oci.digest import Digest, digest_of
from builder.oci.models import ImageIndex, media_type_of, parse_manifest
from builder.ports import Store
from registry.errors import BuildBlocked
from registry.images.records import ImageRecords, Origin
from registry.images.stems import Stem, Stems
from registry.storage.layout import BLOCKED

#: How often the store is looked at where no database is followed, in seconds.
_LOOK_SECONDS: Final = 10
#: How long nothing is read for variants after a store that did not answer, in seconds.
_RETRY_SECONDS: Final = 5
#: So many keys and digests are known not to be blocked.
_REMEMBERED: Final = 20_000
#: So many documents are read at once.
_BATCH: Final = 16
_FLAVOURS: Final[tuple[Flavour, ...]] = get_args(Flavour)
#: The config of every artifact.
_EMPTY: Final = digest_of(b"{}")


def dump_block(reason: str) -> bytes:
    """Return what is written into the store of a build that is blocked."""
    return json.dumps({"reason": reason}, separators=(",", ":")).encode()


def parse_block(data: bytes) -> str:
    """Return the reason of what :func:`dump_block` wrote."""
    return str(json.loads(data)["reason"])


class BlockedBuilds:
    """Knows which builds are blocked. It is of one event loop.

    Args:
        store: Has what is blocked, and what is known of images.
        records: Know of which build a blob is.
        stems: Tell which locks are variants of which.
    """

    def __init__(self, store: Store, records: ImageRecords, stems: Stems) -> None:
        self._store = store
        self._records = records
        self._stems = stems
        #: Key → reason.
        self._blocks: dict[str, str] = {}
        #: Of the blocked builds whose stem is known, by their packages.
        self._by_packages: dict[str, dict[str, Stem]] = {}
        #: Blocked builds whose stem is not known yet.
        self._unread: set[str] = set()
        #: Keys of builds, and digests of manifests, that are not blocked by what is known now.
        self._clear: LRU[str, bool] = LRU(_REMEMBERED)
        #: The same of blobs.
        self._clear_blobs: LRU[Digest, bool] = LRU(_REMEMBERED)
        #: A number that is another one after each change.
        self.generation = 0
        self._reading: SingleFlight[None] = SingleFlight()
        self._retry_at = float("-inf")

    def put(self, key: str, reason: str, /) -> None:
        """Have nobody get a build from now on, nor its variants; harmless if that is so already."""
        if key not in self._blocks:
            self._unread.add(key)
            self._clear.clear()
            self._clear_blobs.clear()
            self.generation += 1
        self._blocks[key] = reason

    def remove(self, key: str, /) -> None:
        """Let a build be had again; harmless if it is not blocked."""
        if self._blocks.pop(key, None) is None:
            return
        self.generation += 1
        self._unread.discard(key)
        for packages, stems in list(self._by_packages.items()):
            if stems.pop(key, None) is not None and not stems:
                del self._by_packages[packages]

    def keys(self) -> frozenset[str]:
        """Return the keys of the builds that are blocked, without those of their variants."""
        return frozenset(self._blocks)

    def reason(self, key: str) -> str | None:
        """Return why a build is blocked itself; ``None``: it is not."""
        return self._blocks.get(key)

    def is_clear(self, name: str) -> bool:
        """Tell whether it is known that a build, or a manifest, is not blocked.

        Args:
            name: A key or a digest.
        """
        return not self._blocks or name in self._clear

    async def require(self, key: str) -> None:
        """Return if a build may be had.

        Raises:
            BuildBlocked: It is blocked, or is a variant of one that is.
        """
        while not self.is_clear(key):
            generation = self.generation
            is_known, found = await self._found(key)
            if found is not None and found in self._blocks:
                raise BuildBlocked(found, self._blocks[found])
            if not is_known:
                return
            if found is None and generation == self.generation:
                self._clear[key] = True

    async def sentence(self, key: str | None) -> str | None:
        """Return why nobody may have a build; ``None``: it may be had, or there is none."""
        try:
            if key is not None:
                await self.require(key)
        except BuildBlocked as exc:
            return exc.message
        return None

    async def require_lock(self, lock: Lock) -> None:
        """Do as :meth:`require` for a lock that is perhaps not kept yet."""
        if self._blocks and lock.key not in self._blocks:
            await self._read_stems()
            if self._by_packages:
                found = self._variant_of(await self._stems.of_lock(lock))
                if found is not None:
                    raise BuildBlocked(found, self._blocks[found])
        await self.require(lock.key)

    async def require_manifest(self, digest: Digest) -> None:
        """Return if a manifest, index or artifact that was made here may be had.

        Raises:
            BuildBlocked: It is of a build that is blocked.
            StoreUnavailable: The store does not answer.
        """
        while not self.is_clear(digest):
            generation = self.generation
            origin = await self._records.origin(digest)
            if origin is not None:
                await self.require(origin.key)
            if origin is not None and not self.is_clear(origin.key):
                return
            if generation == self.generation:
                self._clear[digest] = True

    async def require_blob(self, digest: Digest) -> None:
        """Return if a blob that was made here may be had: all layers may.

        Raises:
            BuildBlocked: It is a config, manifest or artifact of a build that is blocked.
            StoreUnavailable: The store does not answer.
        """
        if not self._blocks or digest in self._clear_blobs:
            return
        generation = self.generation
        origin = await self._records.origin(digest)
        if origin is not None:
            try:
                await self.require(origin.key)
            except BuildBlocked:
                is_own = await self._is_own(digest, origin)
                if is_own:
                    raise
                if is_own is None:
                    return
        if generation == self.generation:
            self._clear_blobs[digest] = True

    async def read(self) -> None:
        """Know what the store says is blocked, and nothing else.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        written = [one.key.removeprefix(BLOCKED) async for one in self._store.entries(BLOCKED)]
        new = [key for key in written if key not in self._blocks]
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            read = await together(self._store.read(f"{BLOCKED}{key}") for key in batch)
            for key, data in zip(batch, read, strict=True):
                if data is not None:  # else it was unblocked a moment ago
                    self.put(key, parse_block(data))
        for key in self.keys().difference(written):
            self.remove(key)

    async def follow(self, is_followed: Callable[[], bool]) -> None:
        """Know what the store says, again and again, while no database is followed.

        Args:
            is_followed: Tells whether :meth:`put` and :meth:`remove` are called for each change.
        """
        while True:
            if not is_followed():
                try:
                    await self.read()
                except StoreUnavailable as exc:
                    structlog.get_logger().warning(
                        "failed to look what is blocked", error=exc.message
                    )
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Cancel what is read."""
        await self._reading.close()

    async def _found(self, key: str) -> tuple[bool, str | None]:
        """Return whether it is known for certain, and which blocked build a key is of."""
        if key in self._blocks:
            return True, key
        now = asyncio.get_running_loop().time()
        if now < self._retry_at:
            return False, None
        try:
            await self._read_stems()
            stem = await self._stems.of_key(key) if self._by_packages else None
        except StoreUnavailable:  # what is in memory is answered all the same
            self._retry_at = now + _RETRY_SECONDS
            return False, None
        return True, self._variant_of(stem) if stem is not None else None

    def _variant_of(self, stem: Stem) -> str | None:
        for key, blocked in self._by_packages.get(stem.packages, {}).items():
            if blocked.has_variant(stem):
                return key
        return None

    async def _read_stems(self) -> None:
        """Know the stem of every blocked build that has a lock here."""
        while self._unread:
            await self._reading.run("stems", self._read_unread)

    async def _read_unread(self) -> None:
        unread = list(self._unread)
        for start in range(0, len(unread), _BATCH):
            batch = unread[start : start + _BATCH]
            found = await together(self._stems.of_key(key) for key in batch)
            for key, stem in zip(batch, found, strict=True):
                if key in self._unread and stem is not None:
                    self._by_packages.setdefault(stem.packages, {})[key] = stem
                self._unread.discard(key)

    async def _is_own(self, digest: Digest, origin: Origin) -> bool | None:
        """Tell whether a blob is of one image alone; ``None``: its documents are gone."""
        if origin.subject is not None:
            return digest != _EMPTY
        is_whole = True
        for flavour in _FLAVOURS:
            image = await self._records.recorded(origin.key, flavour)
            wanted = [image.top, image.first] if image is not None else []
            while wanted:
                one = wanted.pop()
                if one == digest:
                    return True
                data = await self._store.read(blob_key(one))
                if data is None:
                    is_whole = False
                    continue
                document = parse_manifest(data, media_type_of(data))
                if isinstance(document, ImageIndex):
                    wanted += [child.digest for child in document.manifests]
                elif document.config.digest == digest:
                    return True
        return False if is_whole else None
