"""What was asked for by name, read again from what was sent: to be shown beside what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from lru import LRU
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder.errors import BuilderError
from builder.inputs import read_request
from builder.lock import Lock
from builder.policy import EnvironmentPolicy
from builder.ports import Workers
from builder.rules.model import Manager
from builder.spec import EnvironmentSpec

#: What was sent.
Kind = Literal["specification", "lock", "list", "unreadable"]

#: So many files are remembered, each by its digest.
_REMEMBERED: Final = 2000
#: What is larger is read in another process; what is smaller would wait for builds there.
_SMALL_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class WantedPackage:
    """One thing that was asked for."""

    manager: Manager
    #: Normalized.
    name: str
    #: As it is written in canonical form, e.g. ``"numpy >=2"``.
    spec: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file asked for by name."""

    kind: Kind
    #: Empty of a lock, and of a list of exact packages.
    packages: tuple[WantedPackage, ...] = ()


_UNREADABLE: Final = Wanted("unreadable")


class WantedPackages:
    """Reads what versions were asked for by, and remembers it.

    Args:
        workers: Read large files.
        defaults: What the administrator offers.
        max_bytes: The largest file to read.
    """

    def __init__(self, workers: Workers, defaults: EnvironmentPolicy, max_bytes: int) -> None:
        self._workers = workers
        self._defaults = defaults
        self._max_bytes = max_bytes
        self._known: LRU[str, Wanted] = LRU(_REMEMBERED)
        self._reading = asyncio.Semaphore(1)

    async def of(self, sha256: str, data: Callable[[], Awaitable[bytes]]) -> Wanted:
        """Return what a file asked for; that it cannot be read any more is no error.

        Args:
            sha256: Hex digits of the file's digest.
            data: Returns the file.
        """
        known = self._known.get(sha256)
        if known is not None:
            return known
        try:
            found = await self._read(await data())
        except BuilderError as exc:  # the settings are others now, or a process was lost
            if exc.transient:
                return _UNREADABLE
            found = _UNREADABLE
        self._known[sha256] = found
        return found

    async def _read(self, data: bytes) -> Wanted:
        read = partial(read_request, max_bytes=self._max_bytes)
        if len(data) > _SMALL_BYTES:
            asked = await self._workers.run(read, data, self._defaults)
        else:
            async with self._reading:
                asked = await asyncio.to_thread(read, data, self._defaults)
        if isinstance(asked, Lock):
            return Wanted("lock")
        if not isinstance(asked, EnvironmentSpec):
            return Wanted("list")
        return Wanted("specification", _packages(asked))


def _packages(spec: EnvironmentSpec) -> tuple[WantedPackage, ...]:
    conda = [WantedPackage("conda", one.name, str(one)) for one in spec.requirements]
    names = ((str(canonicalize_name(Requirement(text).name)), text) for text in spec.pip)
    return (*conda, *(WantedPackage("pypi", name, text) for name, text in names))
