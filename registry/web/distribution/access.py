"""What may be read through a repository."""

from builder.oci.digest import Digest
from registry.content.names import RepositoryName
from registry.web.services import Services


async def is_readable_blob(services: Services, repository: RepositoryName, digest: Digest) -> bool:
    """Tell whether a blob may be read through a repository, whether or not it is in the store.

    Through the repositories of images made here, all that belongs to such images; through others,
    what was pushed to them.
    """
    if services.pulls.is_generated(repository):
        return await services.pulls.made(digest)
    if await services.pushed_blobs.has(repository, digest):
        return True
    return await services.repositories.has(repository, digest)


async def is_readable_manifest(
    services: Services, repository: RepositoryName, digest: Digest
) -> bool:
    """Tell so of a manifest."""
    if services.pulls.is_generated(repository):
        return await services.pulls.made(digest)
    return await services.repositories.has(repository, digest)
