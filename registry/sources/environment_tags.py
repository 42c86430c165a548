"""Tags of named environments: which build, and which variant of it, one stands for.

::

    tag      = part { "-" part } ;                (each kind of part at most once)
    part     = which | "bare" | "user" uid ;
    which    = "latest" | "v" number | key | date ;

Without a *which* it is the active version. A date is what was active at the end of that day, UTC.
All else that tags of ``env/`` say decides which packages there are, and a version's are locked.
"""

import bisect
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from builder.errors import MalformedTag
from builder.image_name.tag import split_tag
from builder.image_name.tokens import quote
from registry.errors import ManifestUnknown
from registry.sources.directory import Pointer
from registry.sources.variants import Variant

#: ``None``: the active version; a number, a key, or what was active at the end of a day.
Which = int | str | datetime.date | None

_VERSION: Final = re.compile(r"v([1-9][0-9]{0,8})")
_KEY: Final = re.compile(r"[0-9a-f]{32}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OF_PACKAGES: Final = re.compile(r"py[0-9.]+|cuda[0-9.]+|x86_64_v[0-9]")
_ALLOWED: Final = (
    "a tag of an environment is 'latest', a version such as 'v7', a key, or a date such as"
    " '2026-11-01', with 'bare' and 'user1000' joined by '-'"
)


@dataclass(frozen=True, slots=True)
class EnvironmentTag:
    """What a tag says."""

    which: Which
    variant: Variant


def parse_environment_tag(tag: str, *, today: datetime.date) -> EnvironmentTag:
    """Return what a tag of an environment says.

    >>> today = datetime.date(2026, 11, 2)
    >>> parse_environment_tag("v7-bare", today=today)
    EnvironmentTag(which=7, variant=Variant(bare=True, user=''))
    >>> parse_environment_tag("user1000-2026-11-01", today=today).which
    datetime.date(2026, 11, 1)

    Raises:
        MalformedTag: A part is unknown or said twice, or a day after ``today``.
    """
    which: list[Which] = []
    variant = Variant()
    for part in split_tag(tag):
        try:
            added = variant.plus(part)
        except ValueError as exc:
            raise MalformedTag(f"{exc} in the tag {quote(tag)}: {_ALLOWED}") from None
        if added is not None:
            variant = added
            continue
        if which:
            _which(part, tag, today)
            raise MalformedTag(
                f"{quote(part)} in the tag {quote(tag)} is the second that says which version:"
                f" {_ALLOWED}"
            )
        which.append(_which(part, tag, today))
    return EnvironmentTag(which[0] if which else None, variant)


def build_of(pointer: Pointer, which: Which) -> str:
    """Return the key of the build that a tag stands for.

    Raises:
        ManifestUnknown: The environment has, or had, no such version.
    """
    name = f"{pointer.namespace}/{pointer.environment}"
    look = f"'pullforge env versions {name}' lists what there is"
    match which:
        case None:
            found = pointer.active
            problem = f"no version of '{name}' is active yet"
        case int():
            found = pointer.versions.get(which)
            problem = f"'{name}' has no version {which} that was built"
        case str():
            found = which if which in pointer.versions.values() else None
            problem = f"no version of '{name}' has the key '{which}'"
        case _:
            found = _active_at(pointer, which)
            problem = f"no version of '{name}' was active at the end of {which}"
    if found is None:
        raise ManifestUnknown(f"{problem}: {look}")
    return found


def tags_of(pointer: Pointer) -> Sequence[str]:
    """Return the tags of an environment that can be listed, in ASCII order.

    Of dates those on which another version became active, since every later day has a tag, too.
    """
    days = {
        datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()
        for at, _ in pointer.activations
    }
    found = {*days, *pointer.versions.values(), *(f"v{number}" for number in pointer.versions)}
    return sorted(found | ({"latest"} if pointer.active is not None else set()))


def _which(part: str, tag: str, today: datetime.date) -> Which:
    if part == "latest":
        return None
    if match := _VERSION.fullmatch(part):
        return int(match[1])
    if _KEY.fullmatch(part):
        return part
    if _DATE.fullmatch(part):
        return _day(part, tag, today)
    if _OF_PACKAGES.fullmatch(part):
        raise MalformedTag(
            f"{quote(part)} in the tag {quote(tag)} would need other packages, and those of a"
            f" version are locked: {_ALLOWED}"
        )
    raise MalformedTag(f"{quote(part)} in the tag {quote(tag)} is not understood: {_ALLOWED}")


def _day(part: str, tag: str, today: datetime.date) -> datetime.date:
    try:
        day = datetime.date.fromisoformat(part)
    except ValueError:
        raise MalformedTag(
            f"{quote(part)} in the tag {quote(tag)} is no day of the calendar: write year-month-day"
        ) from None
    if day > today:
        raise MalformedTag(
            f"{day} in the tag {quote(tag)} has not come yet: what will be active then cannot be"
            " known"
        )
    return day


def _active_at(pointer: Pointer, day: datetime.date) -> str | None:
    """Return what was active when ``day`` was over."""
    start = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    end = start.timestamp() + datetime.timedelta(days=1).total_seconds()
    position = bisect.bisect_left(pointer.activations, end, key=lambda one: one[0])
    return pointer.activations[position - 1][1] if position else None
