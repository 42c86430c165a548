"""Who answers for a repository name: the port, and what stands behind it.

::

    sources.of(name)
      ├─ env/…, build/…              BuiltSource         images that are built when they are pulled
      ├─ <namespace>/<environment>   EnvironmentSource   where there is such an environment
      └─ all else                    PushedSource        what clients pushed

A face asks :meth:`Sources.of` once for each request, after :meth:`Sources.look`; what differs
between kinds of repositories is behind the port.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

from builder.build.image import Flavour
from builder.oci.digest import Digest
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, TagName
from registry.errors import EnvironmentRepository, GeneratedRepository

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

    def cached_manifest(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        """Return what :meth:`manifest` would, if it is known to be there and in memory."""
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


class Environments(Protocol):
    """Knows which repositories are named environments."""

    def __contains__(self, repository: str) -> bool:
        """Tell whether one is; costs no more than a look into a dictionary."""
        ...

    def names_after(self, last: str, limit: int) -> list[str]:
        """Return the next ones after a name, in the order of ``/v2/_catalog``."""
        ...


#: Has it known, where that is not so anyway, whether a repository is a named environment.
Look = Callable[[str], Awaitable[None]]


async def _look_nowhere(_repository: str, /) -> None:
    """Do nothing: what environments there are is known."""


class Sources:
    """Knows which source answers for a repository name.

    Args:
        built: For what is named by packages or a key.
        pushed: For what is pushed.
        named: For the environments, whose names ``environments`` knows.
        environments: Is asked with every request; none before there are any.
        look: Is called before.
    """

    def __init__(
        self,
        *,
        built: Source,
        pushed: Source,
        named: Source | None = None,
        environments: Environments | None = None,
        look: Look = _look_nowhere,
    ) -> None:
        self._built = built
        #: What answers for repositories that are nothing else.
        self.pushed = pushed
        self._named = named or pushed
        self._environments = environments
        #: Called before :meth:`of` for what comes from outside; costs nothing unless this server
        #: has not reached the catalog yet.
        self.look = look

    def of(self, name: str) -> Source:
        """Return the source that answers for a repository, whether or not it exists."""
        if name.startswith((ENVIRONMENTS, BUILDS)):
            return self._built
        return self._named if self.is_environment(name) else self.pushed

    def is_environment(self, name: str) -> bool:
        """Tell whether a repository is a named environment."""
        return self._environments is not None and name in self._environments

    def environments_after(self, last: str, limit: int) -> list[str]:
        """Return the next named environments, in the order of ``/v2/_catalog``."""
        if self._environments is None:
            return []
        return self._environments.names_after(last, limit)

    def refusal(self, name: str) -> GeneratedRepository:
        """Return why nobody can push to a repository that is not writable."""
        if self.is_environment(name):
            return EnvironmentRepository(name)
        return GeneratedRepository(name)
