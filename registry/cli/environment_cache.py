"""Environments on this machine, made once and shared by all that run in them.

They are prefixes of a root (:mod:`registry.prefixes`), one for each platform, in which they share
the files of their packages::

    <root>/builds/<key>     the environment; see :mod:`registry.cli.cache_use` for what is beside it
           .packages/…      unpacked packages, as in every root

An environment is used only if its mark says that it was made where it is, and the records of all
its packages are there: one that was moved, or of which packages are gone, is made anew.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from builder.platforms import Subdir
from registry.cli.cache_use import hold, put_aside, remove_aside, remove_unused
from registry.cli.remote import RemoteError
from registry.prefixes.finding import is_whole

_BUILDS: Final = "builds"
#: Where environments were that had no root.
_EARLIER: Final = "environments"
#: What programs of packages have room for.
_MAX_PATH_BYTES: Final = 255
#: Nobody else may write in a root.
_MODE: Final = 0o755
_LOOK_SECONDS: Final = 0.1

#: Has a whole prefix be at a path, where there is none, or one that is to be renewed.
Fill = Callable[[Path], None]


def cache_directory() -> Path:
    """Return where caches are: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    # A root has one name, and is known by it.
    return Path(place).expanduser().resolve() / "pullforge"


class EnvironmentCache:
    """Keeps environments by their keys; used by several processes at once.

    Args:
        directory: Where caches are; an absolute path, which does not have to exist.
        subdir: The platform of this machine.
        say: Tells people what is done.
    """

    def __init__(self, directory: Path, subdir: Subdir, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._subdir = subdir
        self._say = say
        #: Of the platform.
        self.root = directory / "prefixes" / subdir

    def find(self, key: str) -> Path | None:
        """Return where an environment is, if all of it is there."""
        prefix = self._prefix(key)
        return prefix if is_whole(str(prefix), key, self._subdir) else None

    def use(self, key: str) -> Path | None:
        """Return where an environment is, if all of it is there; it stays as long as it is used.

        That is until this process has ended, and what it starts or becomes.
        """
        found = self.find(key)
        if found is None:
            return None
        hold(found)
        return self.find(key)  # it may have been removed before it was held

    def remove_unused(self, days: int) -> None:
        """Remove what was not used for some days; nothing is raised."""
        homes = [self.root / _BUILDS, *self._directory.glob(f"{_EARLIER}/*")]
        remove_unused(homes, days, self._say)

    def make(self, key: str, fill: Fill, *, renew: bool = False) -> Path:
        """Return where an environment is, made if it is not there, or with ``renew`` anyhow.

        It stays as long as it is used, as by :meth:`use`. Of several processes that want it, one
        makes it and the others wait. Nothing is in its place before it is whole; a process that is
        killed leaves what the next one removes.

        Raises:
            RemoteError: It cannot be fetched, or there is no room for it.
        """
        prefix = self._prefix(key)
        if len(os.fsencode(prefix)) > _MAX_PATH_BYTES:
            raise RemoteError(
                f"{prefix} is longer than {_MAX_PATH_BYTES} characters: set XDG_CACHE_HOME to a"
                " shorter path"
            )
        try:
            for directory in (self.root, prefix.parent):
                directory.mkdir(_MODE, parents=True, exist_ok=True)
            with self._locked(prefix.with_name(f"{key}.lock")):
                if self.find(key) is None:
                    put_aside(prefix)
                    fill(prefix)
                elif renew:
                    fill(prefix)
                remove_aside(prefix)
                hold(prefix)
                return prefix
        except OSError as exc:
            raise RemoteError(
                f"{exc.filename or prefix} cannot be written: {exc.strerror or exc}"
            ) from exc

    def _prefix(self, key: str) -> Path:
        return self.root / _BUILDS / key

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Keep others waiting who make the same; the kernel forgets it when a process dies."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            is_told = False
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not is_told:
                        self._say("waiting for another process that makes it")
                    is_told = True
                    time.sleep(_LOOK_SECONDS)
            yield
        finally:
            os.close(handle)
