"""Files with advisories, read piece by piece: what a process does that serves nobody meanwhile.

A piece is some files, or some members of one zip archive. It has a size that is read in seconds.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Final

from builder.rules.model import Advisory
from registry.errors import PolicyTextInvalid
from registry.policy.advisories import MAX_BYTES, parse_advisories
from registry.policy.places import Place, PlaceUnreadable, Stamp

SUFFIXES: Final = (".json", ".yaml", ".yml", ".zip")
_DOCUMENTS: Final = (".json", ".yaml", ".yml")
#: A piece has so many files, and so many bytes, unless one file has more.
_FILES: Final = 500
_BYTES: Final = 8 * 1024 * 1024
_MEMBERS: Final = 2000
_MAX_MEMBERS: Final = 200_000
#: Of an archive's list of members, which is read into memory.
_MAX_LIST: Final = 64 * 1024 * 1024
#: Of all members of a piece, unpacked.
_MAX_UNPACKED: Final = 256 * 1024 * 1024
_END: Final = b"PK\5\6"
_END_64: Final = b"PK\6\6"
#: The end of an archive with the longest comment.
_TAIL: Final = 22 + 65_535
#: What reading a member raises; the last for what no archive has had for decades.
_DAMAGES: Final = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, struct.error),
    *(RuntimeError, NotImplementedError, OverflowError),
)
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that is read at once."""

    names: tuple[str, ...]
    #: Of an archive: the first member, and the one after the last.
    members: tuple[int, int] | None = None


@dataclass(slots=True)
class FileRead:
    """What a file, or a part of it, says."""

    #: By member; of a file that is no archive, by ``""``.
    said: dict[str, tuple[Advisory, ...]] = field(default_factory=dict)
    #: What cannot be used, likewise; of an archive as a whole, by ``""``.
    problems: dict[str, PolicyTextInvalid] = field(default_factory=dict)
    #: Whether it may be read the next time, although nobody changes it.
    is_passing: bool = False


def pieces_of(stamps: Mapping[str, Stamp], names: Sequence[str]) -> Iterator[Piece]:
    """Yield pieces that together are all of these files; archives are cut later."""
    part: list[str] = []
    size_bytes = 0
    for name in names:
        if name.lower().endswith(".zip"):
            yield Piece((name,))
            continue
        if part and (len(part) >= _FILES or size_bytes + stamps[name].size_bytes > _BYTES):
            yield Piece(tuple(part))
            part, size_bytes = [], 0
        part.append(name)
        size_bytes += stamps[name].size_bytes
    if part:
        yield Piece(tuple(part))


def cut_archive(place: Place, name: str) -> tuple[Piece, ...] | FileRead:
    """Return the pieces of an archive, or what is wrong with it."""
    try:
        with _archive(place, name) as archive:
            count = len(archive.infolist())
    except _Refused as exc:
        return exc.read
    except Exception as exc:  # noqa: BLE001 - a fault of ours stops no other file
        return FileRead(problems={"": _fault(name, exc)})
    return tuple(
        Piece((name,), (begin, min(begin + _MEMBERS, count))) for begin in range(0, count, _MEMBERS)
    )


def read_piece(place: Place, piece: Piece) -> dict[str, FileRead]:
    """Return what the files of a piece say, by their names."""
    if piece.members is not None:
        (name,) = piece.names
        return {name: _read_members(place, name, *piece.members)}
    return {name: _read_file(place, name) for name in piece.names}


class _Refused(Exception):
    """An archive cannot be read at all."""

    def __init__(self, read: FileRead) -> None:
        self.read = read
        super().__init__()


def _read_file(place: Place, name: str) -> FileRead:
    try:
        return FileRead({"": parse_advisories(name, place.read(name, MAX_BYTES))})
    except PlaceUnreadable as exc:
        return FileRead(problems={"": PolicyTextInvalid(name, str(exc))}, is_passing=True)
    except PolicyTextInvalid as exc:
        return FileRead(problems={"": exc})
    except Exception as exc:  # noqa: BLE001 - a fault of ours stops no other file
        return FileRead(problems={"": _fault(name, exc)})


