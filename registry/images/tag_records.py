"""What is written down of a tag that was pulled: the build it led to, and for how long."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from builder.ports import Store
from registry.storage.layout import split_tag_key, tag_key, tag_keys_below, tags_prefix


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What a tag led to when it was pulled."""

    #: The key of a build, 32 hex digits.
    key: str
    #: The digest of the spec that the name stood for; empty for a variant of a locked build.
    spec: str
    #: In seconds since 1970, after which it is renewed; ``None``: it is right for ever.
    fresh_until: float | None


class TagRecords:
    """Reads and writes tags of images that are built here."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, repository: str, tag: str) -> TagRecord | None:
        """Return what a tag led to, or ``None`` if it was not pulled yet."""
        data = await self._store.read(tag_key(repository, tag))
        return TagRecord(**json.loads(data)) if data is not None else None

    async def put(self, repository: str, tag: str, record: TagRecord) -> None:
        """Write down what a tag leads to. Idempotent."""
        await self._store.write(tag_key(repository, tag), json.dumps(asdict(record)).encode())

    async def names(self, repository: str) -> list[str]:
        """Return the tags of a repository that were pulled, sorted."""
        prefix = tags_prefix(repository)
        return sorted([e.key.removeprefix(prefix) async for e in self._store.entries(prefix)])

    async def below(self, prefix: str) -> AsyncIterator[tuple[str, str, TagRecord]]:
        """Yield repository, tag and record of every tag of repositories below ``prefix``."""
        async for entry in self._store.entries(tag_keys_below(prefix)):
            repository, tag = split_tag_key(entry.key)
            record = await self.get(repository, tag)
            if record is not None:  # else deleted since it was listed
                yield repository, tag, record
