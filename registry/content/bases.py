"""Base images of environments that were pushed to this registry."""

from builder.concurrency.single_flight import together
from builder.errors import BaseImageError, InvalidDigest
from builder.fetch.base_image import PUSHED_SCHEME
from builder.keys import base_part_key, blob_key
from builder.oci.digest import Digest, is_digest, parse_digest
from builder.ports import Store
from registry.content.documents import read_document
from registry.content.names import RepositoryName, parse_repository, parse_tag
from registry.content.repositories import Repositories
from registry.content.sweeping import wait_until_swept
from registry.errors import RegistryError
from registry.storage.layout import BASES, part_holder_key, pushed_key


class HeldBases:
    """Finds bases in repositories, and holds them; implements :class:`builder.ports.PushedBases`.

    What is held belongs to :data:`registry.storage.layout.BASES` from then on, as a blob belongs to
    a repository; nobody can push to that or delete from it.
    """

    def __init__(self, store: Store, repositories: Repositories) -> None:
        self._store = store
        self._repositories = repositories

    async def hold(self, repository: str, reference: str) -> Digest:
        """Return what a tag or digest leads to, and hold it; see the port."""
        try:
            name = parse_repository(repository)
            if is_digest(reference):
                top = parse_digest(reference)
            else:
                top = await self._repositories.resolve(name, parse_tag(reference))
            parts = await self._parts(name, top)
        except (RegistryError, InvalidDigest) as exc:
            raise BaseImageError(
                f"the base image '{reference}' of '{repository}' cannot be had: {exc.message}"
            ) from exc
        await together(self._store.write(part_holder_key(p, BASES, top), b"") for p in parts)
        await together(wait_until_swept(self._store, part) for part in parts)
        missing = [digest for digest in parts if await self._store.size(blob_key(digest)) is None]
        missing += [one for one in parts if not await self._is_of(name, one)]
        if missing:
            raise BaseImageError(
                f"the base image '{reference}' of '{repository}' lacks {missing[0]}: push it again"
            )
        base = f"{PUSHED_SCHEME}{repository}"
        await together(self._store.write(base_part_key(base, part), b"") for part in parts)
        return top

    async def _is_of(self, name: RepositoryName, digest: Digest) -> bool:
        """Tell whether a part was pushed there: a manifest can name what others have."""
        is_blob = await self._store.size(pushed_key(digest, name)) is not None
        return is_blob or await self._repositories.has(name, digest)

    async def _parts(self, name: RepositoryName, digest: Digest) -> list[Digest]:
        """Return a manifest and all below it; an index may be pushed for some platforms only."""
        manifest = await self._repositories.manifest(name, digest)
        document = read_document(manifest.data, manifest.media_type)
        found = [digest]
        for part in document.parts:
            if not document.is_index:
                found.append(part.digest)
            elif await self._repositories.has(name, part.digest):
                found += await self._parts(name, part.digest)
        return found
