"""Tags of repositories: what they point to, and in which order they are listed.

Which tags point to a manifest is written down beside them, since the manifest takes them along when
it is deleted::

    _tagged/<digest>/<tag>      written first; may be out of date
    _tags/<tag>                 what counts
"""

import asyncio
import json
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from builder.oci.digest import Digest, parse_digest
from builder.ports import Store
from registry.content.names import RepositoryName, TagName
from registry.storage.layout import tag_key, tagged_prefix, tags_prefix


class Tags:
    """Reads and writes tags of pushed manifests; of two that set one tag the last one counts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: A tag is not moved while those of a manifest are removed: it would be lost. Another
        #: server may still move it in the moment between reading it and removing it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, repository: RepositoryName, tag: TagName) -> Digest | None:
        """Return what a tag points to, or ``None`` if there is no such tag."""
        data = await self._store.read(tag_key(repository, tag))
        return parse_digest(json.loads(data)["digest"]) if data is not None else None

    async def set(self, repository: RepositoryName, tag: TagName, digest: Digest) -> None:
        """Point a tag to a manifest; idempotent."""
        async with self._lock(repository):
            await self._store.write(f"{tagged_prefix(repository, digest)}{tag}", b"")
            data = json.dumps({"digest": digest}).encode()
            await self._store.write(tag_key(repository, tag), data)

    async def remove(self, repository: RepositoryName, tag: TagName) -> bool:
        """Remove a tag, and tell whether it was there."""
        async with self._lock(repository):
            digest = await self.get(repository, tag)
            if digest is None:
                return False
            await self._store.delete(tag_key(repository, tag))
            await self._store.delete(f"{tagged_prefix(repository, digest)}{tag}")
            return True

    async def remove_all(self, repository: RepositoryName, digest: Digest) -> None:
        """Remove all tags that point to a manifest."""
        prefix = tagged_prefix(repository, digest)
        async with self._lock(repository):
            async for name in names_after(self._store, prefix):
                tag = TagName(name)
                if await self.get(repository, tag) == digest:
                    await self._store.delete(tag_key(repository, tag))
                await self._store.delete(f"{prefix}{tag}")

    async def page(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        """Return up to ``limit`` tags after ``last``, in ASCII order, and whether more follow."""
        return await page_of(names_after(self._store, tags_prefix(repository), last), limit)

    def _lock(self, repository: RepositoryName) -> asyncio.Lock:
        lock = self._locks.get(repository)
        if lock is None:
            lock = self._locks[repository] = asyncio.Lock()
        return lock


async def names_after(store: Store, prefix: str, last: str = "") -> AsyncIterator[str]:
    """Yield what follows ``prefix`` in the keys of a store, in order, from after ``last`` on."""
    async for entry in store.entries(prefix, f"{prefix}{last}" if last else ""):
        yield entry.key.removeprefix(prefix)


async def page_of(names: AsyncIterator[str], limit: int) -> tuple[list[str], bool]:
    """Return the first ``limit`` names, and whether there are more."""
    page: list[str] = []
    if limit == 0:
        return page, False
    async for name in names:
        if len(page) == limit:
            return page, True
        page.append(name)
    return page, False
