"""Taking away what was pushed and nobody needs any more; pushes and pulls go on meanwhile.

Whoever lets go of a blob, or brings one that no manifest has yet, leaves a note in ``loose/``. An
hour later it is looked at, so that a push or pull that was under way has ended::

    a manifest of the repository has the blob ──→ the note goes
    else the repository's own hold goes       ──→ nobody else holds it ──→ its bytes go

So a collection costs what was pushed and deleted lately, however much there is in the store. What
also belongs to an image made here is left to eviction. (How a deletion and a push of the same blob
do not miss each other: :mod:`registry.content.sweeping`.)
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.ports import Store, StoreEntry
from registry.content.sweeping import delete_unheld
from registry.maintenance.parallel import for_each
from registry.storage.layout import (
    LOOSE,
    UPLOADS,
    digest_in,
    holders_prefix,
    manifest_record_key,
    origin_key,
    pushed_key,
    repository_in,
    upload_prefix,
)

#: How long a blob stays that no manifest has, in seconds: longer than a push takes from its first
#: blob, or the last time it asked for it, to its manifest.
LOOSE_SECONDS: Final = 3600


@dataclass(slots=True)
class PushedGarbage:
    """What was taken away."""

    blobs: int = 0
    freed_bytes: int = 0
    #: Uploads that were given up.
    uploads: int = 0

    def __bool__(self) -> bool:
        """Tell whether there was anything."""
        return bool(self.blobs or self.uploads)


async def collect_pushed(store: Store, now: float, *, upload_seconds: float) -> PushedGarbage:
    """Delete blobs without a holder, and abandoned uploads.

    Idempotent, and may be cancelled. Several servers may do so at once.

    Args:
        store: Of the registry.
        now: The time in seconds since 1970.
        upload_seconds: How long an upload may go without a request.

    Raises:
        StoreUnavailable: The store does not answer; the rest is taken away the next time.
    """
    garbage = PushedGarbage()

    async def look(note: StoreEntry) -> None:
        if note.modified < now - LOOSE_SECONDS:
            await _collect(store, note, garbage)

    await for_each(store.entries(LOOSE), look)
    async for upload, modified in _uploads(store):
        if modified < now - upload_seconds:
            async for entry in store.entries(f"{upload_prefix(upload)}parts/"):
                await store.delete(entry.key)
            async for entry in store.entries(upload_prefix(upload)):
                await store.delete(entry.key)
            garbage.uploads += 1
    return garbage


async def _collect(store: Store, note: StoreEntry, garbage: PushedGarbage) -> None:
    """Check one blob that a repository may not need any more."""
    _, segment, place = note.key.split("/")
    digest, repository = digest_in(segment), repository_in(place)
    if not await _is_needed(store, repository, digest):
        had = await _is_held(store, repository, digest)
        await store.delete(pushed_key(digest, repository))
        # Deleted first and looked at now: what got it meanwhile did miss it, or gets it back.
        if await _is_needed(store, repository, digest) or await _is_renewed(store, note):
            if had:
                await store.write(pushed_key(digest, repository), b"")
            return
        size_bytes = await store.size(blob_key(digest))
        is_made_here = await store.size(origin_key(digest)) is not None
        if size_bytes is not None and not is_made_here and await delete_unheld(store, digest):
            garbage.blobs += 1
            garbage.freed_bytes += size_bytes
    if not await _is_renewed(store, note):
        await store.delete(note.key)
        if not await _is_needed(store, repository, digest) and await _is_held(
            store, repository, digest
        ):  # let go of a moment ago
            await store.write(note.key, b"")


async def _is_needed(store: Store, repository: str, digest: Digest) -> bool:
    """Tell whether a manifest of the repository has a blob, or is it."""
    own = pushed_key(digest, repository)
    async for entry in store.entries(holders_prefix(digest, repository)):
        if entry.key != own:
            return True
    return await store.size(manifest_record_key(repository, digest)) is not None


async def _is_held(store: Store, repository: str, digest: Digest) -> bool:
    return await store.size(pushed_key(digest, repository)) is not None


async def _is_renewed(store: Store, note: StoreEntry) -> bool:
    """Tell whether somebody has left the note again since it was listed."""
    async for entry in store.entries(note.key):
        if entry.key == note.key:
            return entry.modified != note.modified
    return False


async def _uploads(store: Store) -> AsyncIterator[tuple[str, float]]:
    """Yield every upload, and when something of it was written last."""
    current, modified = "", 0.0
    async for entry in store.entries(UPLOADS):
        upload = entry.key.split("/")[1]
        if upload != current:
            if current:
                yield current, modified
            current, modified = upload, 0.0
        modified = max(modified, entry.modified)
    if current:
        yield current, modified
