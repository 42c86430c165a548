"""Locked builds by their keys: all that is known of one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from builder.lock import Lock
from builder.platforms import Subdir
from builder.ports import Store
from registry.errors import BuildUnknown
from registry.images.blocked import BlockedBuilds
from registry.images.images import ImageBuilds
from registry.images.inventory import BuiltFlavour, BuiltFlavours
from registry.images.pins import Pins
from registry.storage.layout import log_key

_KEY: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a build."""

    lock: Lock
    images: Sequence[BuiltFlavour]
    is_pinned: bool
    #: The platforms that this server builds for, and this build is not for.
    left_out: Sequence[Subdir]


def require_key(text: str) -> None:
    """Return if ``text`` can be the key of a build.

    Raises:
        BuildUnknown: It cannot.
    """
    if not _KEY.fullmatch(text):
        raise BuildUnknown(text)


class BuildCatalog:
    """Finds builds by their keys."""

    def __init__(
        self,
        store: Store,
        builds: ImageBuilds,
        images: BuiltFlavours,
        pins: Pins,
        platforms: Sequence[Subdir],
        blocked: BlockedBuilds,
    ) -> None:
        #: Which builds nobody may have.
        self.blocked = blocked
        self._platforms = platforms
        self._store = store
        self._builds = builds
        self._images = images
        self._pins = pins

    async def lock(self, key: str) -> Lock:
        """Return the lock of a build.

        Raises:
            BuildUnknown: There is none.
            BuildBlocked: Nobody may have it.
        """
        require_key(key)
        lock = await self._builds.records.lock(key)
        if lock is None:
            raise BuildUnknown(key)
        await self.blocked.require(key)
        return lock

    async def describe(self, key: str) -> Description:
        """Return what is known of a build.

        Raises:
            BuildUnknown: There is none.
            BuildBlocked: Nobody may have it.
        """
        lock = await self.lock(key)
        left_out = [subdir for subdir in self._platforms if subdir not in lock.platforms]
        return Description(
            lock, await self._images.of(lock), await self._pins.is_pinned(key), left_out
        )

    async def log(self, key: str) -> bytes:
        """Return how a build was made, as text; a build of a pull has none.

        Raises:
            BuildUnknown: There is none.
            BuildBlocked: Nobody may have it.
        """
        await self.lock(key)
        return await self._store.read(log_key(key)) or b""
