"""Named environments: ``<namespace>/<environment>`` to the builds that its versions are.

::

    analytics/forecast:v7-bare
      ├─ Directory            in memory: where the environment leads to
      ├─ its tag              → the key of a version, and which variant of its image
      └─ BuiltSource          build/<key>:bare, as anybody would pull it

What is pulled is what ``build/<key>`` has, byte for byte, and comes from the same memory. The
environment alone decides which keys there are, and so which digests may be read here.
"""

import bisect
import datetime
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from lru import LRU

from builder.errors import BuilderError, StoreUnavailable
from builder.oci.digest import Digest
from builder.ports import Store
from builder.rules.bases import base_violations
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, parse_repository
from registry.errors import ManifestUnknown, NameInvalid, NameUnknown, RegistryError
from registry.images.blocked import BlockedBuilds
from registry.images.rules import NoRules, RulesOf
from registry.sources.directory import Directory, Pointer, parse_pointer
from registry.sources.environment_tags import build_of, parse_environment_tag, tags_of
from registry.sources.holdings import Holdings
from registry.sources.source import BUILDS, ENVIRONMENTS, JsonDescriptor, Reference, Source
from registry.storage.layout import environment_key, namespace_key

_REMEMBERED: Final = 10_000
#: The part of a tag that means an image without its base.
_BARE: Final = "bare"
#: Lists of tags that are remembered: of an environment with many versions they are long.
_LISTS: Final = 100


