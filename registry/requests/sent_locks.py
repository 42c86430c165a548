"""Locks that are kept before anybody wants an image of them: read, completed, not built."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lru import LRU

from builder.errors import InputError
from builder.fetch.base_image import LAYOUT_SCHEME, PUSHED_SCHEME
from builder.inputs import PackageList
from builder.lock import Lock
from builder.ports import Progress
from builder.records import BaseReference
from builder.spec import EnvironmentSpec
from registry.images.images import ImageBuilds
from registry.requests.requests import BuildRequests

#: For so long, what a base's reference means is not asked again: locks come by thousands.
_BASE_SECONDS: Final = 300
_REMEMBERED: Final = 16


class SentLocks:
    """Turns files of other tools into locks of the store, as ``POST /api/v1/builds`` would.

    Args:
        requests: Read files, in worker processes.
        builds: Complete what channels know better, and keep locks.
        now: The time in seconds since 1970.
    """

    def __init__(
        self, requests: BuildRequests, builds: ImageBuilds, now: Callable[[], float]
    ) -> None:
        self._requests = requests
        self._builds = builds
        self._now = now
        #: What references meant, and when that was asked.
        self._bases: LRU[str, tuple[float, BaseReference]] = LRU(_REMEMBERED)

    async def keep(self, data: bytes) -> Lock:
        """Return the lock that ``data`` is; it is in the store, and its image need not be.

        Raises:
            InputError: It is no lock, or has what this server does not offer.
            BuilderError: A channel, the base or the store does not answer, or does not say enough.
        """
        asked = await self._requests.read(data)
        if isinstance(asked, EnvironmentSpec):
            raise InputError("this is no lock, but names packages that are to be solved")
        lock = asked if isinstance(asked, Lock) else await self._completed(asked)
        await self._builds.records.keep_lock(lock)
        return lock

    async def _completed(self, packages: PackageList) -> Lock:
        reference = packages.base
        if reference is None or reference.startswith((LAYOUT_SCHEME, PUSHED_SCHEME)):
            return await self._builds.complete(packages, _unheard)
        at, known = self._bases.get(reference, (0.0, None))
        if known is not None and self._now() < at + _BASE_SECONDS:
            packages = replace(packages, base=f"{known.name}@{known.digest}")
            return await self._builds.complete(packages, _unheard)
        lock = await self._builds.complete(packages, _unheard)
        if lock.base is not None:
            self._bases[reference] = (self._now(), lock.base)
        return lock


def _unheard(_progress: Progress, /) -> None:
    """Tell nobody how far it is."""
