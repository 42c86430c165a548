"""How a build is made at a path: the port, and its drivers.

::

    hardlink    a directory, whose files are shared with unpacked packages
    squashfs    a file, that is mounted

Paths are of the root, absolute where they are called ``at``. A driver is used by one process at a
time, which has the root's lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.install.prefix.installation import InstallationPlan
from registry.prefixes.finding import Mark
from registry.prefixes.seen import Seen


@dataclass(frozen=True, slots=True)
class Found:
    """What a driver has made at a path, some time."""

    #: ``None``: it is whole no more, and has to be made anew.
    mark: Mark | None
    #: Why, for people; empty if it is whole.
    damage: str = ""


class Driver(Protocol):
    """Makes prefixes at their paths, and takes them away."""

    async def found(self, seen: Seen) -> Mapping[str, Found]:
        """Return all that the driver has made in its root, by path relative to the root.

        It is looked at, not remembered, once at the beginning of each pass; nothing is changed.
        Whatever others have put there is not in it.

        Args:
            seen: What is in the root, as the pass has looked at it.

        Raises:
            OSError: The root cannot be read.
        """
        ...

    async def make(self, plan: InstallationPlan, making: Path, at: Path) -> int:
        """Make a whole prefix at ``at``, and return how many bytes were written.

        What the driver has made there before, in whatever state, is replaced without a moment
        without it, where the system can do that. When it raises, ``at`` is as it was. It may be
        cancelled.

        Args:
            plan: Its packages are all unpacked.
            making: An empty directory on the file system of the root, which the caller removes
                afterwards with whatever is left there.
            at: The directory that it is in is there.

        Raises:
            BuilderError: The prefix cannot be made: too long, a package that is not whole.
            PrefixUnusable: It cannot be put there; something of others is in the way.
            OSError: No room, for example.
        """
        ...

    async def attach(self, at: Path) -> None:
        """Have a whole prefix be usable: mounted, say. Is called for each that is wanted.

        Raises:
            PrefixUnusable: It cannot be.
        """
        ...

    async def retire(self, at: Path, trash: Path, *, now: bool) -> None:
        """Take what the driver has made from ``at``; others remove it later.

        Args:
            at: The path of something :meth:`found`.
            trash: Where it goes; does not exist, and is on the same file system.
            now: It has to go even if it is in use.

        Raises:
            PrefixUnusable: It is in use; the next pass tries again.
            OSError: It cannot be moved.
        """
        ...
