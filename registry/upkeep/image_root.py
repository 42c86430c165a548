"""The file system of an image, unpacked from its layers by whoever is not root.

What layers say of owners, devices, setuid and closed files is left out: all belongs to the server's
user, who reads it, and everybody else on the machine who can reach it. A layer may come from
anybody: nothing is written outside of the root, whatever links lead out of it.

*Source*: OCI image-spec, layer.md, and containerd's ``archive/tar.go`` where that leaves it open.
"""

# Of each of a hundred thousand files: a Path costs more than what is done with it.
# ruff: noqa: PTH101, PTH102, PTH108, PTH112, PTH113, PTH114, PTH115, PTH211

import gzip
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from builder.install.tar_header import TarError
from builder.install.tar_reader import TarEntry, TarLimitExceeded, TarReader
from builder.system_errors import disk_errors
from registry.errors import ImageUnfit
from registry.storage.trees import remove_tree

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
#: Of a path; images have a fraction of it, and deeper ones are hard to remove.
_MAX_DEPTH: Final = 200
_MAX_ENTRIES: Final = 5_000_000
_MAX_LINKS: Final = 40
_FILE, _DIRECTORY, _ALL = 0o444, 0o755, 0o777
_MAX_WINDOW_BYTES: Final = 128 << 20


def unpack_layers(
    layers: Sequence[Path], root: Path, mounts: Sequence[str], max_bytes: int
) -> None:
    """Unpack the layers of an image, lowest first, into a directory, which is made.

    Args:
        layers: Their blobs.
        root: Where to.
        mounts: Names of directories that are made at the top if there are none.
        max_bytes: The most that all of them may come to.

    Raises:
        ImageUnfit: They are damaged, too large, or no file system.
        StoreUnavailable: The disk is full or broken.
    """
    root.mkdir(mode=_DIRECTORY)
    unpacking = _Unpacking(str(root), max_bytes)
    for layer in layers:
        try:
            with disk_errors(), layer.open("rb") as file:
                unpacking.add(_plain(file))
        except TarLimitExceeded as exc:
            raise ImageUnfit(
                "the image is too large to be unpacked on this server, so it cannot be tested here"
            ) from exc
        except OSError as exc:  # of gzip, or a path that no file can have here
            fault = exc.strerror or exc
            raise ImageUnfit(f"a layer of the image cannot be unpacked: {fault}") from exc
        except (TarError, zstandard.ZstdError, zlib.error, EOFError, ValueError) as exc:
            raise ImageUnfit(f"a layer of the image is damaged: {exc}") from exc
    for name in mounts:
        unpacking.directory(name)


def has_file(root: Path, path: str) -> bool:
    """Tell whether an image has a file, such as ``/bin/sh``, whatever links lead to it."""
    unpacking = _Unpacking(str(root), 0)
    return os.path.isfile(unpacking.resolved(path))


def _plain(file: BinaryIO) -> Callable[[int], bytes]:
    """Return what reads the tar, which its first bytes say how it is compressed."""
    magic = file.read(4)
    file.seek(0)
    if magic == b"\x28\xb5\x2f\xfd":
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        return decompressor.stream_reader(file, read_across_frames=True).read
    return gzip.GzipFile(fileobj=file).read if magic[:2] == b"\x1f\x8b" else file.read


