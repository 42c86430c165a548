"""How moments, sizes and numbers are written in pages."""

from datetime import UTC, date, datetime
from urllib.parse import quote

from markupsafe import Markup
from rich.filesize import decimal


def when(moment: str | datetime | None, otherwise: str = "-") -> Markup | str:
    """Return a moment as an element that a script can turn into the reader's zone.

    >>> when("2026-11-29T23:41:53Z")
    Markup('<time datetime="2026-11-29T23:41:53Z">29 Nov 2026, 23:41 UTC</time>')
    >>> when(None, "never")
    'never'
    """
    if moment is None:
        return otherwise
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    at = at.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    shown = f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"
    return Markup('<time datetime="{}Z">{}</time>').format(at.isoformat(), shown)


def day(text: str) -> str:
    """Return a day, which is the same in every zone.

    >>> day("2026-11-29")
    '29 Nov 2026'
    """
    at = date.fromisoformat(text)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def size(size_bytes: int | None, otherwise: str = "-") -> str:
    """Return a size for people, in units of 1000.

    >>> size(1234567), size(None)
    ('1.2 MB', '-')
    """
    return decimal(size_bytes) if size_bytes is not None else otherwise


def number(count: int | None, otherwise: str = "-") -> str:
    """Return a number with thin blanks between thousands.

    >>> number(1234567) == "1\u202f234\u202f567"
    True
    """
    return f"{count:,}".replace(",", "\u202f") if count is not None else otherwise


def part(text: str) -> str:
    """Return text as a part of an address.

    >>> part("/staff/data")
    '%2Fstaff%2Fdata'
    """
    return quote(text, safe="")


#: Not the locale's: what is written does not depend on where the server runs.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
