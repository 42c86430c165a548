"""Making answers new before they expire, and images before they are asked for."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from builder.build.image import FLAVOURS, Flavour
from builder.errors import BuilderError
from builder.ports import Store
from registry.maintenance.parallel import for_each
from registry.sources.built import ENVIRONMENTS, ImagePulls
from registry.storage.layout import image_key, split_tag_key, tag_keys_below, used_key

#: How many are made at once: what somebody waits for needs room beside them.
_PARALLEL: Final = 4
#: What most clients take.
_PREWARMED: Final[Flavour] = "oci-zstd"


@dataclass(frozen=True, slots=True)
class _Answer:
    """A tag of an environment that was pulled."""

    repository: str
    tag: str
    #: The build it leads to.
    key: str
    #: When it expires, in seconds since 1970.
    fresh_until: float


class Renewal:
    """Renews what was pulled, and makes what is wanted beforehand."""

    def __init__(self, store: Store, pulls: ImagePulls, now: Callable[[], float]) -> None:
        """Make the renewal.

        Args:
            store: Knows what was pulled, and when.
            pulls: Makes it anew.
            now: The time in seconds since 1970.
        """
        self._store = store
        self._pulls = pulls
        self._now = now

    async def renew(self, *, within_seconds: float, used_seconds: float) -> None:
        """Make every answer new that expires soon, of what was pulled lately.

        Args:
            within_seconds: How soon.
            used_seconds: How lately.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        soon = self._now() + within_seconds
        due = (answer async for answer in self._answers() if answer.fresh_until < soon)
        await for_each(due, lambda answer: self._renew(answer, used_seconds), _PARALLEL)

    async def prewarm(self, references: Sequence[str]) -> None:
        """Make the images of references such as ``env/numpy.pandas`` or ``env/numpy:py3.12``."""

        async def make(reference: str) -> None:
            repository, _, tag = reference.partition(":")
            await self._make(repository, tag or "latest", _PREWARMED, max_age=None)

        async def listed() -> AsyncIterator[str]:
            for reference in references:
                yield reference

        await for_each(listed(), make, _PARALLEL)

    async def _renew(self, answer: _Answer, used_seconds: float) -> None:
        used = await self._store.read(used_key(answer.key))
        if used is None or json.loads(used)["at"] < self._now() - used_seconds:
            return
        max_age: float | None = 0
        for flavour in FLAVOURS:
            if await self._store.size(image_key(answer.key, flavour)) is None:
                continue
            key = await self._make(answer.repository, answer.tag, flavour, max_age=max_age)
            max_age = None  # solved once: the other flavours are of the same build
            # Else what nobody has pulled since would not be renewed a second time.
            if key is not None and await self._store.size(used_key(key)) is None:
                await self._store.write(used_key(key), used)

    async def _make(
        self, repository: str, tag: str, flavour: Flavour, *, max_age: float | None
    ) -> str | None:
        try:
            return await self._pulls.keep(repository, tag, flavour, max_age=max_age)
        except BuilderError as exc:  # logged where it was raised; the old answer stays
            structlog.get_logger().info(
                "failed to renew", repository=repository, tag=tag, error=exc.message
            )
            return None

    async def _answers(self) -> AsyncIterator[_Answer]:
        async for entry in self._store.entries(tag_keys_below(ENVIRONMENTS)):
            data = await self._store.read(entry.key)
            if data is None:  # deleted since it was listed
                continue
            found = json.loads(data)
            if found["fresh_until"] is not None:
                repository, tag = split_tag_key(entry.key)
                yield _Answer(repository, tag, found["key"], found["fresh_until"])
