"""Reading the whole store to find what is damaged.

::

    blobs/ packages/   the bytes have the digest they are named after     else deleted: made again;
                                                                          what was pushed stays
    holders/           what was pushed is there                           else push it again
    locks/             the lock has the key it is named after             else restore the back-up
    layers/            the blob has the size that the record says         reported
    images/            there is a lock, and every manifest                reported
    probes/            empty; strange names below blobs/ and packages/    reported

Only the first can be helped here, and only by deleting: the store is a cache of what locks say.
What was pushed cannot be made again: it is left for whoever wants to save some of it.
"""

import asyncio
import hashlib
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from builder.errors import BuilderError, LockError, StoreUnavailable
from builder.keys import BLOBS, blob_key, lock_key, package_key
from builder.lock import from_yaml
from builder.oci.digest import Algorithm, Digest, algorithm_of, hex_of, parse_digest
from builder.ports import Store, StoreEntry
from registry.content.sweeping import is_held
from registry.maintenance.findings import Finding, Problem, ScrubReport
from registry.maintenance.parallel import for_each
from registry.maintenance.references import (
    ImageEntry,
    image_entries,
    image_parts,
    image_tops,
)
from registry.storage.content_addressed import digest_of_key
from registry.storage.layout import (
    HOLDERS,
    LAYER_RECORDS,
    LOCKS,
    PACKAGES,
    loose_prefix,
    origin_key,
)

#: What a process that died while it tried the store leaves behind.
_PROBES: Final = "probes/"
#: After how long a file in the scratch directory belongs to nobody, in seconds.
_SCRATCH_SECONDS: Final = 86_400


async def hashed_bytes(store: Store) -> int:
    """Return how many bytes a scrub will hash."""
    total = 0
    for prefix in (BLOBS, PACKAGES):
        async for entry in store.entries(prefix):
            total += entry.size_bytes
    return total


