"""Files with holes, as GNU tar stores them: without the holes, and with a map of what is left.

There are four ways: a map in the header and in blocks behind it (type ``S``), a map in an extended
header (PAX 0.0 and 0.1), and a map of lines of text before the data (PAX 1.0).

Source: the manual of GNU tar, "Storing Sparse Files", and its ``src/sparse.c``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from builder.install.tar_header import BLOCK, TarError, decimal, number

#: A map is held in memory. A file has at most one segment per block of a file system.
_MAX_SEGMENTS: Final = 100_000
_HOLE: Final = bytes(1024 * 1024)
#: Where a header of type ``S`` has the first segments, and whether more follow.
_FIRST: Final = range(386, 482, 24)
_MORE: Final = range(0, 504, 24)


@dataclass(frozen=True, slots=True)
class SparseMap:
    """Where the data of one file lie; between them are zeros."""

    #: Of the file with its holes.
    size: int
    #: Offset and length of each piece of data, in order; none is empty.
    segments: tuple[tuple[int, int], ...]

    @property
    def stored(self) -> int:
        """The size of the data without the holes."""
        return sum(length for _, length in self.segments)

    def fill(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """Yield the file, in pieces of at most 1 MiB if the data come in such."""
        segments = iter(self.segments)
        position = left = 0
        for piece in pieces:
            done = 0
            while done < len(piece):
                if not left:
                    offset, left = next(segments)
                    yield from _zeros(offset - position)
                    position = offset
                part = memoryview(piece)[done : done + left]
                yield part
                done += len(part)
                position += len(part)
                left -= len(part)
        yield from _zeros(self.size - position)


def gnu_map(header: bytes, next_block: Callable[[], bytes], stored: int) -> SparseMap:
    """Return the map of a member of type ``S``.

    Args:
        header: Of the member.
        next_block: Returns the blocks that follow it.
        stored: The size that the header gives.

    Raises:
        TarError: It is malformed.
    """
    fields: list[int] = []
    block, places, more = header, _FIRST, 482
    while True:
        for place in places:
            # An empty field ends the list.
            if block[place] == 0:
                break
            fields += number(block[place : place + 12]), number(block[place + 12 : place + 24])
        if not block[more] or len(fields) > 2 * _MAX_SEGMENTS:
            return _checked(number(header[483:495]), fields, stored)
        block, places, more = next_block(), _MORE, 504
        if len(block) < BLOCK:
            raise TarError("it ends in the middle of a sparse file")


def pax_map(extended: Mapping[bytes, bytes], stored: int) -> SparseMap:
    """Return the map in the extended header of a file (versions 0.0 and 0.1).

    Raises:
        TarError: It is malformed.
    """
    text = extended.get(b"GNU.sparse.map", b"")
    if text.count(b",") > 2 * _MAX_SEGMENTS:
        raise TarError("a sparse file has too many pieces")
    fields = [decimal(field) for field in text.split(b",")] if text else []
    return _checked(decimal(extended.get(b"GNU.sparse.size", b"")), fields, stored)


def lines_map(
    extended: Mapping[bytes, bytes], next_block: Callable[[], bytes], size: int
) -> SparseMap:
    """Return the map that lies before the data of a file (version 1.0), which has been read then.

    Args:
        extended: The extended header of the file.
        next_block: Returns the blocks of its body.
        size: Of the body, with the map.

    Raises:
        TarError: It is malformed, or of a later version.
    """
    if (extended.get(b"GNU.sparse.major"), extended.get(b"GNU.sparse.minor")) != (b"1", b"0"):
        raise TarError("it has a sparse file of an unknown kind")
    fields: list[int] = []
    blocks = 0
    text = b""
    while not fields or len(fields) <= 2 * fields[0]:
        if fields and fields[0] > _MAX_SEGMENTS:
            raise TarError("a sparse file has too many pieces")
        line, newline, rest = text.partition(b"\n")
        if newline:
            fields.append(decimal(line))
            text = rest
            continue
        block = next_block()
        blocks += 1
        if len(text) > BLOCK or len(block) < BLOCK or blocks * BLOCK > size:
            raise TarError("a sparse file has a malformed map")
        text += block
    realsize = decimal(extended.get(b"GNU.sparse.realsize", b""))
    return _checked(realsize, fields[1:], size - blocks * BLOCK)


def _checked(size: int, fields: Sequence[int], stored: int) -> SparseMap:
    """Return the map of offsets and lengths in turn.

    Raises:
        TarError: It does not go from front to back, or does not fit the file or what is stored.
    """
    position = 0
    pairs = list(zip(fields[::2], fields[1::2], strict=False))
    for offset, length in pairs:
        if offset < position or length < 0:
            raise TarError("a sparse file has a malformed map")
        position = offset + length
    found = SparseMap(size, tuple(pair for pair in pairs if pair[1]))
    if position > size or found.stored != stored or len(pairs) * 2 != len(fields):
        raise TarError("a sparse file has a malformed map")
    return found


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield _HOLE[:size]
        size -= len(_HOLE)
