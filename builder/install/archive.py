"""Package archives, read in a stream and believed in nothing.

::

    name.conda                        name.tar.bz2
    ├── metadata.json                 ├── info/index.json …   (anywhere in the tar)
    ├── info-name.tar.zst             └── bin/… lib/…
    │   └── info/index.json …
    └── pkg-name.tar.zst
        └── bin/… lib/…

Source: conda-build's "Conda package specification"; which of the two it is, is told by its first
bytes, since caches name archives by their hash.
"""

import bz2
import errno
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from builder.errors import CorruptPackage, UnsafePackage, UnsupportedPackage
from builder.install.limits import Limits
from builder.install.package_info import INFO_MEMBERS, PackageInfo, parse_info
from builder.install.paths import (
    PathTaken,
    PathTree,
    has_control_characters,
    is_unicode,
    path_fault,
    plain_path,
)
from builder.install.tar_header import TarError
from builder.install.tar_reader import Buffer, TarEntry, TarLimitExceeded, TarReader

#: conda-build compresses with up to level 22, whose window is 128 MiB; a frame may ask for 2 GiB.
_MAX_WINDOW_BYTES: Final = 128 * 1024 * 1024
#: How much of what a library says of a damaged archive is told.
_MAX_REASON: Final = 300


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Turn everything that a damaged archive raises into the package's error."""
    try:
        yield
    except TarLimitExceeded as exc:
        raise UnsafePackage(f"package '{label}' unpacks to more than is allowed") from exc
    except PathTaken as exc:
        raise UnsafePackage(f"path '{exc.path}' of package '{label}' {exc.fault}") from exc
    except TarError as exc:
        raise CorruptPackage(f"package '{label}' is damaged: {exc}") from exc
    except OSError as exc:
        # bz2 has no exception of its own. What the file system raises has a number, and EINVAL is
        # a jump to before the file's beginning, as a damaged zip asks for.
        if exc.errno not in (None, errno.EINVAL):
            raise
        raise CorruptPackage(f"package '{label}' is damaged: {exc}") from exc
    except NotImplementedError as exc:
        raise UnsupportedPackage(f"package '{label}' is compressed in an unknown way") from exc
    except (
        zipfile.BadZipFile,
        zstandard.ZstdError,
        lzma.LZMAError,
        zlib.error,
        struct.error,
        EOFError,
        KeyError,
        ValueError,
        RuntimeError,
    ) as exc:
        # zipfile shows the name that it found in full, which may have 64 KiB.
        reason = str(exc)[:_MAX_REASON]
        raise CorruptPackage(f"package '{label}' is damaged: {reason}") from exc


class PackageFile:
    """One file or link of a package's payload; its path has been checked."""

    __slots__ = ("_entry", "_label", "kind", "link", "mode", "mtime", "path", "size_bytes")

    def __init__(self, entry: TarEntry, label: str) -> None:
        self._entry = entry
        self._label = label
        #: Relative to the prefix, as in the archive.
        self.path = entry.name
        #: ``special`` is a device or a pipe, which nobody wants in a layer.
        self.kind = entry.kind
        #: Permission bits with setuid, setgid and sticky, as in the archive.
        self.mode = entry.mode
        #: Whole seconds since 1970.
        self.mtime = entry.mtime
        self.size_bytes = entry.size
        #: The target of a symlink as written, or the path of a hard link's target.
        self.link = entry.link

    def chunks(self) -> Iterator[Buffer]:
        """Yield the body once, in pieces of at most 1 MiB.

        Raises:
            CorruptPackage: The archive is damaged.
            UnsafePackage: It unpacks to more than is allowed.
        """
        whole = self._entry.whole()
        if whole is not None:
            return iter((whole,) if whole else ())
        return self._pieces()

    def _pieces(self) -> Iterator[Buffer]:
        with reading(self._label):
            yield from self._entry.chunks()

    def read(self) -> bytes:
        """Return the body of a file that is known to be small; raises as :meth:`chunks`."""
        return b"".join(self.chunks())


