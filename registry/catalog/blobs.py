"""What the images of builds consist of, read from their documents in the store."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import exists, select

from builder.build.image import Flavour
from builder.errors import BuilderError
from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.oci.models import ImageIndex, media_type_of, parse_manifest
from builder.ports import Store
from registry.catalog.sizes import BlobsOf, BuildBlob, keep_blobs
from registry.database import Database, tables
from registry.images.records import ImageRecords

#: What a build is made as when a version is built.
FLAVOUR: Final[Flavour] = "oci-zstd"
_BATCH: Final = 100


class ImageBlobs:
    """Reads what images consist of.

    Args:
        store: Has their documents.
        records: Know where these are.
    """

    def __init__(self, store: Store, records: ImageRecords) -> None:
        self._store = store
        self._records = records

    async def of(self, key: str) -> Sequence[BuildBlob]:
        """Return all parts of the image of a build, each once; nothing, if its documents are gone.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        image = await self._records.recorded(key, FLAVOUR)
        if image is None:
            return ()
        found: dict[Digest, int] = {}
        waiting = [image.top]
        while waiting:
            digest = waiting.pop()
            data = await self._store.read(blob_key(digest))
            if data is None:
                return ()
            try:
                document = parse_manifest(data, media_type_of(data))
            except BuilderError:  # damaged: scrubbing finds it, and it is made again
                return ()
            found[digest] = len(data)
            if isinstance(document, ImageIndex):
                waiting += [child.digest for child in document.manifests]
            else:
                found.update(
                    (part.digest, part.size) for part in (document.config, *document.layers)
                )
        return [BuildBlob(digest, size) for digest, size in sorted(found.items())]


async def fill_blobs(database: Database, blobs_of: BlobsOf) -> None:
    """Write down what builds consist of that were made before anybody did so.

    Raises:
        DatabaseUnavailable: It does not answer; what was written stays.
        StoreUnavailable: The store does not answer.
    """
    version, blob = tables.version, tables.build_blob
    last = ""
    while True:
        statement = (
            select(version.c.key)
            .where(
                version.c.state == "built",
                version.c.key > last,
                ~exists(select(blob.c.key).where(blob.c.key == version.c.key)),
            )
            .distinct()
            .order_by(version.c.key)
            .limit(_BATCH)
        )
        async with database.reading() as connection:
            keys = list((await connection.execute(statement)).scalars())
        if not keys:
            return
        last = keys[-1]
        found = [(key, await blobs_of(key)) for key in keys]
        if any(blobs for _, blobs in found):
            async with database.writing() as connection:
                for key, blobs in found:
                    await keep_blobs(connection, key, blobs)
