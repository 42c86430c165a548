"""What a root asks of a server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.install.prefix.installation import InstallationPlan
from builder.platforms import Subdir


@dataclass(frozen=True, slots=True)
class WantedVersion:
    """A version of an environment that the caller may see, and that is built."""

    namespace: str
    environment: str
    number: int
    #: Of its lock.
    key: str
    is_active: bool
    #: Seconds since 1970.
    created: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """All versions that are to be there, at one moment."""

    versions: tuple[WantedVersion, ...]
    #: Stands for all of it: equal etags, equal versions.
    etag: str
    #: Keys of builds that an administrator keeps from everybody: they go without a time of grace.
    blocked: frozenset[str] = frozenset()


class Server(Protocol):
    """Gives what the catalog says, and what prefixes are made of.

    All methods raise :class:`registry.errors.PrefixSourceUnavailable` with one sentence when the
    server cannot be reached or refuses.
    """

    async def wanted(
        self, only: Sequence[str], versions: int | None, known: str | None, wait_seconds: float
    ) -> Wanted | None:
        """Return what is to be there, or ``None`` if it is still what ``known`` stands for.

        Args:
            only: Globs ``namespace/environment``; none: everything that the caller may see.
            versions: How many built versions of each environment, the newest first, besides the
                active one; ``None``: all.
            known: The etag of what the caller knows.
            wait_seconds: How long to wait for something else than ``known``.
        """
        ...

    async def installation(self, version: WantedVersion, subdir: Subdir) -> InstallationPlan:
        """Return what a version installs."""
        ...

    async def package(self, version: WantedVersion, sha256: str, size_bytes: int, to: Path) -> None:
        """Put the archive of a package of a version at ``to``, verified."""
        ...

    async def bytecode(self, version: WantedVersion, subdir: Subdir, to: Path) -> None:
        """Put the bytecode of a version's modules at ``to``: a tar, compressed with zstd."""
        ...