class Scrub:
    """Checks one store, once; deletes corrupt blobs and archives if ``delete`` is set.

    ``on_progress`` is given the number of bytes hashed since its last call.
    """

    def __init__(
        self, store: Store, *, delete: bool, threads: int, on_progress: Callable[[int], None]
    ) -> None:
        self._store = store
        self._delete = delete
        self._parallel = threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="scrub")
        self._on_progress = on_progress
        self._report = ScrubReport()

    async def run(self) -> ScrubReport:
        """Check everything; pulls, builds and evictions may go on meanwhile.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self._threads:
            await for_each(self._store.entries(BLOBS), self._check_blob, self._parallel)
            await for_each(self._store.entries(PACKAGES), self._check_package, self._parallel)
            await for_each(self._store.entries(LOCKS), self._check_lock, self._parallel)
        await for_each(self._store.entries(HOLDERS), self._check_holder)
        await for_each(self._store.entries(LAYER_RECORDS), self._check_record)
        await for_each(image_entries(self._store), self._check_image)
        async for entry in self._store.entries(_PROBES):
            self._find("leftover", entry.key, "a check of the store was cut off")
        self._report.findings.sort(key=lambda found: (found.problem, found.key))
        return self._report

    async def run_share(self, share: int) -> ScrubReport:
        """Check the content-addressed bytes whose digest starts with ``share``, 0 to 255.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self._threads:
            for algorithm in ("sha256", "sha512"):
                entries = self._store.entries(f"{BLOBS}{algorithm}/{share:02x}/")
                await for_each(entries, self._check_blob, self._parallel)
            entries = self._store.entries(f"{PACKAGES}{share:02x}/")
            await for_each(entries, self._check_package, self._parallel)
        return self._report

    async def _check_blob(self, entry: StoreEntry) -> None:
        self._report.blobs += 1
        digest = digest_of_key(entry.key)
        await self._check_bytes(entry, digest, blob_key(digest) if digest else "")

    async def _check_package(self, entry: StoreEntry) -> None:
        self._report.packages += 1
        digest = digest_of_key(entry.key)
        await self._check_bytes(entry, digest, package_key(hex_of(digest)) if digest else "")

    async def _check_bytes(self, entry: StoreEntry, digest: Digest | None, right_key: str) -> None:
        if digest is None or entry.key != right_key:
            self._find("leftover", entry.key, "this is not the name of a blob or archive")
            return
        try:
            found = await self._hash(entry.key, algorithm_of(digest))
        except KeyError:
            return  # evicted since it was listed
        except StoreUnavailable:
            await self._store.size(entry.key)  # raises if the whole store is away
            self._find("unreadable", entry.key, "the store cannot read it: look at its disk")
            return
        if found != hex_of(digest):
            await self._take_out(entry, digest)

    async def _hash(self, key: str, algorithm: Algorithm) -> str | None:
        """Return the digest of what is under a key, in hex; ``None`` if it ends too early."""
        digest = hashlib.new(algorithm)
        loop = asyncio.get_running_loop()
        try:
            async for chunk in self._store.stream(key):
                await loop.run_in_executor(self._threads, digest.update, chunk)
                self._report.hashed_bytes += len(chunk)
                self._on_progress(len(chunk))
        except EOFError:
            return None
        return digest.hexdigest()

    async def _take_out(self, entry: StoreEntry, digest: Digest) -> None:
        """Delete what is corrupt, unless it has been made again since it was read, or cannot be."""
        now = [one async for one in self._store.entries(entry.key) if one.key == entry.key]
        if not now or now[0].modified != entry.modified:
            return
        words = f"its {entry.size_bytes} bytes have another digest"
        is_blob = entry.key == blob_key(digest)
        if is_blob and await is_held(self._store, digest) and not await self._is_made_here(digest):
            words = f"{words}, and nothing can make it again: push it again"
            self._find("corrupt", entry.key, words)
            return
        if self._delete:
            await self._store.delete(entry.key)
        self._find("corrupt", entry.key, words, deleted=self._delete)

    async def _check_holder(self, entry: StoreEntry) -> None:
        """Look whether what a repository has is there; other holders need no more than that."""
        algorithm, _, digits, _, what = entry.key.removeprefix(HOLDERS).split("/")
        digest = Digest(f"{algorithm}:{digits}")
        if what not in {"pushed", "manifest"} or await self._store.size(blob_key(digest)):
            return
        # Held first and written then; it is there now, or the push broke off.
        is_note = await anext(aiter(self._store.entries(loose_prefix(digest))), None) is not None
        is_there = await self._store.size(blob_key(digest)) is not None
        is_held_still = await self._store.size(entry.key) is not None
        if not (is_note or is_there) and is_held_still and not await self._is_made_here(digest):
            self._find("lost", entry.key, f"{digest} is gone, and has to be pushed again")

    async def _is_made_here(self, digest: Digest) -> bool:
        return await self._store.size(origin_key(digest)) is not None

    async def _check_lock(self, entry: StoreEntry) -> None:
        data = await self._store.read(entry.key)
        if data is None:
            return
        self._report.locks += 1
        loop = asyncio.get_running_loop()
        try:
            lock = await loop.run_in_executor(self._threads, from_yaml, data)
        except LockError as exc:
            self._find("lock", entry.key, exc.message)
            return
        if entry.key != lock_key(lock.key):
            self._find("lock", entry.key, f"this is the lock {lock.key}")

    async def _check_record(self, entry: StoreEntry) -> None:
        data = await self._store.read(entry.key)
        if data is None:
            return
        try:
            record = json.loads(data)
            key, size_bytes = blob_key(parse_digest(record["digest"])), record["size_bytes"]
        except (ValueError, KeyError, TypeError, BuilderError):
            self._find("record", entry.key, "this is not the record of a layer")
            return
        found = await self._store.size(key)
        if found not in {None, size_bytes}:
            words = f"{key} has {found} bytes instead of {size_bytes}"
            self._find("record", entry.key, words)

    async def _check_image(self, image: ImageEntry) -> None:
        if await self._store.size(lock_key(image.build)) is None:
            self._find("lock", lock_key(image.build), f"it is gone, and {image.key} needs it")
        tops = await image_tops(self._store, image)
        if tops is None:
            self._find("image", image.key, "this is not the record of an image")
            return
        parts = await image_parts(self._store, tops)
        for digest in sorted(parts.missing):
            self._find("image", image.key, f"its manifest {digest} is gone")

    def _find(self, problem: Problem, key: str, words: str, *, deleted: bool = False) -> None:
        self._report.findings.append(Finding(problem, key, words, deleted))


def find_leftovers(scratch: Path, now: float) -> list[Finding]:
    """Return the files in a scratch directory that no living process can be at."""
    found: list[Finding] = []
    for path in sorted(scratch.glob("*")):
        with suppress(FileNotFoundError):  # its download has ended a moment ago
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and status.st_mtime < now - _SCRATCH_SECONDS:
                words = f"{status.st_size} bytes of work that was cut off"
                found.append(Finding("leftover", str(path), words))
    return found
