"""Repositories whose content clients pushed."""

from dataclasses import replace

from builder.oci.digest import Digest
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName
from registry.content.pushed_blobs import PushedBlobs
from registry.content.referrers import Referrers
from registry.content.repositories import Repositories
from registry.sources.source import JsonDescriptor, Reference


class PushedSource:
    """Answers with what was pushed, as it was pushed; implements :class:`~.source.Source`."""

    is_writable = True

    def __init__(
        self, repositories: Repositories, blobs: PushedBlobs, referrers: Referrers
    ) -> None:
        self._repositories = repositories
        self._blobs = blobs
        self._referrers = referrers

    def cached(self, reference: Reference, *, index: bool) -> Manifest | None:
        """Return ``None``: another server may have moved the tag."""
        return None

    def cached_manifest(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        """Return ``None``: whether a repository has it is known to the store alone."""
        return None

    async def resolve(
        self, reference: Reference, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return what a tag points to; see :meth:`.source.Source.resolve`."""
        digest = await self._repositories.resolve(reference.repository, reference.tag)
        return await self.manifest(reference.repository, digest)

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        """Return a manifest; see :meth:`.source.Source.manifest`."""
        # The annotation of a pushed copy proves nothing about a build.
        return replace(await self._repositories.manifest(repository, digest), build=None)

    async def has_manifest(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a repository has a manifest."""
        return await self._repositories.has(repository, digest)

    async def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a blob, or the bytes of a manifest, were pushed to a repository."""
        if await self._blobs.has(repository, digest):
            return True
        return await self._repositories.has(repository, digest)

    async def want_blob(self, repository: RepositoryName, digest: Digest) -> None:
        """Keep a blob for a client that is about to push what needs it."""
        await self._blobs.want(repository, digest)

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Return a page of tags; see :meth:`.source.Source.tags`."""
        return await self._repositories.tags(repository, last, limit)

    async def referrers(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_type: str,
        last: str,
        *,
        timeout_seconds: float,
    ) -> tuple[list[JsonDescriptor], str]:
        """Return a page of what was pushed; see :meth:`.source.Source.referrers`."""
        return await self._referrers.page(repository, subject, artifact_type, last)

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        """Return ``False``: what was pushed is data that cannot be made again."""
        return False
