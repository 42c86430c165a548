"""Making answers new before they expire, and images before they are asked for."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import structlog

from builder.build.image import FLAVOURS, Flavour
from builder.errors import BuilderError
from builder.ports import Store
from registry.content.names import RepositoryName, TagName
from registry.images.tag_records import TagRecord, TagRecords
from registry.images.usage import last_use, note_use
from registry.maintenance.parallel import for_each
from registry.sources.built import BuiltSource
from registry.sources.source import ENVIRONMENTS, Reference
from registry.storage.layout import image_key

#: How many are made at once: what somebody waits for needs room beside them.
_PARALLEL: Final = 4
#: What most clients take.
_PREWARMED: Final[Flavour] = "oci-zstd"


class Renewal:
    """Renews what was pulled, and makes images beforehand; ``now`` gives seconds since 1970."""

    def __init__(self, store: Store, source: BuiltSource, now: Callable[[], float]) -> None:
        self._store = store
        self._source = source
        self._now = now

    async def renew(self, *, within_seconds: float, used_seconds: float) -> None:
        """Renew what expires ``within_seconds`` and was pulled in the last ``used_seconds``.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        soon = self._now() + within_seconds
        due = (
            found
            async for found in TagRecords(self._store).below(ENVIRONMENTS)
            if found[2].fresh_until is not None and found[2].fresh_until < soon
        )
        await for_each(due, lambda found: self._renew(*found, used_seconds), _PARALLEL)

    async def prewarm(self, references: Sequence[str]) -> None:
        """Make the images of references such as ``env/numpy.pandas`` or ``env/numpy:py3.12``."""

        async def make(reference: str) -> None:
            repository, _, tag = reference.partition(":")
            await self._make(repository, tag or "latest", _PREWARMED, max_age=None)

        async def listed() -> AsyncIterator[str]:
            for reference in references:
                yield reference

        await for_each(listed(), make, _PARALLEL)

    async def _renew(
        self, repository: str, tag: str, record: TagRecord, used_seconds: float
    ) -> None:
        used = await last_use(self._store, record.key)
        if used is None or used < self._now() - used_seconds:
            return
        max_age: float | None = 0
        for flavour in FLAVOURS:
            if await self._store.size(image_key(record.key, flavour)) is None:
                continue
            key = await self._make(repository, tag, flavour, max_age=max_age)
            max_age = None  # solved once: the other flavours are of the same build
            # Else what nobody has pulled since would not be renewed a second time.
            if key is not None and await last_use(self._store, key) is None:
                await note_use(self._store, key, used)

    async def _make(
        self, repository: str, tag: str, flavour: Flavour, *, max_age: float | None
    ) -> str | None:
        reference = Reference(RepositoryName(repository), TagName(tag), flavour)
        try:
            return await self._source.ensure(reference, max_age=max_age)
        except BuilderError as exc:  # logged where it was raised; the old answer stays
            structlog.get_logger().info(
                "failed to renew", repository=repository, tag=tag, error=exc.message
            )
            return None
