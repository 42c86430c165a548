"""What the server says about images it made: artifacts that refer to them.

::

    index or manifest ←─ subject ── artifact manifest ─┬─ config   {}
                                                       └─ layer    lock, SBOM or provenance

Each flavour of an image has artifacts of its own, since each has digests of its own. They are pure
functions of the lock, like the image, and made when somebody asks for them first. What is evicted
of them is made again: ``origins/`` has the subject of each blob.

Source:
    image-spec, manifest.md, "Guidelines for Artifact Usage"; distribution-spec, "Listing
    Referrers".
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from lru import LRU

from builder.build.image import KEY_ANNOTATION, Flavour
from builder.concurrency.single_flight import SingleFlight
from builder.exports import EXPORTS, ExportFormat, Exports
from builder.exports.image_tree import ImageTree, read_tree
from builder.exports.provenance import PREDICATE_TYPE, to_provenance
from builder.keys import blob_key
from builder.lock import Lock
from builder.oci.digest import Digest, digest_of
from builder.oci.models import OCI_EMPTY, OCI_MANIFEST, Descriptor, ImageManifest, dump
from builder.platforms import Subdir
from builder.ports import ProgressListener, Store, Workers
from registry.images.images import ImageBuilds
from registry.images.records import Origin

_EMPTY: Final = b"{}"
_TITLE: Final = "org.opencontainers.image.title"
#: By which in-toto's attestations are told apart without being read; BuildKit writes it too.
_PREDICATE: Final = "in-toto.io/predicate-type"

#: The artifacts of an image, with their types.
ARTIFACTS: Final[dict[ExportFormat, str]] = {
    "lock": "application/vnd.conda-lock.v1+yaml",
    "sbom.spdx.json": EXPORTS["sbom.spdx.json"].media_type,
    "sbom.cdx.json": EXPORTS["sbom.cdx.json"].media_type,
    "provenance": EXPORTS["provenance"].media_type,
}


@dataclass(frozen=True, slots=True)
class _Subject:
    """An index or manifest of an image made here."""

    lock: Lock
    flavour: Flavour
    tree: ImageTree
    descriptor: Descriptor

    @property
    def platform(self) -> Subdir | None:
        """The platform of a manifest; ``None`` for what stands for the whole image."""
        if self.descriptor.digest == self.tree.top.digest:
            return None
        found = self.tree.manifests.items()
        return next(subdir for subdir, one in found if one.digest == self.descriptor.digest)


class Artifacts:
    """Makes the artifacts of images that ``builds`` knows: locks, SBOMs and provenance."""

    def __init__(self, store: Store, builds: ImageBuilds, forms: Exports, workers: Workers) -> None:
        self._store = store
        self._builds = builds
        self._forms = forms
        self._workers = workers
        self._flights: SingleFlight[tuple[Descriptor, ...]] = SingleFlight()
        self._recent: LRU[Digest, tuple[Descriptor, ...]] = LRU(1000)

    async def of(self, digest: Digest, on_progress: ProgressListener) -> tuple[Descriptor, ...]:
        """Return the artifacts of an index or manifest made here, each in the store; else none.

        Raises:
            BuilderError: They cannot be made now.
        """
        known = self._recent.get(digest)
        if known is None:
            known = await self._make(digest, on_progress)
            self._recent[digest] = known
        return known

    async def restore(self, digest: Digest, on_progress: ProgressListener) -> bool:
        """Make a blob or manifest of an artifact again that is gone from the store.

        Returns:
            ``False`` when it was never part of an artifact made here.

        Raises:
            BuilderError: It cannot be made now.
        """
        origin = await self._builds.records.origin(digest)
        if origin is None or origin.subject is None:
            return False
        await self._make(origin.subject, on_progress)
        return await self._store.size(blob_key(digest)) is not None

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._flights.close()

    async def _make(self, digest: Digest, on_progress: ProgressListener) -> tuple[Descriptor, ...]:
        return await self._flights.run(digest, lambda: self._artifacts(digest, on_progress))

    async def _artifacts(
        self, digest: Digest, on_progress: ProgressListener
    ) -> tuple[Descriptor, ...]:
        subject = await self._subject(digest, on_progress)
        if subject is None:
            return ()
        contents = self._contents(subject, on_progress)
        return tuple([await self._keep(subject, form, data) async for form, data in contents])

    async def _subject(self, digest: Digest, on_progress: ProgressListener) -> _Subject | None:
        records = self._builds.records
        origin = await records.origin(digest)
        if origin is None or origin.subject is not None:
            return None
        lock, flavour = await records.lock(origin.key), origin.flavour
        if lock is None:
            return None
        image = await records.recorded(lock.key, flavour)
        image = image or await self._builds.build(lock, flavour, on_progress)
        try:
            tree = await read_tree(self._store, lock, image.top)
        except KeyError:  # a document was taken out since it was damaged
            image = await self._builds.build(lock, flavour, on_progress)
            tree = await read_tree(self._store, lock, image.top)
        for descriptor in tree.descriptors:
            if descriptor.digest == digest:
                return _Subject(lock, flavour, tree, descriptor)
        return None  # a layer or config

    async def _contents(
        self, subject: _Subject, on_progress: ProgressListener
    ) -> AsyncIterator[tuple[ExportFormat, bytes]]:
        for form in ARTIFACTS:
            if form == "provenance":
                # The form of that name is about one flavour, and this may be another.
                yield (
                    form,
                    await self._workers.run(
                        to_provenance, subject.lock, subject.flavour, subject.tree.descriptors
                    ),
                )
            else:
                yield (
                    form,
                    await self._forms.read(subject.lock, form, subject.platform, on_progress),
                )

    async def _keep(self, subject: _Subject, form: ExportFormat, data: bytes) -> Descriptor:
        """Put an artifact into the store and return what points at it."""
        file_name = EXPORTS[form].file_name.format(
            key=subject.lock.key, platform=subject.platform or "all"
        )
        annotations: dict[str, str] = {KEY_ANNOTATION: subject.lock.key}
        if form == "provenance":
            annotations[_PREDICATE] = PREDICATE_TYPE
        manifest = ImageManifest(
            artifact_type=ARTIFACTS[form],
            config=Descriptor(media_type=OCI_EMPTY, digest=digest_of(_EMPTY), size=len(_EMPTY)),
            layers=[
                Descriptor(
                    media_type=ARTIFACTS[form],
                    digest=digest_of(data),
                    size=len(data),
                    annotations={_TITLE: file_name},
                )
            ],
            subject=subject.descriptor,
            annotations=annotations,
        )
        document = dump(manifest)
        for blob in (_EMPTY, data, document):
            await self._put(blob, subject)
        return Descriptor(
            media_type=OCI_MANIFEST,
            digest=digest_of(document),
            size=len(document),
            artifact_type=ARTIFACTS[form],
            annotations=annotations,
        )

    async def _put(self, data: bytes, subject: _Subject) -> None:
        """Write a blob, and before it how to make it again; the first way that is known stays."""
        digest = digest_of(data)
        origin = Origin(subject.lock.key, subject.flavour, subject.descriptor.digest)
        await self._builds.records.keep_origin(digest, origin)
        if await self._store.size(blob_key(digest)) is None:
            await self._store.write(blob_key(digest), data)
