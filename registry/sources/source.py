"""Who answers for a repository name: the port, and what stands behind it.

::

    sources.of(name)
      ├─ env/…, build/…   BuiltSource    images that are built here when they are pulled
      └─ all else         PushedSource   what clients pushed

A face asks :meth:`Sources.of` once for each request; what differs between kinds of repositories is
behind the port.
"""

from typing import Any, Final, NamedTuple, Protocol

from builder.build.image import Flavour
from builder.oci.digest import Digest
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, TagName

#: Below this are images by the packages that their names list.
ENVIRONMENTS: Final = "env/"
#: Below this are images by the key of their lock.
BUILDS: Final = "build/"

#: A descriptor as JSON has it.
JsonDescriptor = dict[str, Any]


class Reference(NamedTuple):
    """What a client asks for by a tag; a tuple, since every warm pull looks one up."""

    repository: RepositoryName
    tag: TagName
    #: In which flavour the client can take it.
    flavour: Flavour

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}.{self.flavour}"


class Source(Protocol):
    """Answers for repositories of one kind."""

    @property
    def is_writable(self) -> bool:
        """Whether clients push to its repositories, and delete from them."""
        ...

    def cached(self, reference: Reference, *, index: bool) -> Manifest | None:
        """Return what :meth:`resolve` would, if that has nothing to do but to return it."""
        ...

    def cached_manifest(self, digest: Digest) -> Manifest | None:
        """Return what :meth:`manifest` would of any of its repositories, if it is in memory."""
        ...

    async def resolve(
        self, reference: Reference, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return the manifest behind a tag; the blobs that it names are in the store then.

        ``index=False`` is for clients that take no index: they get the manifest of the first
        platform, where the source chooses. A build goes on when the caller stops waiting.

        Raises:
            StillBuilding: It took longer than ``timeout_seconds``; ask again.
            TooManyNewImages: Whoever asks has asked for too many.
            BuilderError: The name cannot be understood, solved or built.
            NameUnknown: There is no such repository.
            ManifestUnknown: It has no such tag.
        """
        ...

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        """Return a manifest by its digest.

        Raises:
            NameUnknown: There is no such repository.
            ManifestUnknown: It has none with that digest, or its bytes are gone.
        """
        ...

    async def has_manifest(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a manifest may be read there, whether or not its bytes are in the store."""
        ...

    async def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a blob may be read there, whether or not it is in the store."""
        ...

    async def want_blob(self, repository: RepositoryName, digest: Digest) -> None:
        """Keep a blob that is there for a client that asks whether it has to push it."""
        ...

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Return up to ``limit`` tags after ``last``, in ASCII order, and whether more follow.

        Raises:
            NameUnknown: There is no such repository.
        """
        ...

    async def referrers(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_type: str,
        last: str,
        *,
        timeout_seconds: float,
    ) -> tuple[list[JsonDescriptor], str]:
        """Return a page of descriptors, and what the next one comes after; empty if none does.

        Args:
            repository: Where the subject is.
            subject: What they refer to.
            artifact_type: Of which type they are; empty for all.
            last: What the page comes after; empty for the first.
            timeout_seconds: How long they may take to be made.

        Raises:
            StillBuilding: It took longer; ask again.
            ReferrersUnavailable: They cannot be made now.
        """
        ...

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Make a blob or manifest again that is gone from the store, if that can be done.

        Raises:
            StillBuilding: It took longer than ``timeout_seconds``; ask again.
            TooManyNewImages: Whoever asks has asked for too many.
            BuilderError: It cannot be built any more.
        """
        ...


class Sources:
    """Knows which source answers for a repository name."""

    def __init__(self, *, built: Source, pushed: Source) -> None:
        self._built = built
        self._pushed = pushed

    def of(self, name: str) -> Source:
        """Return the source that answers for a repository, whether or not it exists."""
        return self._built if name.startswith((ENVIRONMENTS, BUILDS)) else self._pushed
