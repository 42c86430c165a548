"""Repositories that were pushed to: their manifests, tags and referrers.

A push writes in this order, so that whatever is seen is whole and whatever breaks off leaves
nothing that others see::

    loose/…, holders/…     the manifest and its blobs are needed from now on
    blobs/…                the manifest's bytes, when no collector is about to delete them
    _manifests/…           it can be pulled by its digest
    _referrers/…           its subject shows it
    _tagged/…, _tags/…     it can be pulled by its tags; of two pushes of one tag the last one stays

Whatever a manifest names is held, whether or not the repository has it yet: an index of BuildKit's
cache names blobs, and with sparse manifests the blobs may come after their manifest.

A tag that points to a manifest that is gone is no tag. Manifests stay until they are deleted, with
or without a tag: others may have pinned their digests.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from lru import LRU

from builder.concurrency.single_flight import together
from builder.keys import blob_key
from builder.oci.digest import Digest, algorithm_of, digest_of
from builder.ports import Store
from registry.content.documents import Part, PushedDocument, read_document
from registry.content.manifests import MAX_MANIFEST_BYTES, Manifest, Manifests
from registry.content.names import RepositoryName, TagName
from registry.content.sweeping import wait_until_swept
from registry.content.tags import Tags, names_after, page_of
from registry.errors import (
    DigestMismatch,
    ManifestUnknown,
    PartsUnknown,
    TooLarge,
    never_pushed,
)
from registry.storage.layout import (
    CATALOG,
    catalog_key,
    loose_key,
    manifest_holder_key,
    manifest_record_key,
    part_holder_key,
    pushed_key,
    referrer_key,
    repository_in,
)

#: So many repositories are remembered to be in the catalog.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class ManifestRecord:
    """What is written down of a manifest of a repository."""

    media_type: str
    size_bytes: int
    artifact_type: str
    subject: Digest | None


class Repositories:
    """Keeps what is pushed; any number of servers may do so in one store.

    Every method raises :class:`builder.errors.StoreUnavailable` when the store cannot be used; a
    push or deletion can be repeated then. With ``sparse``, manifests may name missing parts.
    """

    def __init__(self, store: Store, manifests: Manifests, *, sparse: bool) -> None:
        self._store = store
        self._manifests = manifests
        self._sparse = sparse
        self._known: LRU[str, bool] = LRU(_REMEMBERED)
        self._tags = Tags(store)

    async def push(
        self,
        repository: RepositoryName,
        data: bytes,
        media_type: str,
        *,
        digest: Digest | None = None,
        tags: Sequence[TagName] = (),
    ) -> tuple[Manifest, PushedDocument]:
        """Keep a manifest; when this returns it can be pulled by its digest and all its tags.

        An empty ``media_type`` means what the document says, no ``digest`` that of sha256. Each tag
        is moved whole.

        Raises:
            TooLarge: It is larger than 4 MiB.
            DigestMismatch: It has another digest.
            ManifestInvalid: It is no manifest or index.
            PartsUnknown: The repository lacks blobs or manifests that it names.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise TooLarge("a manifest", MAX_MANIFEST_BYTES)
        algorithm = algorithm_of(digest) if digest else "sha256"
        document, found = await asyncio.to_thread(
            lambda: (read_document(data, media_type), digest_of(data, algorithm))
        )
        if digest not in {None, found}:
            raise DigestMismatch(str(digest), found)
        present = await self._present(repository, document)
        if len(present) < len(document.parts) and not self._sparse:
            raise PartsUnknown([p.digest for p in document.parts if p not in present])
        is_new = await self._record(repository, found) is None
        await self._hold(repository, found, document.named)
        manifest = await self._manifests.put(data, document.media_type, algorithm)
        # A collector that did not see the new holders has taken blobs out by now.
        if len(await self._present(repository, document)) < len(present):
            if is_new:
                await self._release(repository, found, document)
            raise PartsUnknown([p.digest for p in present])
        await self._publish(repository, manifest, document)
        # Somebody who deletes the same manifest at this moment has taken the holders away.
        if await self._store.size(manifest_holder_key(found, repository)) is None:
            await self._hold(repository, found, document.named)
        for tag in tags:
            await self._tags.set(repository, tag, found)
        return manifest, document

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        """Return a manifest of a repository.

        Raises:
            NameUnknown: Nothing was ever pushed to the repository.
            ManifestUnknown: It has none with that digest.
        """
        record = await self._record(repository, digest)
        if record is None:
            await self._require(repository)
            raise ManifestUnknown(f"'{repository}' has no manifest {digest}")
        return await self._manifests.get(digest, record.media_type)

    async def exists(self, repository: RepositoryName) -> bool:
        """Tell whether a manifest was ever pushed to a repository."""
        return await self._store.size(catalog_key(repository)) is not None

    async def has(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a manifest belongs to a repository, whether or not its bytes are there."""
        return await self._record(repository, digest) is not None

    async def resolve(self, repository: RepositoryName, tag: TagName) -> Digest:
        """Return what a tag points to now; the manifest itself may have been deleted since.

        Raises:
            NameUnknown: Nothing was ever pushed to the repository.
            ManifestUnknown: It has no such tag.
        """
        digest = await self._tags.get(repository, tag)
        if digest is None:
            await self._require(repository)
            raise ManifestUnknown(f"'{repository}' has no tag '{tag}'")
        return digest

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Return up to ``limit`` tags after ``last``, in ASCII order, and whether more follow.

        Raises:
            NameUnknown: Nothing was ever pushed to the repository.
        """
        await self._require(repository)
        return await self._tags.page(repository, last, limit)

    async def catalog(self, last: str, limit: int) -> tuple[list[str], bool]:
        """Return up to ``limit`` repositories after ``last``, ``/`` first; tell if more follow."""
        after = catalog_key(last).removeprefix(CATALOG) if last else ""
        names, more = await page_of(names_after(self._store, CATALOG, after), limit)
        return [repository_in(name) for name in names], more

    async def untag(self, repository: RepositoryName, tag: TagName) -> None:
        """Remove a tag; what it pointed to stays.

        Raises:
            NameUnknown: Nothing was ever pushed to the repository.
            ManifestUnknown: It has no such tag.
        """
        if not await self._tags.remove(repository, tag):
            await self._require(repository)
            raise ManifestUnknown(f"'{repository}' has no tag '{tag}'")

    async def delete(self, repository: RepositoryName, digest: Digest) -> None:
        """Remove a manifest and the tags that point to it; its blobs go when nobody needs them.

        Raises:
            ManifestUnknown: The repository has none with that digest.
        """
        if not await self.has(repository, digest):
            raise ManifestUnknown(f"'{repository}' has no manifest {digest}")
        try:
            manifest = await self.manifest(repository, digest)
        except ManifestUnknown:  # its bytes are gone
            document = None
        else:
            document = read_document(manifest.data, manifest.media_type)
        await self._tags.remove_all(repository, digest)
        await self._release(repository, digest, document)

    async def _present(
        self, repository: RepositoryName, document: PushedDocument
    ) -> dict[Part, bool]:
        """Return the parts, manifests or blobs, that the repository has, with their bytes."""

        async def look(part: Part) -> bool:
            keys = [pushed_key(part.digest, repository)]
            if document.is_index:
                keys.insert(0, manifest_record_key(repository, part.digest))
            for key in keys:
                if await self._store.size(key) is not None:
                    return await self._store.size(blob_key(part.digest)) is not None
            return False

        found = await together(look(part) for part in document.parts)
        return {
            part: True for part, is_there in zip(document.parts, found, strict=True) if is_there
        }

    async def _hold(
        self, repository: RepositoryName, digest: Digest, named: Sequence[Digest]
    ) -> None:
        """Make sure that no collector takes a manifest or what it names any more."""
        await self._store.write(loose_key(digest, repository), b"")
        keys = [part_holder_key(one, repository, digest) for one in named]
        keys.append(manifest_holder_key(digest, repository))
        await together(self._store.write(key, b"") for key in keys)
        await together(wait_until_swept(self._store, one) for one in (digest, *named))

    async def _publish(
        self, repository: RepositoryName, manifest: Manifest, document: PushedDocument
    ) -> None:
        """Make a manifest known by its digest, to its subject, and its repository."""
        digest, kind = manifest.digest, document.artifact_type
        record = ManifestRecord(manifest.media_type, len(manifest.data), kind, document.subject)
        await self._store.write(
            manifest_record_key(repository, digest), json.dumps(asdict(record)).encode()
        )
        if document.subject is not None:
            descriptor = {
                "mediaType": manifest.media_type,
                "digest": digest,
                "size": len(manifest.data),
                **({"artifactType": kind} if kind else {}),
                **({"annotations": document.annotations} if document.annotations else {}),
            }
            await self._store.write(
                referrer_key(repository, document.subject, kind, digest),
                json.dumps(descriptor, separators=(",", ":")).encode(),
            )
        if self._known.get(repository) is None:
            await self._store.write(catalog_key(repository), b"")
            self._known[repository] = True

    async def _release(
        self, repository: RepositoryName, digest: Digest, document: PushedDocument | None
    ) -> None:
        """Delete a manifest from a repository."""
        record = await self._record(repository, digest)
        subject = record.subject if record else document.subject if document else None
        kind = record.artifact_type if record else document.artifact_type if document else ""
        await self._store.delete(manifest_record_key(repository, digest))
        if subject is not None:
            await self._store.delete(referrer_key(repository, subject, kind, digest))
        named = document.named if document else ()
        notes = [loose_key(one, repository) for one in (digest, *named)]
        keys = [part_holder_key(one, repository, digest) for one in named]
        # Before, for what breaks off here; after, for a collector that has just looked at it.
        await together(self._store.write(note, b"") for note in notes)
        await together(self._store.delete(key) for key in keys)
        await self._store.delete(manifest_holder_key(digest, repository))
        await together(self._store.write(note, b"") for note in notes)
        self._manifests.forget(digest)
        # Somebody pushes the same manifest at this moment, and may have looked before this.
        if await self.has(repository, digest):
            await self._hold(repository, digest, named)

    async def _record(self, repository: RepositoryName, digest: Digest) -> ManifestRecord | None:
        data = await self._store.read(manifest_record_key(repository, digest))
        return ManifestRecord(**json.loads(data)) if data is not None else None

    async def _require(self, repository: RepositoryName) -> None:
        if not await self.exists(repository):
            raise never_pushed(repository)