def _read_members(place: Place, name: str, begin: int, end: int) -> FileRead:
    found = FileRead()
    try:
        with _archive(place, name) as archive:
            left = _MAX_UNPACKED
            for member in archive.infolist()[begin:end]:
                if not _is_document(member):
                    continue
                try:
                    data = _read_member(archive, name, member, left)
                    left -= len(data)
                    found.said[member.filename] = parse_advisories(
                        _shown(name, member.filename), data
                    )
                except PolicyTextInvalid as exc:
                    found.problems[member.filename] = exc
                except Exception as exc:  # noqa: BLE001 - as above
                    shown = _shown(name, member.filename)
                    found.problems[member.filename] = _fault(shown, exc)
    except _Refused as exc:
        return exc.read
    return found


def _read_member(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo, left: int) -> bytes:
    shown = _shown(name, member.filename)
    if member.flag_bits & 1 or member.compress_type not in _METHODS:
        raise PolicyTextInvalid(shown, "it is encrypted, or packed as zip archives rarely are")
    most = min(MAX_BYTES, left)
    try:
        with archive.open(member) as file:
            data = file.read(most + 1)
    except _DAMAGES as exc:
        raise PolicyTextInvalid(shown, "it cannot be unpacked: the archive is damaged") from exc
    if len(data) > most:
        raise PolicyTextInvalid(shown, f"it unpacks to more than {most // 1024} KiB")
    return data


@contextmanager
def _archive(place: Place, name: str) -> Iterator[zipfile.ZipFile]:
    """Give an archive, open.

    Raises:
        _Refused: It is none, or has too many members.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(os.fdopen(place.open(name), "rb"))
            _require_short_list(name, file)
            archive = stack.enter_context(zipfile.ZipFile(file))
        except PlaceUnreadable as exc:
            read = FileRead(problems={"": PolicyTextInvalid(name, str(exc))}, is_passing=True)
            raise _Refused(read) from exc
        except PolicyTextInvalid as exc:
            raise _Refused(FileRead(problems={"": exc})) from exc
        except _DAMAGES as exc:
            problem = PolicyTextInvalid(name, "it is no zip archive, or a damaged one")
            raise _Refused(FileRead(problems={"": problem})) from exc
        yield archive


def _require_short_list(name: str, file: IO[bytes]) -> None:
    """Refuse an archive whose list of members is too long to be read into memory.

    Source:
        APPNOTE.TXT 6.3.10, sections 4.3.14 to 4.3.16.

    Raises:
        PolicyTextInvalid: It is.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, size_bytes - _TAIL - 76))
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or end + 22 > len(tail):
        return  # it is no archive, which is told by whoever reads it
    (listed,) = struct.unpack_from("<L", tail, end + 12)
    if tail[end - 20 : end - 16] == b"PK\6\7" and end >= 76:
        if tail[end - 76 : end - 72] != _END_64:
            raise PolicyTextInvalid(name, "it is no zip archive, or a damaged one")
        (listed,) = struct.unpack_from("<Q", tail, end - 76 + 40)
    if listed > _MAX_LIST:
        raise PolicyTextInvalid(name, f"it has more than {_MAX_MEMBERS} members")


def _is_document(member: zipfile.ZipInfo) -> bool:
    path = member.filename.split("/")
    return path[-1].lower().endswith(_DOCUMENTS) and not any(part.startswith(".") for part in path)


def _fault(name: str, error: Exception) -> PolicyTextInvalid:
    return PolicyTextInvalid(name, f"the server failed to read it ({type(error).__name__})")


def _shown(name: str, member: str) -> str:
    shown = member if member.isprintable() else repr(member)
    return f"{name}:{shown[:200]}"
