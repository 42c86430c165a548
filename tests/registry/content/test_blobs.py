import pytest

from builder.keys import blob_key
from builder.oci.digest import digest_of
from registry.content.blobs import Blobs
from registry.errors import BlobUnknown
from registry.storage.filesystem import FilesystemStore

pytestmark = pytest.mark.anyio

DATA = b"0123456789"


async def test_a_blob_is_read_in_parts(store: FilesystemStore) -> None:
    await store.write(blob_key(digest_of(DATA)), DATA)
    blobs = Blobs(store)
    assert await blobs.size(digest_of(DATA)) == 10
    assert b"".join([piece async for piece in blobs.stream(digest_of(DATA), 2, 4)]) == b"23"
    opened = await blobs.open(digest_of(DATA), 7)
    assert b"".join([piece async for piece in opened]) == b"789"
    await opened.aclose()
    await opened.aclose()


async def test_opening_a_blob_that_is_not_there_fails_at_once(store: FilesystemStore) -> None:
    blobs = Blobs(store)
    with pytest.raises(BlobUnknown):
        await blobs.size(digest_of(DATA))
    with pytest.raises(BlobUnknown):
        await blobs.open(digest_of(DATA))
