"""Fields of tar headers (POSIX.1-2017, "pax" and "ustar Interchange Format")."""

import zlib
from typing import Final

BLOCK: Final = 512
_MAP: Final = b"GNU.sparse.map"
_SEGMENTS: Final = frozenset({b"GNU.sparse.offset", b"GNU.sparse.numbytes"})


class TarError(ValueError):
    """The stream is not a tar; the text says why."""


def byte_sum(block: bytes) -> int:
    r"""Return the sum of the bytes of a tar header.

    ``sum`` takes 2.3 µs for 512 bytes, Adler-32 0.2 µs: its low half is that sum plus one, modulo
    65521, which 512 ASCII bytes cannot reach.

    >>> byte_sum(b"\x7f" * 512) == sum(b"\x7f" * 512)
    True
    """
    return (zlib.adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)


def pax_records(data: bytes) -> dict[bytes, bytes]:
    r"""Return the records of a PAX extended header; of two with one key, the last.

    Of a sparse file, the first version of the format lists the segments under two keys, in turn:
    these become the list that the second version has.

    >>> pax_records(b"12 path=a/b\n")
    {b'path': b'a/b'}

    Raises:
        TarError: The data are not such records.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        digits = data[position : position + 9].partition(b" ")[0]
        end = position + int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : end]
        if not position < end <= len(data) or record[-1:] != b"\n":
            raise TarError("an extended header is malformed")
        key, equals, value = record[:-1].partition(b"=")
        if not key or not equals:
            raise TarError("an extended header is malformed")
        if key in _SEGMENTS:
            key, value = _MAP, b",".join(filter(None, (records.get(_MAP), value)))
        records[key] = value
        position = end
    return records


def check_sum(header: bytes) -> None:
    """Refuse a header that has been changed.

    Raises:
        TarError: Its checksum is wrong.
    """
    expected = number(header[148:156])
    actual = byte_sum(header[:148] + b"        " + header[156:])
    if expected != actual:
        raise TarError("a header's checksum is wrong")


def number(field: bytes) -> int:
    """Return the number in a header field: octal digits, or base 256 as GNU writes large ones.

    Raises:
        TarError: It is none.
    """
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return int.from_bytes(field, "big", signed=True)
    text = field.partition(b"\0")[0].strip()
    if not text:
        return 0
    if text.translate(None, b"01234567"):
        raise TarError("a header has a malformed number")
    return int(text, 8)


def decimal(text: bytes) -> int:
    """Return the number that an extended header writes as text.

    Raises:
        TarError: It is none.
    """
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise TarError("an extended header has a malformed number")
    return int(text)
