"""What refers to a manifest: signatures, bills of materials, attestations."""

import json
from typing import Any, Final

from builder.concurrency.single_flight import together
from builder.oci.digest import Digest
from builder.ports import Store
from registry.content.names import RepositoryName
from registry.storage.layout import referrers_prefix

#: How many referrers one page has at most, and how many bytes of them (but always one).
PAGE: Final = 500
_PAGE_BYTES: Final = 2 * 1024 * 1024
#: How many descriptors are read at once.
_READS: Final = 50


class Referrers:
    """Reads what :class:`registry.content.repositories.Repositories` has written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, repository: RepositoryName, subject: Digest, artifact_type: str, last: str
    ) -> tuple[list[dict[str, Any]], str]:
        """Return one page of descriptors, and ``last`` of the next one; empty if there are no more.

        Only this page is read. The subject need not exist; an empty ``artifact_type`` means all.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        prefix = referrers_prefix(repository, subject, artifact_type)
        after = f"{referrers_prefix(repository, subject)}{last}" if last else ""
        keys: list[str] = []
        async for entry in self._store.entries(prefix, after):
            if len(keys) > PAGE:
                break
            keys.append(entry.key)
        return await self._read(keys, referrers_prefix(repository, subject))

    async def _read(self, keys: list[str], base: str) -> tuple[list[dict[str, Any]], str]:
        page: list[dict[str, Any]] = []
        size_bytes = position = 0
        while position < min(len(keys), PAGE) and size_bytes < _PAGE_BYTES:
            some = keys[position : min(position + _READS, PAGE)]
            for data in await together(self._store.read(key) for key in some):
                if data is not None:  # deleted since it was listed
                    page.append(json.loads(data))
                    size_bytes += len(data)
            position += len(some)
        more = position < len(keys)
        return page, keys[position - 1].removeprefix(base) if more else ""
