"""The tag of an image name: a date, versions of Python and CUDA, ``bare``, a user."""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from builder.errors import MalformedTag
from builder.image_name.tokens import quote
from builder.spec import parse_user

_NUMBER = "(?:0|[1-9][0-9]{0,3})"
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
#: Splits at the ``-`` between parts and keeps those within a date.
_PART = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?=-|\Z)|[^-]*")
_PYTHON = re.compile(rf"py({_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?)")
_USER = re.compile(r"user([0-9]+)")
_MICROARCHITECTURE = re.compile(r"x86_64_v[2-4]")
_CUDA = re.compile(rf"cuda({_NUMBER})(?:\.({_NUMBER}))?")

_ALLOWED: Final = (
    "a tag is 'latest', or a date such as '2026-11-01', 'py3.12', 'cuda12.4', 'x86_64_v3', "
    "'bare' and 'user1000' joined by '-'"
)


@dataclass(frozen=True, slots=True)
class TagParts:
    """What a tag says."""

    #: Only packages published up to the end of that day, UTC.
    until: datetime.date | None = None
    #: Major and minor (and perhaps micro) version, for example ``"3.12"``.
    python: str | None = None
    #: Major and minor version, for example ``"12.4"``.
    cuda: str | None = None
    #: What processors of x86-64 must have, as archspec calls it, e.g. ``"x86_64_v3"``.
    microarchitecture: str | None = None
    #: Without a base image.
    bare: bool = False
    #: User and group who run in a container, for example ``"1000:1000"``; ``""``: not said.
    user: str = field(default="", repr=False)
    #: Which parts were given, to refuse repetition.
    seen: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


def parse_tag(tag: str, *, today: datetime.date | None = None) -> TagParts:
    """Return what ``tag`` says.

    >>> parts = parse_tag("2026-11-01-py3.12-cuda12.4")
    >>> str(parts.until), parts.python, parts.cuda, parts.bare
    ('2026-11-01', '3.12', '12.4', False)
    >>> parse_tag("bare-cuda12") == parse_tag("cuda12.0-bare")
    True
    >>> parse_tag("latest")
    TagParts(until=None, python=None, cuda=None, microarchitecture=None, bare=False)
    >>> parse_tag("3.12")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    builder.errors.MalformedTag: '3.12' in the tag '3.12' is not understood: a tag is ...

    Raises:
        MalformedTag: A part is unknown, malformed, repeated, or a day after ``today``.
    """
    if tag == "latest":
        return TagParts()
    if not _TAG.fullmatch(tag):
        raise MalformedTag(f"the tag {quote(tag)} is not understood: {_ALLOWED}")
    parts = TagParts()
    for part in split_tag(tag):
        kind, read = _kind_of(part, tag)
        if kind in parts.seen:
            raise MalformedTag(f"{quote(part)} is the second {kind} in the tag {quote(tag)}")
        parts = replace(read(parts), seen=parts.seen | {kind})
    if today and parts.until and parts.until > today:
        raise MalformedTag(
            f"{parts.until} in the tag {quote(tag)} has not come yet: what a channel will offer "
            f"by then cannot be known"
        )
    return parts


def split_tag(tag: str) -> list[str]:
    """Return the parts of a tag, a date in one piece.

    >>> split_tag("2026-11-01-bare")
    ['2026-11-01', 'bare']
    """
    parts = []
    position = 0
    while position <= len(tag):
        match = _PART.match(tag, position)
        # The second alternative matches nothing at all, so there always is a match.
        assert match is not None
        parts.append(match[0])
        position = match.end() + 1
    return parts


def _kind_of(part: str, tag: str) -> tuple[str, Callable[[TagParts], TagParts]]:
    """Return what kind of part it is, and how to add it to the parts before it."""
    if part == "bare":
        return "'bare'", lambda parts: replace(parts, bare=True)
    if match := _PYTHON.fullmatch(part):
        version = match[1]
        return "Python version", lambda parts: replace(parts, python=version)
    if match := _CUDA.fullmatch(part):
        # 12 and 12.0 are the same version, and so must be the same spec.
        cuda = f"{match[1]}.{match[2] or 0}"
        return "CUDA version", lambda parts: replace(parts, cuda=cuda)
    if match := _USER.fullmatch(part):
        try:
            user = parse_user(match[1])
        except ValueError as exc:
            raise MalformedTag(f"{quote(part)} in the tag {quote(tag)}: {exc}") from None
        return "user", lambda parts: replace(parts, user=user)
    if _MICROARCHITECTURE.fullmatch(part):
        return "microarchitecture", lambda parts: replace(parts, microarchitecture=part)
    if match := _DATE.fullmatch(part):
        try:
            day = datetime.date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            raise MalformedTag(
                f"{quote(part)} in the tag {quote(tag)} is no day of the calendar: "
                f"write year-month-day"
            ) from None
        return "date", lambda parts: replace(parts, until=day)
    raise MalformedTag(f"{quote(part)} in the tag {quote(tag)} is not understood: {_ALLOWED}")
