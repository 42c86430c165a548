"""Repositories that a caller may not know of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from builder.oci.digest import Digest
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, parse_repository
from registry.errors import NameUnknown, never_pushed
from registry.sources.source import JsonDescriptor, Reference, Source

#: Nobody can push there.
NOWHERE: Final = parse_repository("build/nowhere")


class HiddenSource:
    """Answers as for repositories that were never pushed; implements :class:`~.source.Source`.

    Whatever a repository has, the store is asked for a name that nobody can push to: so the answers
    are the same, and take as long.

    Args:
        pushed: Answers for repositories that were pushed.
    """

    is_writable = True

    def __init__(self, pushed: Source) -> None:
        self._pushed = pushed

    def cached(self, reference: Reference, *, index: bool) -> Manifest | None:
        """Return ``None``."""
        return None

    def cached_manifest(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        """Return ``None``."""
        return None

    async def resolve(
        self, reference: Reference, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Raise :class:`NameUnknown`."""
        nowhere = reference._replace(repository=NOWHERE)
        with _as_never_pushed(reference.repository):
            return await self._pushed.resolve(nowhere, index=index, timeout_seconds=timeout_seconds)

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        """Raise :class:`NameUnknown`."""
        with _as_never_pushed(repository):
            return await self._pushed.manifest(NOWHERE, digest)

    async def has_manifest(self, repository: RepositoryName, digest: Digest) -> bool:
        """Return ``False``."""
        return await self._pushed.has_manifest(NOWHERE, digest)

    async def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        """Return ``False``."""
        return await self._pushed.has_blob(NOWHERE, digest)

    async def want_blob(self, repository: RepositoryName, digest: Digest) -> None:
        """Do nothing."""

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Raise :class:`NameUnknown`."""
        with _as_never_pushed(repository):
            return await self._pushed.tags(NOWHERE, last, limit)

    async def referrers(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_type: str,
        last: str,
        *,
        timeout_seconds: float,
    ) -> tuple[list[JsonDescriptor], str]:
        """Return none."""
        return await self._pushed.referrers(
            NOWHERE, subject, artifact_type, last, timeout_seconds=timeout_seconds
        )

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Return ``False``."""
        return False


@contextmanager
def _as_never_pushed(repository: RepositoryName) -> Iterator[None]:
    try:
        yield
    except NameUnknown:
        raise never_pushed(repository) from None