class EnvironmentSource:
    """Answers for named environments; implements :class:`~.source.Source`.

    Args:
        directory: Where environments lead to.
        built: Has the images of builds.
        holdings: Knows what builds consist of.
        blocked: Knows which builds nobody may have.
        now: The time in seconds since 1970.
        rules_of: Knows on which bases an environment may be.
        is_followed: Tells whether the directory is kept as the catalog is. While it is not, nothing
            is answered without :meth:`.source.Sources.look`.
    """

    is_writable = False

    def __init__(
        self,
        directory: Directory,
        built: Source,
        holdings: Holdings,
        blocked: BlockedBuilds,
        now: Callable[[], float],
        *,
        rules_of: RulesOf | None = None,
        is_followed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rules_of = rules_of or NoRules()
        self._directory = directory
        self._built = built
        self._holdings = holdings
        self._blocked = blocked
        self._now = now
        self._is_followed = is_followed
        # Each with the pointer that it is right for: another one means to look again.
        self._builds: LRU[Reference, tuple[Pointer, Reference]] = LRU(_REMEMBERED)
        self._held: LRU[tuple[RepositoryName, Digest], tuple[Pointer, str]] = LRU(_REMEMBERED)
        self._tags: LRU[RepositoryName, tuple[Pointer, Sequence[str]]] = LRU(_LISTS)

    async def resolve(
        self, reference: Reference, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return the manifest behind a tag; see :meth:`.source.Source.resolve`."""
        build = self._build(self._pointer(reference.repository), reference)
        return await self._built.resolve(build, index=index, timeout_seconds=timeout_seconds)

    def cached(self, reference: Reference, *, index: bool) -> Manifest | None:
        """Return what is behind a tag without waiting; see :meth:`.source.Source.cached`."""
        pointer = self._directory.find(reference.repository)
        if pointer is None or not self._is_followed():
            return None
        try:
            build = self._build(pointer, reference)
        except (BuilderError, RegistryError):
            return None
        return self._built.cached(build, index=index)

    def cached_manifest(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        """Return a manifest in memory; see :meth:`.source.Source.cached_manifest`."""
        pointer = self._directory.find(repository)
        if pointer is None or not self._is_followed() or not self._is_held(pointer, digest):
            return None
        return self._built.cached_manifest(repository, digest)

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        """Return a manifest; see :meth:`.source.Source.manifest`."""
        if not await self.has_manifest(repository, digest):
            raise ManifestUnknown(f"no version of '{repository}' has a manifest {digest}")
        return await self._built.manifest(repository, digest)

    async def has_manifest(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a manifest is of a version of the environment, or refers to one."""
        if not await self._holds(repository, digest):
            return False
        await self._blocked.require_manifest(digest)
        return True

    async def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a blob is of a version of the environment, or of what refers to one."""
        if not await self._holds(repository, digest):
            return False
        await self._blocked.require_blob(digest)
        return True

    async def _holds(self, repository: RepositoryName, digest: Digest) -> bool:
        pointer = self._directory.find(repository)
        if pointer is None:
            return False
        if self._is_held(pointer, digest):
            return True
        key = await self._holdings.holder(_keys(pointer), digest)
        if key is None:
            return False
        self._held[repository, digest] = (pointer, key)
        return True

    async def want_blob(self, repository: RepositoryName, digest: Digest) -> None:
        """Do nothing: nobody pushes to these repositories."""

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Return the tags, without those of variants; see :meth:`.source.Source.tags`."""
        pointer = self._pointer(repository)
        known = self._tags.get(repository)
        if known is None or known[0] is not pointer:
            known = self._tags[repository] = (pointer, tags_of(pointer))
        found = known[1]
        start = bisect.bisect_right(found, last) if last else 0
        return list(found[start : start + limit]), bool(limit) and len(found) > start + limit

    async def referrers(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_type: str,
        last: str,
        *,
        timeout_seconds: float,
    ) -> tuple[list[JsonDescriptor], str]:
        """Return the artifacts of an image; see :meth:`.source.Source.referrers`."""
        if not await self.has_manifest(repository, subject):
            return [], ""
        return await self._built.referrers(
            repository, subject, artifact_type, last, timeout_seconds=timeout_seconds
        )

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Make a lost blob or manifest again; see :meth:`.source.Source.restore`."""
        return await self._built.restore(digest, timeout_seconds=timeout_seconds)

    def _pointer(self, repository: RepositoryName) -> Pointer:
        pointer = self._directory.find(repository)
        if pointer is None:  # it was renamed or deleted a moment ago
            raise NameUnknown(f"there is no environment '{repository}' any more")
        return pointer

    def _build(self, pointer: Pointer, reference: Reference) -> Reference:
        """Return the tag of a build that a tag of an environment stands for.

        Raises:
            MalformedTag: It is not written as tags of environments are.
            ManifestUnknown: There is no such version.
            PolicyRefused: It is to be without a base, and a policy wants one.
        """
        if _BARE in reference.tag.split("-"):
            rules = self._rules_of.rules(pointer.namespace, pointer.environment)
            for violation in base_violations(rules.bases, None):
                if violation.mode == "enforce":
                    raise violation.error()
        known = self._builds.get(reference)
        if known is not None and known[0] is pointer:
            return known[1]
        today = datetime.datetime.fromtimestamp(self._now(), datetime.UTC).date()
        tag = parse_environment_tag(reference.tag, today=today)
        repository = RepositoryName(f"{BUILDS}{build_of(pointer, tag.which)}")
        build = Reference(repository, tag.variant.tag, reference.flavour)
        self._builds[reference] = (pointer, build)
        return build

    def _is_held(self, pointer: Pointer, digest: Digest) -> bool:
        """Tell whether it is known that a version has a blob."""
        name = RepositoryName(f"{pointer.namespace}/{pointer.environment}")
        known = self._held.get((name, digest))
        if known is None:
            return False
        if known[0] is pointer:
            return True
        if known[1] not in pointer.versions.values():
            return False
        self._held[name, digest] = (pointer, known[1])
        return True


class StoredPointers:
    """Reads from the store, while nothing else tells, what is private and where it leads to.

    For a server that has not reached the database since it was started: all others know it by
    memory, and then this costs nothing.

    Args:
        store: Has the documents.
        is_followed: Tells whether memory is kept as the catalog is.
        learn: Is told where a path leads to; ``None``: nowhere.
        is_namespace: Tells whether a namespace is known already.
        learn_namespace: Is told of a namespace. None is forgotten: what was private stays so until
            the database says that it is not.
    """

    def __init__(
        self,
        store: Store,
        is_followed: Callable[[], bool],
        learn: Callable[[str, Pointer | None], None],
        is_namespace: Callable[[str], bool],
        learn_namespace: Callable[[str], None],
    ) -> None:
        self._store = store
        self._is_followed = is_followed
        self._learn = learn
        self._is_namespace = is_namespace
        self._learn_namespace = learn_namespace

    async def look(self, repository: str) -> None:
        """Have memory know of a repository what it is of, and where it leads to.

        A store that does not answer changes nothing.

        Args:
            repository: As it is written; perhaps no name at all.

        Raises:
            StoreUnavailable: The store does not answer, and nothing says that the repository is
                not in a namespace.
        """
        if self._is_followed() or not _is_repository(repository):
            return
        namespace = repository.partition("/")[0]
        key = namespace_key(namespace)
        if not self._is_namespace(namespace) and await self._store.size(key) is not None:
            self._learn_namespace(namespace)
        if not is_path(repository):
            return
        try:
            data = await self._store.read(environment_key(repository))
        except StoreUnavailable as exc:
            structlog.get_logger().warning("failed to read a pointer", error=exc.message)
            return
        self._learn(repository, parse_pointer(data) if data is not None else None)


def is_path(repository: str) -> bool:
    """Tell whether a named environment can have that name.

    >>> is_path("analytics/forecast"), is_path("env/numpy"), is_path("../x"), is_path("a/b/c")
    (True, False, False, False)
    """
    return repository.count("/") == 1 and _is_repository(repository)


def _is_repository(name: str) -> bool:
    """Tell whether images that are not made here can have that name."""
    if name.startswith((ENVIRONMENTS, BUILDS)):
        return False
    try:
        parse_repository(name)
    except NameInvalid:
        return False
    return True


def _keys(pointer: Pointer) -> Sequence[str]:
    """Return the keys of all versions, each once: the active one first, then from the newest on."""
    keys = [pointer.versions[number] for number in sorted(pointer.versions, reverse=True)]
    return list(dict.fromkeys([*([pointer.active] if pointer.active else []), *keys]))
