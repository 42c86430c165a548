"""Wheels, read in a stream; their RECORD is not trusted.

Every file of the archive is installed, whatever RECORD says of it, as pip and uv do: projects edit
what they have built, and there are wheels on PyPI whose RECORD leaves files out (selenium 4.1.0),
names bytecode without a hash, or gives other hashes (ruamel.yaml 0.18.12). It would protect
nothing: the wheel is the one that was locked, by the hash of all of it, and whoever could change a
file of it could change its RECORD. The RECORD that is installed says what is there.
"""

import base64
import calendar
import hashlib
import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from builder.errors import CorruptPackage, UnsafePackage
from builder.install.archive import reading
from builder.install.limits import Limits
from builder.install.paths import path_fault
from builder.install.tar_header import TarError
from builder.install.tar_reader import TarLimitExceeded
from builder.install.tar_writer import GENERATED_MTIME
from builder.install.wheel.info import (
    INFO_MEMBERS,
    NOT_INSTALLED,
    WheelInfo,
    find_stem,
    parse_wheel_info,
    wheel_label,
)
from builder.records import WheelRecord

_CHUNK: Final = 1024 * 1024
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED: Final = 0x1


class WheelFile:
    """One file of a wheel; its path has been checked."""

    __slots__ = (
        "_algorithm",
        "_archive",
        "_label",
        "_member",
        "hashed",
        "is_executable",
        "mtime",
        "path",
    )

    def __init__(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, algorithm: str, label: str
    ) -> None:
        self._archive = archive
        self._member = member
        self._label = label
        #: As in the archive.
        self.path = member.filename
        #: Wheels have no links: pip and uv write where one leads into a file.
        self.is_executable = _is_executable(member.external_attr >> 16)
        #: Whole seconds since 1970; zip knows no time zones, and all wheels are read in UTC.
        self.mtime = _mtime(member)
        self._algorithm = algorithm
        #: As RECORD writes it, once :meth:`chunks` has ended.
        self.hashed = ""

    @property
    def size_bytes(self) -> int:
        """How much :meth:`chunks` yields."""
        return self._member.file_size

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in pieces of at most 1 MiB.

        Raises:
            CorruptPackage: The archive is damaged.
        """
        digest, size = hashlib.new(self._algorithm), 0
        with reading(self._label), self._archive.open(self._member) as body:
            while chunk := body.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        if size != self.size_bytes:
            raise CorruptPackage(
                f"package '{self._label}' is damaged: '{self.path}' is not as long as it says"
            )
        self.hashed = f"{self._algorithm}={record_digest(digest.digest())}"


class WheelArchive:
    """One wheel on disk. Nothing is kept open between calls."""

    def __init__(self, path: Path, record: WheelRecord, limits: Limits | None = None) -> None:
        """Make a reader; nothing is read yet.

        Args:
            path: The wheel.
            record: What it should hold.
            limits: What it may unpack to; ``None`` for the usual.
        """
        self._path = path
        self._record = record
        self._label = wheel_label(record)
        self._limits = limits or Limits()

    def read_info(self) -> WheelInfo:
        """Return the metadata; what other files hold is not read.

        Raises:
            CorruptPackage: The archive is damaged, or holds another project or version.
            UnsafePackage: It is too large, or a path leaves the prefix.
            UnsupportedPackage: It is encrypted, or compressed in an unusual way.
        """
        with reading(self._label), self._open() as archive:
            members = self._members(archive)
            stem = find_stem(self._label, members)
            files: dict[str, bytes] = {}
            for name in INFO_MEMBERS:
                member = members.get(f"{stem}.dist-info/{name}")
                if member is None:
                    continue
                if member.file_size > self._limits.info_bytes:
                    raise TarLimitExceeded
                files[name] = archive.read(member)
            return parse_wheel_info(self._record, stem, files, members)

    def files(self, info: WheelInfo) -> Iterator[WheelFile]:
        """Yield the files that are installed, in the order of RECORD, then what it leaves out.

        Directories are left out, and what an installer writes itself. A file can be read until the
        next one is asked for.

        Args:
            info: Of :meth:`read_info`, which has checked all paths and sizes.

        Raises:
            CorruptPackage: The archive is damaged.
        """
        with reading(self._label), self._open() as archive:
            for path in installed_members(info):
                member = archive.getinfo(path)
                yield WheelFile(archive, member, info.algorithms[path], self._label)

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        with _BoundedFile(self._path, self._limits.directory_bytes) as file:
            if file.read(4) != b"PK\x03\x04":
                raise TarError("it is not a zip file")
            with zipfile.ZipFile(file) as archive:
                yield archive

    def _members(self, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """Return the files by name, each checked."""
        members: dict[str, zipfile.ZipInfo] = {}
        infos = archive.infolist()
        if (
            len(infos) > self._limits.entries
            or sum(member.file_size for member in infos) > self._limits.unpacked_bytes
        ):
            raise TarLimitExceeded
        for member in infos:
            self._check(member)
            if member.is_dir():
                continue
            # Two that differ are for whoever has others look at the first, and Python run the last.
            known = members.setdefault(member.filename, member)
            if (known.CRC, known.file_size) != (member.CRC, member.file_size):
                raise TarError(f"it has {member.filename[:200]!r} twice")
        return members

    def _check(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        fault = path_fault(name.removesuffix("/"))
        if not fault and len(name) > self._limits.path_bytes:
            fault = "is too long"
        # What follows a NUL is hidden from whoever reads names as C does.
        if not fault and name != member.orig_filename:
            fault = "is not its whole name"
        if fault:
            raise UnsafePackage(f"path {name[:200]!r} of package '{self._label}' {fault}")
        if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            raise NotImplementedError


class _BoundedFile(io.FileIO):
    """Refuses to read the list of a zip's members, which is read at once, if it is too large."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        # As text: it is how a file that was evicted is told from other files that are missing.
        super().__init__(str(path))
        self._max_bytes = max_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._max_bytes:
            raise TarLimitExceeded
        return super().read(-1 if size is None else size)


def installed_members(info: WheelInfo) -> list[str]:
    """Return the members that are installed as they are or with another first line."""
    left_out = {f"{info.stem}.dist-info/{name}" for name in NOT_INSTALLED}
    return [path for path in info.algorithms if path not in left_out]


def record_digest(digest: bytes) -> str:
    """Return a digest as RECORD has it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _is_executable(mode: int) -> bool:
    return bool(mode & 0o111) and stat.S_IFMT(mode) in (0, stat.S_IFREG)


def _mtime(member: zipfile.ZipInfo) -> int:
    year, month, day, hour, minute, second = member.date_time
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return GENERATED_MTIME
    return calendar.timegm((year, month, day, hour, minute, second))
