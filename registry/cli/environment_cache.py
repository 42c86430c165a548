"""Environments on this machine, unpacked once and shared by all that run in them.

::

    <root>/<key>/<platform>/            the environment, with pullforge.json once it is whole
                 <platform>.lock        held by whoever makes it
                 <platform>.used        held by whoever runs in it
                 .unpacking-…/          what is under way; whoever comes next removes what is left

An environment stands where it will be run, since its own path is written into its files. It is
used only with ``pullforge.json`` in it, which is written last, and says where that was: one that
was moved, or of which packages are gone, is made anew.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from registry.cli.cache_use import UNFINISHED, hold, remove_unfinished, remove_unused
from registry.cli.output import plain
from registry.cli.remote import RemoteError
from registry.cli.unpacking import unpack

_FORMAT: Final = 1
_MARK: Final = "pullforge.json"
#: What ``conda-unpack`` finds room for in programs.
_MAX_PATH_BYTES: Final = 255
_LOOK_SECONDS: Final = 0.1
_UNPACK_SECONDS: Final = 600

#: Puts the archive of an environment at a path, verified, and returns its digest.
Fetch = Callable[[Path], str]


def cache_root() -> Path:
    """Return where environments are: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(place).expanduser().absolute() / "pullforge" / "environments"


class EnvironmentCache:
    """Keeps environments by their keys; used by several processes at once.

    Args:
        root: Where they are; an absolute path, which does not have to exist.
        say: Tells people what is done.
    """

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self._root = root
        self._say = say

    def find(self, key: str, platform: str) -> Path | None:
        """Return where an environment is, if all of it is there."""
        prefix = self._root / key / platform
        try:
            mark = json.loads((prefix / _MARK).read_bytes())
            whole = mark["records"] == _records(prefix) and (prefix / "bin/activate").is_file()
            known = (mark["format"], mark["key"], mark["path"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return prefix if whole and known == (_FORMAT, key, str(prefix)) else None

    def use(self, key: str, platform: str) -> Path | None:
        """Return where an environment is, if all of it is there; it stays as long as it is used.

        That is until this process has ended, and what it starts or becomes.
        """
        found = self.find(key, platform)
        if found is None:
            return None
        hold(found)
        return self.find(key, platform)  # it may have been removed before it was held

    def remove_unused(self, days: int) -> None:
        """Remove what was not used for some days; nothing is raised."""
        remove_unused(self._root, days, self._say)

    def make(self, key: str, platform: str, fetch: Fetch, *, renew: bool = False) -> Path:
        """Return where an environment is, made if it is not there, or with ``renew`` anyhow.

        It stays as long as it is used, as by :meth:`use`. Of several processes that want it, one
        makes it and the others wait. Nothing is in its place before it is whole; a process that is
        killed leaves what the next one removes.

        Raises:
            RemoteError: It cannot be fetched, or there is no room for it.
        """
        home = self._root / key
        prefix = home / platform
        if len(os.fsencode(prefix)) > _MAX_PATH_BYTES:
            raise RemoteError(
                f"{prefix} is longer than {_MAX_PATH_BYTES} characters: set XDG_CACHE_HOME to a"
                " shorter path"
            )
        try:
            home.mkdir(parents=True, exist_ok=True)
            with self._locked(home / f"{platform}.lock"):
                found = None if renew else self.find(key, platform)
                if found is None:
                    remove_unfinished(prefix)
                    self._fill(prefix, key, fetch)
                hold(prefix)
                return prefix
        except OSError as exc:
            raise RemoteError(
                f"{exc.filename or prefix} cannot be written: {exc.strerror or exc}"
            ) from exc

    def _fill(self, prefix: Path, key: str, fetch: Fetch) -> None:
        name = f"{UNFINISHED}{prefix.name}-"
        with tempfile.TemporaryDirectory(
            prefix=name, dir=prefix.parent, ignore_cleanup_errors=True
        ) as scratch:
            archive, unpacked, old = (Path(scratch) / one for one in ("archive", "new", "old"))
            digest = fetch(archive)
            self._say("unpacking")
            unpack(archive, unpacked)
            archive.unlink()
            if os.path.lexists(prefix):
                (prefix / _MARK).unlink(missing_ok=True)
                prefix.rename(old)
            unpacked.rename(prefix)
            _put_in_order(prefix)
            mark = {
                "format": _FORMAT,
                "key": key,
                "path": str(prefix),
                "archive": digest,
                "records": _records(prefix),
            }
            _write(prefix / _MARK, json.dumps(mark))

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


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _records(prefix: Path) -> dict[str, int]:
    """Return the sizes of what conda notes of each package, by file name."""
    with os.scandir(prefix / "conda-meta") as entries:
        return {one.name: one.stat().st_size for one in entries if one.name.endswith(".json")}


def _put_in_order(prefix: Path) -> None:
    """Have the environment's own ``conda-unpack`` write into it where it is.

    Raises:
        RemoteError: It could not.
    """
    # Python's own directory of scripts stays on its path: what it imports lies beside it.
    command = [sys.executable, "-E", "-s", "-B", str(prefix / "bin" / "conda-unpack")]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_UNPACK_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise RemoteError(f"conda-unpack in {prefix} has not ended in time") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise RemoteError(
            f"conda-unpack failed in {prefix}: {plain(said[-1]) if said else done.returncode}"
        )


def _write(path: Path, text: str) -> None:
    """Write a file that is there as a whole, or not at all."""
    unfinished = path.with_name(f".{path.name}")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
