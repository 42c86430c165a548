"""A build is one file, which is mounted where the build is.

::

    <root>/.images/<path of the build>.squashfs   all there is on disk
    <root>/<path of the build>                    empty; the file is mounted there

Files lie apart from where they are mounted, so that autofs may have the directory of all builds.
What is mounted is looked at in each pass: after a machine has started again, or a FUSE process was
killed, the next pass mounts anew.
"""

import asyncio
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from builder.install.prefix.installation import InstallationPlan
from builder.install.prefix.link import LinkOptions, link
from builder.install.prefix.syncing import sync_directory
from registry.errors import PrefixUnusable
from registry.prefixes.drivers import Found
from registry.prefixes.drivers.squashfs_image import Compression, read_mark, write_image
from registry.prefixes.finding import FOLDER, parse_mark
from registry.prefixes.finding import read_mark as read_mounted_mark
from registry.prefixes.made import count_lines, note_prefix
from registry.prefixes.mounting import Mount, MountBusy, Mounting, mount, mounts, unmount
from registry.prefixes.seen import Seen

#: In the root; no template can name it.
IMAGES: Final = ".images"
SUFFIX: Final = ".squashfs"
#: The mark is looked at through these; FUSE says more after a dot.
_FILESYSTEMS: Final = ("squashfs", "fuse")


@dataclass(frozen=True, slots=True)
class SquashfsOptions:
    """How images are made and mounted."""

    #: ``never``: somebody else mounts them, autofs for example.
    mounting: Mounting = "never"
    #: A kernel before 4.14 knows ``gzip`` alone.
    compression: Compression = "zstd"
    #: Owner and modes of files. How files are shared matters to nobody, as they are copied then.
    link: LinkOptions = LinkOptions()  # noqa: RUF009 (frozen)


