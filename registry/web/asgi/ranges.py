"""Ranges and conditions of requests (RFC 9110, sections 13 and 14)."""

import re
from dataclasses import dataclass
from typing import Final

from registry.errors import RangeInvalid
from registry.web.asgi.headers import RequestHeaders

_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
#: More digits than any blob's size has: longer numbers mean the same as this many nines.
_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a body, from ``start`` to ``stop`` (exclusive); never empty."""

    start: int
    stop: int

    def content_range(self, size_bytes: int) -> str:
        """Return the value of ``Content-Range``.

        >>> ByteRange(0, 2).content_range(10)
        'bytes 0-1/10'
        """
        return f"bytes {self.start}-{self.stop - 1}/{size_bytes}"


def parse_range(text: str | None, size_bytes: int) -> ByteRange | None:
    """Return the part that a ``Range`` header asks for, or ``None`` to send everything.

    Everything is sent for headers that are malformed or name several ranges, as a server may:
    no registry client sends those, and answering them is how servers were brought down.

    >>> parse_range("bytes=4-", 10), parse_range("bytes=-3", 10), parse_range("bytes=0-0,2-3", 10)
    (ByteRange(start=4, stop=10), ByteRange(start=7, stop=10), None)

    Raises:
        RangeInvalid: The range lies outside the body, or ends before it begins.

    Source: RFC 9110, 14.1.2 and 14.2.
    """
    match = _RANGE.fullmatch(text) if text else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        suffix = _number(last)
        if suffix == 0:
            raise RangeInvalid(size_bytes)
        # An empty body satisfies any suffix, but no Content-Range can say so.
        return ByteRange(max(0, size_bytes - suffix), size_bytes) if size_bytes else None
    start = _number(first)
    stop = _number(last) + 1 if last else size_bytes
    # A range that ends before it begins may be ignored or refused (RFC 9110, 14.1.1): whoever asks
    # for one byte too few hears of it.
    if start >= size_bytes or stop <= start:
        raise RangeInvalid(size_bytes)
    return ByteRange(start, min(stop, size_bytes))


def range_of(headers: RequestHeaders, etag: str, size_bytes: int) -> ByteRange | None:
    """Return the part that a request asks for, with regard to ``If-Range``.

    Raises:
        RangeInvalid: The range lies outside the body.
    """
    condition = headers.get("if-range")
    # A date never matches, since nothing here has one; a weak tag must not (RFC 9110, 13.1.5).
    if condition is not None and condition.strip() != etag:
        return None
    return parse_range(headers.get("range"), size_bytes)


def is_not_modified(headers: RequestHeaders, etag: str) -> bool:
    """Tell whether the client has what ``etag`` stands for already.

    Source: RFC 9110, 13.1.2: weak comparison.
    """
    condition = headers.get("if-none-match")
    if condition is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
    return etag in tags or "*" in tags


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS else 10**_DIGITS - 1