class _Unpacking:
    """Puts layers on top of each other."""

    def __init__(self, root: str, max_bytes: int) -> None:
        self._root = os.path.realpath(root)
        self._left_bytes = max_bytes
        self._left_entries = _MAX_ENTRIES
        #: Directories that are none of their links, relative to the root.
        self._known = {""}
        #: What the layer that is being unpacked has made, relative to the root.
        self._made: set[str] = set()

    def add(self, read: Callable[[int], bytes]) -> None:
        """Put one layer on top."""
        self._made = set()
        counted = _Counted(read)
        for entry in TarReader(counted.read, self._left_bytes):
            self._left_entries -= 1
            if self._left_entries < 0:
                raise TarLimitExceeded
            self._add(entry)
        self._left_bytes -= counted.size

    def directory(self, path: str) -> str:
        """Have a real directory at a path whose parent is one, and return where it is."""
        target = f"{self._root}/{path}"
        if path not in self._known:
            if os.path.islink(target) or not os.path.isdir(target):
                self._remove(path)
                os.mkdir(target)
            os.chmod(target, _DIRECTORY)
            self._known.add(path)
        return target

    def resolved(self, path: str) -> str:
        """Return where a path leads to when the root is ``/``."""
        return f"{self._root}/{self._within(path)}"

    def _add(self, entry: TarEntry) -> None:
        parts = [part for part in entry.name.split("/") if part not in {"", "."}]
        if not parts or entry.kind == "special":
            return
        if ".." in parts or len(parts) > _MAX_DEPTH or "\0" in entry.name:
            raise TarError(f"it has the path {entry.name[:200]!r}")
        parent, name = self._within("/".join(parts[:-1])), parts[-1]
        self._make_directories(parent)
        path = f"{parent}/{name}" if parent else name
        if name == _OPAQUE:
            self._clear(parent)
        elif name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            if hidden not in {"", ".", ".."}:
                self._remove(f"{parent}/{hidden}" if parent else hidden)
        else:
            self._write(entry, path)
            self._note_made(path)

    def _write(self, entry: TarEntry, path: str) -> None:
        target = f"{self._root}/{path}"
        if entry.kind == "directory":
            self.directory(path)
            return
        self._remove(path)
        if entry.kind == "symlink":
            os.symlink(entry.link, target)
        elif entry.kind == "hardlink":
            source = self.resolved(entry.link)
            if not os.path.isfile(source) or os.path.islink(source):
                raise TarError(f"it has a hard link to {entry.link[:200]!r}, which is not there")
            os.link(source, target, follow_symlinks=False)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(target, flags, 0o600), "wb") as out:
                for chunk in entry.chunks():
                    out.write(chunk)
                os.fchmod(out.fileno(), (entry.mode & _ALL) | _FILE)
            os.utime(target, (entry.mtime, entry.mtime))

    def _within(self, path: str) -> str:
        """Return where a path leads to when the root is ``/``, relative to it and without links."""
        if path in self._known:
            return path
        found: list[str] = []
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                found = found[:-1]
                continue
            place = "/".join((*found, part))
            if place not in self._known and os.path.islink(f"{self._root}/{place}"):
                links += 1
                if links > _MAX_LINKS:
                    raise TarError(f"links lead round in a circle at {place[:200]!r}")
                link = os.readlink(f"{self._root}/{place}")
                if link.startswith("/"):
                    found = []
                pending += link.split("/")[::-1]
            else:
                found.append(part)
        return "/".join(found)

    def _make_directories(self, path: str) -> None:
        if path in self._known:
            return
        parts = path.split("/")
        if len(parts) > _MAX_DEPTH:
            raise TarError(f"it has the path {path[:200]!r}")
        for at in range(1, len(parts) + 1):
            self.directory("/".join(parts[:at]))

    def _note_made(self, path: str) -> None:
        while path and path not in self._made:
            self._made.add(path)
            path = path.rpartition("/")[0]

    def _clear(self, path: str) -> None:
        """Remove what layers below have in a directory."""
        with os.scandir(f"{self._root}/{path}") as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            below = f"{path}/{name}" if path else name
            if below not in self._made:
                self._remove(below)
            elif is_directory:
                self._clear(below)

    def _remove(self, path: str) -> None:
        """Remove what is at a path, if anything is."""
        target = f"{self._root}/{path}"
        if not os.path.lexists(target):
            return
        if os.path.islink(target) or not os.path.isdir(target):
            os.unlink(target)
            return
        remove_tree(Path(target))
        self._known = {known for known in self._known if not f"{known}/".startswith(f"{path}/")}


class _Counted:
    """Counts what is read."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.size = 0

    def read(self, size: int) -> bytes:
        data = self._read(size)
        self.size += len(data)
        return data