class PackageArchive:
    """One package archive on disk. Nothing is kept open between calls."""

    def __init__(self, path: Path, label: str, limits: Limits | None = None) -> None:
        """Make a reader; nothing is read yet.

        Args:
            path: The archive, in either format.
            label: Names the package in errors, e.g. ``"zlib-1.3-h0_0"``.
            limits: What it may unpack to; ``None`` for the usual.
        """
        self._path = path
        self._label = label
        self._limits = limits or Limits()

    def read_info(self) -> PackageInfo:
        """Return the metadata, without the payload where the format allows.

        Raises:
            CorruptPackage: The archive is damaged.
            UnsafePackage: It is too large, or lists paths that leave the prefix.
            UnsupportedPackage: It is of a kind that is not known.
        """
        files: dict[str, bytes] = {}
        size = 0
        with reading(self._label), self._path.open("rb") as file:
            read, is_conda = self._tar(file, "info-")
            for count, entry in enumerate(TarReader(read, self._limits.unpacked_bytes)):
                if count >= self._limits.entries:
                    raise TarLimitExceeded
                if is_conda and entry.name.partition("/")[0] not in {"info", "."}:
                    raise TarError(f"its metadata has the path {entry.name!r}")
                if entry.name not in INFO_MEMBERS or entry.kind != "file":
                    continue
                if entry.name in files:
                    raise TarError(f"it has '{entry.name}' twice")
                size += entry.size
                if size > self._limits.info_bytes:
                    raise TarLimitExceeded
                files[entry.name] = entry.read()
        return parse_info(self._label, files)

    def files(self) -> Iterator[PackageFile]:
        """Yield the payload in the order of the archive, directories left out.

        A body can be read until the next file is asked for. No path comes twice, or lies below a
        file or symlink of the package.

        Raises:
            CorruptPackage: The archive is damaged.
            UnsafePackage: It unpacks to more than is allowed, or a path leaves the prefix.
            UnsupportedPackage: It is of a kind that is not known.
        """
        with reading(self._label), self._path.open("rb") as file:
            read, is_conda = self._tar(file, "pkg-")
            tree = PathTree()
            for count, entry in enumerate(TarReader(read, self._limits.unpacked_bytes)):
                if count >= self._limits.entries:
                    raise TarLimitExceeded
                if entry.kind == "directory" and entry.name in {"", "."}:
                    continue
                if not is_unicode(entry.name):
                    # No list can name it, so it is not installed.
                    continue
                entry.name = plain_path(entry.name)
                self._check(entry)
                if entry.name == "info" or entry.name.startswith("info/"):
                    # Licences lie here as often as in the metadata. What is read of the metadata
                    # must not: it would depend on the reader which of the two counts.
                    if is_conda and entry.name in INFO_MEMBERS:
                        raise TarError(f"its payload has '{entry.name}'")
                    continue
                if entry.kind == "directory":
                    tree.add_directory(entry.name)
                    continue
                tree.add_leaf(entry.name)
                yield PackageFile(entry, self._label)

    def _check(self, entry: TarEntry) -> None:
        fault = path_fault(entry.name)
        if not fault and len(entry.name) > self._limits.path_bytes:
            fault = "is too long"
        if fault:
            shown = repr(entry.name[:200])
            raise UnsafePackage(f"path {shown} of package '{self._label}' {fault}")
        if entry.kind == "hardlink":
            entry.link = plain_path(entry.link)
            fault = path_fault(entry.link)
        elif entry.kind == "symlink" and (
            not entry.link or has_control_characters(entry.link) or not is_unicode(entry.link)
        ):
            fault = "is not a path"
        if fault or len(entry.link) > self._limits.path_bytes:
            raise UnsafePackage(
                f"path '{entry.name}' of package '{self._label}' is a link whose target"
                f" {entry.link[:200]!r} {fault or 'is too long'}"
            )

    def _tar(self, file: BinaryIO, part: str) -> tuple[Callable[[int], bytes], bool]:
        """Return what reads the tar of that part, and whether the parts are tars of their own."""
        magic = file.read(4)
        file.seek(0)
        if magic[:3] == b"BZh":
            return bz2.BZ2File(file).read, False
        if magic != b"PK\x03\x04":
            raise TarError("it is neither a .conda nor a .tar.bz2 file")
        archive = zipfile.ZipFile(file)
        member = _member(archive, part)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        stream = decompressor.stream_reader(
            archive.open(member), read_size=1024 * 1024, read_across_frames=True
        )
        return stream.read, True


def _member(archive: zipfile.ZipFile, part: str) -> zipfile.ZipInfo:
    """Return the zip member of that part.

    Raises:
        TarError: The zip is not that of one ``.conda`` package, read the same by everyone.
    """
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise TarError("it has two members of one name")
    stems = {}
    for kind in ("info-", "pkg-"):
        found = [name for name in names if name.startswith(kind)]
        if len(found) != 1 or "/" in found[0] or not found[0].endswith(".tar.zst"):
            raise TarError(f"it does not have exactly one {kind}*.tar.zst")
        stems[kind] = found[0].removeprefix(kind)
    if len(set(stems.values())) != 1:
        raise TarError("its metadata and its payload have different names")
    if "metadata.json" in names:
        _check_version(archive)
    return archive.getinfo(part + stems[part])


def _check_version(archive: zipfile.ZipFile) -> None:
    """Refuse a later format; conda-package-handling left ``metadata.json`` empty until 2022."""
    if archive.getinfo("metadata.json").file_size > 65536:
        raise TarError("metadata.json is too long")
    try:
        metadata = json.loads(archive.read("metadata.json"))
    except (ValueError, RecursionError):
        return
    if isinstance(metadata, dict) and metadata.get("conda_pkg_format_version", 2) != 2:
        raise NotImplementedError
