"""A prefix as one file: a squashfs that says itself what it is.

::

    squashfs      as mksquashfs writes it, padded to 4096 bytes
    mark          what the prefix's ``conda-meta/pullforge`` says, padded to 4096 bytes; a footer
                  ends it: 8 bytes its length, 8 bytes that say that there is one

Who mounts the file sees nothing of the mark; who looks for prefixes reads it without mounting. The
same tree gives the same bytes, whatever the time, the machine's cores and its user, as long as
mksquashfs and its compressor are the same.
"""

import asyncio
import errno
import os
import struct
from pathlib import Path
from typing import Final, Literal

from builder.install.tar_writer import GENERATED_MTIME
from registry.errors import PrefixUnusable
from registry.prefixes.finding import MARK, MAX_MARK_BYTES
from registry.prefixes.programs import ProgramFailed, ProgramMissing, run_program

Compression = Literal["zstd", "gzip"]

#: What a prefix has of its own and no package dates.
_GENERATED: Final = (MARK, "conda-meta/history", "conda-meta/frozen", "conda-meta/state")
_BLOCK_BYTES: Final = 4096
_FOOTER: Final = struct.Struct("<Q8s")
_FOOTER_MAGIC: Final = b"pullfrg1"
#: Begins a squashfs; the number of its bytes, without padding, is at 40.
_MAGIC: Final = b"hsqs"
_SUPERBLOCK: Final = struct.Struct("<4s36xQ")
#: Of 38 packages, 460 MB: 2.1 s of a processor and 133 MB by zstd, 4.3 s and 151 MB by gzip, whose
#: level 6 takes 11 s for 134 MB.
_LEVELS: Final = {"zstd": "3", "gzip": "1"}
#: The default of 128K makes files 4 % larger; larger blocks make a module that is read alone slow.
_SQUASHFS_BLOCK: Final = "256K"
#: mksquashfs takes a quarter of the machine's memory otherwise, also where it may have less.
_MEMORY: Final = "256M"
#: For the largest prefix, on a slow disk.
_SECONDS: Final = 3600.0
#: What mksquashfs says of these, in English, is what the system calls them.
_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


async def write_image(
    tree: Path, image: Path, compression: Compression, uid: int | None, gid: int | None
) -> int:
    """Write a prefix into a file and return its size; it has reached the disk.

    When it raises, what was written so far may be left at ``image``.

    Args:
        tree: A whole prefix, with its mark. Its directories and symbolic links get a fixed time.
        image: Does not exist.
        compression: A kernel before 4.14 knows ``gzip`` alone.
        uid: Owner of all files; ``None``: root.
        gid: Their group; ``None``: root.

    Raises:
        PrefixUnusable: It cannot be written; the sentence says why.
        OSError: There is no room, for example.
    """
    mark = (tree / MARK).read_bytes()
    await asyncio.to_thread(_set_times, tree)
    arguments = [
        *("mksquashfs", tree, image, "-noappend", "-no-recovery", "-quiet", "-no-progress"),
        *("-exit-on-error", "-no-xattrs", "-mkfs-time", str(GENERATED_MTIME), "-mem", _MEMORY),
        *("-b", _SQUASHFS_BLOCK),
        *("-comp", compression, "-Xcompression-level", _LEVELS[compression]),
        *("-force-uid", str(uid or 0), "-force-gid", str(gid or 0)),
    ]
    try:
        await run_program([str(argument) for argument in arguments], _SECONDS)
    except ProgramMissing as exc:
        raise PrefixUnusable(
            "this machine has no mksquashfs: install the package squashfs-tools, or choose"
            " --driver hardlink"
        ) from exc
    except ProgramFailed as exc:
        said = str(exc).replace("FATAL ERROR:", "").strip()
        for number in _OF_THE_DISK:
            if os.strerror(number) in said:
                raise OSError(number, os.strerror(number), str(image)) from exc
        raise PrefixUnusable(
            f"mksquashfs failed: {said.splitlines()[-1] if said else exc}"
        ) from exc
    return await asyncio.to_thread(_add_mark, image, mark)


def read_mark(image: Path) -> bytes | None:
    """Return the mark of a prefix in a file; ``None`` if it is none, or is not whole."""
    try:
        with image.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            magic, used = _SUPERBLOCK.unpack(file.read(_SUPERBLOCK.size))
            file.seek(-_FOOTER.size, os.SEEK_END)
            length, footer_magic = _FOOTER.unpack(file.read(_FOOTER.size))
            whole = _padded(used) + _padded(length + _FOOTER.size)
            if (magic, footer_magic, size) != (_MAGIC, _FOOTER_MAGIC, whole):
                return None
            if length > MAX_MARK_BYTES:
                return None
            file.seek(_padded(used))
            return file.read(length)
    except (OSError, struct.error):
        return None


def _set_times(tree: Path) -> None:
    """Give a fixed time to what no package dates."""
    times = (GENERATED_MTIME, GENERATED_MTIME)
    waiting = [str(tree)]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_symlink():
                    os.utime(entry.path, times, follow_symlinks=False)
                elif entry.is_dir():
                    waiting.append(entry.path)
        os.utime(directory, times)
    for name in _GENERATED:
        if (tree / name).exists():
            os.utime(tree / name, times)


def _add_mark(image: Path, mark: bytes) -> int:
    length = len(mark) + _FOOTER.size
    padding = bytes(_padded(length) - length)
    with image.open("r+b") as file:
        magic, used = _SUPERBLOCK.unpack(file.read(_SUPERBLOCK.size))
        assert magic == _MAGIC
        file.truncate(_padded(used))
        file.seek(0, os.SEEK_END)
        file.write(mark + padding + _FOOTER.pack(len(mark), _FOOTER_MAGIC))
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _padded(length: int) -> int:
    """Return the next multiple of a block.

    >>> [_padded(length) for length in (1, 4096, 4097)]
    [4096, 4096, 8192]
    """
    return -(-length // _BLOCK_BYTES) * _BLOCK_BYTES
