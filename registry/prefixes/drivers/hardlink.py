"""A prefix as a directory, whose files are shared with unpacked packages where that can be."""

import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from builder.install.prefix.installation import InstallationPlan
from builder.install.prefix.link import link
from registry.errors import PrefixUnusable
from registry.prefixes.drivers import Found
from registry.prefixes.exchange import exchange, rename_new
from registry.prefixes.finding import has_records, read_mark
from registry.prefixes.made import Made, count_lines, note_prefix, read_made
from registry.prefixes.root import Root
from registry.prefixes.seen import Seen
from registry.prefixes.threads import in_thread

_LINK_SECONDS: Final = 1800.0
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class HardlinkDriver:
    """Implements :class:`registry.prefixes.drivers.Driver`.

    Args:
        root: Is open, and locked by whoever uses this.
    """

    def __init__(self, root: Root) -> None:
        self._root = root

    async def found(self, seen: Seen) -> Mapping[str, Found]:
        """Return all prefixes: with our mark, or known by what they were when they were made."""
        return await in_thread(lambda: self._found(seen))

    async def make(self, plan: InstallationPlan, making: Path, at: Path) -> int:
        """Link a prefix aside, and rename it; see :meth:`registry.prefixes.drivers.Driver.make`."""
        out = making / "prefix"
        packages = self._root.packages

        def work() -> int:
            self._refuse_others(at)
            lines = count_lines(self._root.folder)
            report = link(plan, packages, out, str(at), self._root.options.link_options)
            self._put(out, at, report.bytes_written, lines)
            return report.bytes_written

        return await in_thread(work, _LINK_SECONDS)

    async def attach(self, at: Path) -> None:
        """Do nothing: a directory is usable as it is."""

    async def retire(self, at: Path, trash: Path, *, now: bool) -> None:
        """Move a prefix away; what runs from it goes on with the files that it has open."""
        del now  # a directory is never too busy to be moved

        def work() -> None:
            path = str(at.relative_to(self._root.path))
            with self._root.parent(path, is_ours=True, make=False) as directory:
                os.rename(at.name, trash, src_dir_fd=directory)

        await in_thread(work)

    def _found(self, seen: Seen) -> dict[str, Found]:
        root = self._root
        found = found_in(root.path, seen, read_made(root.folder))
        # Whoever may write above a prefix may have put another one there, with a mark like ours.
        for folder in {posixpath.dirname(path) for path in found} - {""}:
            if not self._is_closed_to_others(folder):
                damage = Found(None, "others may write where it is")
                found |= dict.fromkeys(_in_folder(found, folder), damage)
        return found

    def _is_closed_to_others(self, folder: str) -> bool:
        try:
            with self._root.parent(f"{folder}/prefix", is_ours=True, make=False):
                return True
        except (PrefixUnusable, FileNotFoundError):
            return False

    def _put(self, out: Path, at: Path, size_bytes: int, lines: int) -> None:
        """Put a whole prefix at its path; what is there of ours goes in exchange.

        Raises:
            PrefixUnusable: Something of others is there.
            OSError: It cannot be put there.
        """
        root = self._root
        path = str(at.relative_to(root.path))
        with root.parent(path, is_ours=True) as directory:
            making = os.open(out.parent, _DIRECTORY)
            try:
                is_ours = self._is_ours(path)
                note_prefix(root.folder, path, out.stat().st_ino, size_bytes, lines)
                try:
                    rename_new(making, out.name, directory, at.name)
                except FileExistsError:
                    if is_ours:
                        self._replace(making, out, directory, at)
                    else:
                        _replace_empty(making, out, directory, at)
                except OSError as exc:
                    if exc.errno != errno.EXDEV:
                        raise
                    raise PrefixUnusable(
                        f"{at.parent} is on another file system than its root {root.path}: have"
                        " builds be on the same one"
                    ) from exc
            finally:
                os.close(making)

    def _refuse_others(self, at: Path) -> None:
        """Refuse to make what could not be put in its place, before it is made.

        Raises:
            PrefixUnusable: Something of others is there.
        """
        if self._is_ours(str(at.relative_to(self._root.path))):
            return
        try:
            with os.scandir(at) as entries:
                is_free = not at.is_symlink() and next(entries, None) is None
        except FileNotFoundError:
            is_free = not at.is_symlink()
        except NotADirectoryError:
            is_free = False
        if not is_free:
            raise _in_the_way(at)

    def _is_ours(self, path: str) -> bool:
        try:
            found = (self._root.path / path).lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(found.st_mode):
            return False
        seen = Seen(directories={path: found.st_ino})
        return path in found_in(self._root.path, seen, read_made(self._root.folder))

    def _replace(self, making: int, out: Path, directory: int, at: Path) -> None:
        if not exchange(making, out.name, directory, at.name):
            os.rename(at.name, out.with_name("before"), src_dir_fd=directory)
            os.rename(out.name, at.name, src_dir_fd=making, dst_dir_fd=directory)


def _replace_empty(making: int, out: Path, directory: int, at: Path) -> None:
    """Put a prefix where an empty directory is, and nothing else.

    Raises:
        PrefixUnusable: Something is there.
    """
    try:
        os.rename(out.name, at.name, src_dir_fd=making, dst_dir_fd=directory)
    except OSError as exc:
        if exc.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise _in_the_way(at) from exc
        raise


def _in_folder(paths: Iterable[str], folder: str) -> list[str]:
    return [path for path in paths if posixpath.dirname(path) == folder]


def _in_the_way(at: Path) -> PrefixUnusable:
    return PrefixUnusable(f"{at} is in the way: it is not of this root, so move it elsewhere")


def found_in(root: Path, seen: Seen, made: Made) -> dict[str, Found]:
    """Return which of the directories that are where builds may be are prefixes of ours."""
    found: dict[str, Found] = {}
    for path, inode in seen.directories.items():
        at = f"{root}/{path}"
        mark = read_mark(at)
        if mark is None:
            known = made.prefixes.get(path)
            if known is not None and known[0] == inode:
                found[path] = Found(None, "its mark is gone")
        elif not has_records(at, mark):
            found[path] = Found(None, "records of packages are gone")
        else:
            found[path] = Found(mark)
    return found
