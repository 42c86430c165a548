"""Deleting a blob safely while a push may begin to need it.

Nothing in the store can be locked, and servers that share one do not see each other. So both sides
write first and look then, and at least one sees the other::

    collector   writes sweeping/<digest>, looks for holders, deletes only if there are none
    pusher      writes its holder, looks for sweeping/<digest>, and waits while it is there

A pusher that saw nothing has written its holder before the collector looked. One that waited finds
the blob, or finds that it is gone, and the blob stays as it finds it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.ports import Store
from registry.storage.layout import holders_prefix, sweeping_key

#: How long a collector can be at one blob: longer than a store tries.
_PATIENCE_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 0.05


async def is_held(store: Store, digest: Digest) -> bool:
    """Tell whether anyone needs a blob."""
    return await anext(aiter(store.entries(holders_prefix(digest))), None) is not None


async def delete_unheld(store: Store, digest: Digest) -> bool:
    """Delete a blob unless somebody needs it, and tell whether it was deleted.

    Raises:
        StoreUnavailable: The store does not answer; the blob is there or gone.
    """
    note = sweeping_key(digest)
    await store.write(note, b"")
    try:
        if await is_held(store, digest):
            return False
        await store.delete(blob_key(digest))
        return True
    finally:
        await store.delete(note)


async def wait_until_swept(
    store: Store, digest: Digest, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Return when no collector is about to delete a blob that has just got a holder."""
    # A note that stays is of a collector that died.
    waited = 0.0
    while waited < _PATIENCE_SECONDS and await store.size(sweeping_key(digest)) is not None:
        await pause(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
    if waited >= _PATIENCE_SECONDS:
        await store.delete(sweeping_key(digest))
