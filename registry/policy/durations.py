"""Durations and sizes, as people write them."""

import re
from typing import Final

#: Seconds of one.
_UNITS: Final = {"hour": 3600, "day": 86_400, "week": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,6}) ?(h|hours?|d|days?|w|weeks?)", re.ASCII)
_LONG: Final = {"h": "hour", "d": "day", "w": "week"}
#: Ten years: whoever wants more means something else.
_MAX_SECONDS: Final = 3650 * 86_400
_SIZE: Final = re.compile(r"([0-9]{1,6})(\.[0-9]{1,3})? ?([kKMGT]?)(i?)B", re.ASCII)
_POWERS: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_duration(text: str) -> int:
    """Return a duration in seconds.

    >>> parse_duration("7 days"), parse_duration("36 hours"), parse_duration("2w")
    (604800, 129600, 1209600)

    Raises:
        ValueError: It is none, or longer than ten years. The message is a sentence.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a duration such as '7 days', '36 hours', '2 weeks'")
    seconds = int(match[1]) * _UNITS[_unit(match[2])]
    if not 0 < seconds <= _MAX_SECONDS:
        raise ValueError(f"{text[:40]!r} is not between an hour and ten years")
    return seconds


def canonical_duration(text: str) -> str:
    """Return a duration in words.

    >>> canonical_duration("7d"), canonical_duration("1 weeks"), canonical_duration("036h")
    ('7 days', '1 week', '36 hours')

    Raises:
        ValueError: As :func:`parse_duration`.
    """
    parse_duration(text)
    match = _DURATION.fullmatch(text.strip())
    assert match is not None, "it was parsed"
    number = int(match[1])
    return f"{number} {_unit(match[2])}" + ("" if number == 1 else "s")


def parse_size(text: str) -> int:
    """Return a size in bytes.

    >>> parse_size("5 GB"), parse_size("1.5GiB"), parse_size("800 B")
    (5000000000, 1610612736, 800)

    Raises:
        ValueError: It is none, or nothing. The message is a sentence.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a size such as '5 GB' or '800 MiB'")
    base = 1024 if match[4] else 1000
    size_bytes = round(float(match[1] + (match[2] or "")) * float(base ** _POWERS[match[3]]))
    if size_bytes < 1:
        raise ValueError(f"{text[:40]!r} is not more than nothing")
    return size_bytes


def _unit(word: str) -> str:
    return _LONG[word[0]]