class SquashfsDriver:
    """Has each build in a file.

    Args:
        root: Absolute.
        packages: The directory of unpacked packages.
        options: How images are made and mounted.
    """

    def __init__(self, root: Path, packages: Path, options: SquashfsOptions) -> None:
        self._root = root
        self._packages = packages
        self._options = options
        #: As the pass found them, and has changed them since.
        self._mounts: dict[Path, Mount] = {}

    async def found(self, seen: Seen) -> Mapping[str, Found]:
        """Return all prefixes that have an image, mounted or not, and mounts that have none."""
        del seen  # a mount and its image say more than that there is a directory
        return await asyncio.to_thread(self._found)

    async def make(self, plan: InstallationPlan, making: Path, at: Path) -> int:
        """Write an image and mount it; an older one that is mounted makes way first."""
        await asyncio.to_thread(self._look_at_mounts)
        self._refuse_others(at)
        folder = self._root / FOLDER
        lines = await asyncio.to_thread(count_lines, folder)
        tree, image = making / "tree", making / f"tree{SUFFIX}"
        options = self._options.link
        # Owners are said in the image alone: files of packages stay whose they are.
        shared = replace(options, uid=None, gid=None)
        await asyncio.to_thread(link, plan, self._packages, tree, str(at), shared)
        size = await write_image(
            tree, image, self._options.compression, uid=options.uid, gid=options.gid
        )
        with suppress(OSError):
            path = str(at.relative_to(self._root))
            await asyncio.to_thread(note_prefix, folder, path, 0, size, lines)
        await asyncio.to_thread(self._put, image, self._image(at))
        if self._options.mounting != "never":
            await self._mount_anew(at)
        return size

    async def attach(self, at: Path) -> None:
        """Mount what is not mounted, or whose FUSE process has gone."""
        if self._options.mounting == "never":
            return
        self._refuse_others(at)
        if at not in self._mounts or not await asyncio.to_thread(_answers, at):
            await self._mount_anew(at)

    async def retire(self, at: Path, trash: Path, *, now: bool) -> None:
        """Unmount a prefix and put its image into the trash; who uses it still may keep it."""
        mounted = self._mounts.get(at)
        if mounted and self._is_ours(at, mounted) and self._options.mounting != "never":
            try:
                await unmount(at, mounted.filesystem, now=now)
            except MountBusy as exc:
                raise PrefixUnusable(
                    f"{at} is in use, so that it stays mounted: it goes as soon as no program runs"
                    " from it"
                ) from exc
            del self._mounts[at]
        await asyncio.to_thread(self._remove, at, trash)

    def _image(self, at: Path) -> Path:
        path = self._root / IMAGES / at.relative_to(self._root)
        return path.with_name(path.name + SUFFIX)

    def _found(self) -> dict[str, Found]:
        self._look_at_mounts()
        found = {}
        images = self._root / IMAGES
        for image in _files(images):
            path = str(image.relative_to(images)).removesuffix(SUFFIX)
            data = read_mark(image)
            mark = parse_mark(data) if data is not None else None
            if mark is None:
                found[path] = Found(None, "its file is not whole")
            elif mark.prefix != str(self._root / path):
                found[path] = Found(None, f"its files say that they are at {mark.prefix}")
            else:
                found[path] = Found(mark)
        for at, mounted in self._mounts.items():
            if at.is_relative_to(self._root) and mounted.source == str(self._image(at)):
                path = str(at.relative_to(self._root))
                found.setdefault(path, Found(None, "its file has gone, though it is mounted"))
        return found

    def _look_at_mounts(self) -> None:
        self._mounts = dict(mounts())

    def _is_ours(self, at: Path, mounted: Mount) -> bool:
        """Whether what is mounted there is the image of the place, by whatever path it was."""
        if mounted.source == str(self._image(at)):
            return True
        if mounted.filesystem.partition(".")[0] not in _FILESYSTEMS:
            return False
        mark = read_mounted_mark(at)
        return mark is not None and mark.prefix == str(at)

    def _refuse_others(self, at: Path) -> None:
        """Let nothing of others be covered or unmounted.

        Raises:
            PrefixUnusable: There is something.
        """
        if self._options.mounting == "never":
            return
        mounted = self._mounts.get(at)
        if mounted is not None:
            if not self._is_ours(at, mounted):
                raise PrefixUnusable(
                    f"something else is mounted at {at} ({mounted.source}): unmount it, and the"
                    " next pass mounts the environment"
                )
            return
        if os.path.lexists(at) and not _is_empty(at):
            raise PrefixUnusable(
                f"{at} is in the way, and not of this driver: move it away, and the next pass"
                " mounts the environment there"
            )

    async def _mount_anew(self, at: Path) -> None:
        """Mount the image of a place; an older mount goes at once, who uses it keeps it."""
        mounted = self._mounts.pop(at, None)
        if mounted is not None:
            await unmount(at, mounted.filesystem, now=True)
        await asyncio.to_thread(at.mkdir, 0o755, parents=True, exist_ok=True)
        image = self._image(at)
        await mount(image, at, self._options.mounting)
        kind = "fuse" if self._options.mounting == "fuse" else "squashfs"
        self._mounts[at] = Mount(kind, str(image))

    def _put(self, made: Path, image: Path) -> None:
        options = self._options.link
        made.chmod(0o644 & ~options.umask)
        if options.uid is not None or options.gid is not None:
            os.chown(made, *options.ids)
        image.parent.mkdir(mode=0o777 & ~options.umask, parents=True, exist_ok=True)
        made.replace(image)
        sync_directory(image.parent)

    def _remove(self, at: Path, trash: Path) -> None:
        """Remove the place first: what has an image still is found by the next pass."""
        image = self._image(at)
        if self._options.mounting != "never":
            # Empty, or of somebody else: never more than that.
            with suppress(OSError):
                at.rmdir()
        with suppress(FileNotFoundError):
            image.rename(trash)
        for directory in image.parents:
            if directory == self._root / IMAGES:
                break
            with suppress(OSError):
                directory.rmdir()


def _is_empty(at: Path) -> bool:
    """Whether a path is an empty directory, and no link to one."""
    if at.is_symlink() or not at.is_dir():
        return False
    with os.scandir(at) as entries:
        return next(entries, None) is None


def _answers(at: Path) -> bool:
    """Whether the process behind a mount is alive.

    Raises:
        PrefixUnusable: It is another user's, who alone may see it.
    """
    try:
        at.stat()
    except OSError as exc:
        if exc.errno in {errno.EACCES, errno.EPERM}:
            raise PrefixUnusable(
                f"{at} is mounted by another user, who alone may see it: unmount it there"
            ) from exc
        return False
    return True


def _files(directory: Path) -> Iterator[Path]:
    """Return the images below a directory; nothing is followed."""
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False) and entry.name.endswith(SUFFIX):
            yield Path(entry.path)
