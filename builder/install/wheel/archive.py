"""Wheels, read in a stream and believed in nothing.

Every file is checked against the wheel's RECORD while it is read, as the format demands of
installers: what RECORD does not name, or names with another hash, is an error. Only in
``.dist-info`` hashes may differ: projects edit metadata after they build (ruamel.yaml 0.18.12 did),
and no other installer minds. Whatever differs, the wheel is the one that was locked.
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

from builder.errors import CorruptPackage, UnsafePackage, UnsupportedPackage
from builder.install.archive import reading
from builder.install.limits import Limits
from builder.install.paths import path_fault
from builder.install.tar_header import TarError
from builder.install.tar_reader import TarLimitExceeded
from builder.install.tar_writer import GENERATED_MTIME
from builder.install.wheel.info import (
    INFO_MEMBERS,
    NOT_INSTALLED,
    UNRECORDED,
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

    __slots__ = ("_archive", "_label", "_member", "hashed", "is_executable", "mtime", "path")

    def __init__(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, hashed: str, label: str
    ) -> None:
        self._archive = archive
        self._member = member
        self._label = label
        #: As in the archive.
        self.path = member.filename
        self.is_executable = bool(member.external_attr >> 16 & 0o111)
        #: Whole seconds since 1970; zip knows no time zones, and all wheels are read in UTC.
        self.mtime = _mtime(member)
        #: As RECORD writes it; of what is there once :meth:`chunks` has ended.
        self.hashed = hashed

    @property
    def size_bytes(self) -> int:
        """How much :meth:`chunks` yields."""
        return self._member.file_size

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in pieces of at most 1 MiB.

        Raises:
            CorruptPackage: The archive is damaged, or this is not what its RECORD promises.
        """
        algorithm, _, promised = self.hashed.partition("=")
        digest, size = hashlib.new(algorithm), 0
        with reading(self._label), self._archive.open(self._member) as body:
            while chunk := body.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        found = record_digest(digest.digest())
        if size != self.size_bytes or (found != promised and not is_metadata(self.path)):
            raise CorruptPackage(
                f"package '{self._label}' is damaged: '{self.path}' is not what its RECORD promises"
            )
        self.hashed = f"{algorithm}={found}"


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
        """Return the metadata; what files hold is not read, only that they are all recorded.

        Raises:
            CorruptPackage: The archive is damaged, or holds another project or version.
            UnsafePackage: It is too large, or a path leaves the prefix.
            UnsupportedPackage: It has what wheels should not have.
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
            info = parse_wheel_info(self._record, stem, files)
            _check_recorded(members, info)
        return info

    def files(self, info: WheelInfo) -> Iterator[WheelFile]:
        """Yield the files that are installed, in the order of RECORD.

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
                yield WheelFile(archive, member, info.recorded[path], self._label)

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
            if member.filename in members:
                raise TarError(f"it has {member.filename[:200]!r} twice")
            self._check(member)
            if not member.is_dir():
                members[member.filename] = member
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
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsupportedPackage(
                f"path '{name}' of package '{self._label}' is neither a file nor a directory"
            )


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


def is_metadata(path: str) -> bool:
    """Tell whether a member is in the wheel's ``.dist-info`` directory."""
    return path.partition("/")[0].endswith(".dist-info")


def installed_members(info: WheelInfo) -> list[str]:
    """Return the members that are installed as they are or with another first line."""
    left_out = {f"{info.stem}.dist-info/{name}" for name in NOT_INSTALLED}
    return [path for path in info.recorded if path not in left_out]


def record_digest(digest: bytes) -> str:
    """Return a digest as RECORD has it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _check_recorded(members: dict[str, zipfile.ZipInfo], info: WheelInfo) -> None:
    """Refuse a wheel that has other files than its RECORD names.

    Raises:
        TarError: It has.
    """
    unrecorded = {f"{info.stem}.dist-info/{name}" for name in UNRECORDED}
    if added := members.keys() - unrecorded - info.recorded.keys():
        raise TarError(f"its RECORD does not name '{min(added)}'")
    if missing := info.recorded.keys() - members.keys():
        raise TarError(f"it lists '{min(missing)}' but lacks it")


def _mtime(member: zipfile.ZipInfo) -> int:
    year, month, day, hour, minute, second = member.date_time
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return GENERATED_MTIME
    return calendar.timegm((year, month, day, hour, minute, second))
