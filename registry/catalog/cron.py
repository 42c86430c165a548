"""When a schedule is due: what people write for it, and which moments that are.

::

    hourly daily weekly monthly yearly    some minute of the night, another one for each environment
    30 3 * * MON                          minute, hour, day of the month, month, day of the week

Fields have ``*``, numbers, names (``MON``, ``JAN``), lists, ranges and steps; days also ``L`` (the
last one), ``LW`` (the last weekday), ``MON#2`` and ``5L``. As with Debian's cron, days of the month
and of the week both have to match if one of them begins with ``*``, else one of them.

A time of day that the zone leaves out comes at the first minute after the gap, and one that it has
twice comes the first time. What has ``*`` for its minute or hour goes on evenly through both.

Everything here is computation. A moment that is decades away takes some milliseconds to find.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from registry.errors import ScheduleInvalid

#: No schedule is due more often.
MIN_MINUTES: Final = 15
#: The longest text.
MAX_LENGTH: Final = 200
#: What is spread over the early hours, so that not all are due at once. ``{m}``, ``{h}``: a minute,
#: and an hour from 1 to 4.
_WORDS: Final = {
    "hourly": "{m} * * * *",
    "daily": "{m} {h} * * *",
    "weekly": "{m} {h} * * 1",
    "monthly": "{m} {h} 1 * *",
    "yearly": "{m} {h} 1 1 *",
}
WORDS: Final = tuple(_WORDS)
_ALIASES: Final = {"midnight": "daily", "annually": "yearly"}
_FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
#: Field → what it may have, for people; its lowest and highest number.
_MAY_HAVE: Final = {
    "minute": ("minute", "0 to 59", 0, 59),
    "hour": ("hour", "0 to 23", 0, 23),
    "day-of-month": ("day of the month", "1 to 31, or L for the last", 1, 31),
    "month": ("month", "1 to 12, or JAN to DEC", 1, 12),
    "day-of-week": ("day of the week", "0 to 7 (both are Sunday), or SUN to SAT", 0, 7),
}
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_EXAMPLE: Final = "'30 3 * * 1' for Mondays at 3:30"
_WRITE: Final = f"write {', '.join(WORDS)}, or five fields such as {_EXAMPLE}"
_ZONE: Final = re.compile(r"(?:CRON_)?TZ=(\S*)\s*(.*)", re.DOTALL)
_IN_BRACKETS: Final = re.compile(r"(cron|rate)\((.*)\)", re.IGNORECASE | re.DOTALL)
_BACKWARDS: Final = re.compile(r"([0-9]{1,2}|[A-Z]{3})-([0-9]{1,2}|[A-Z]{3})")
#: A field of programs that have seconds or years besides.
_OF_OTHERS: Final = re.compile(f"(?:[0-9*?,/#LW-]|{'|'.join((*_DAYS, *_MONTHS))})+")
_STEP: Final = re.compile(r"[^,]*/([0-9]+)")
_ON_WEEKDAYS: Final = re.compile(
    r"At ([0-9:, and]*?) on ((?:(?:Sun|Mon|Tues|Wednes|Thurs|Fri|Satur)day|,|and|through| )+)"
)
#: Any moment: whether there is a next one does not depend on it.
_SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)


def read_cron(text: str) -> str:
    """Return when something is due in its canonical form.

    >>> read_cron("@weekly"), read_cron("  30 3  * * mon ")
    ('weekly', '30 3 * * MON')

    Raises:
        ScheduleInvalid: It says nothing that can be used, never comes, or comes too often.
    """
    text = " ".join(text.split())
    if not text:
        raise ScheduleInvalid(f"say when it is due: {_WRITE}")
    if len(text) > MAX_LENGTH:
        raise ScheduleInvalid(f"no schedule has more than {MAX_LENGTH} characters: {_WRITE}")
    word = text.casefold().removeprefix("@")
    word = _ALIASES.get(word, word)
    if word in _WORDS:
        return word
    _require_no_other(text)
    fields = text.upper().split(" ")
    if len(fields) != len(_FIELDS):
        raise ScheduleInvalid(_not_five(text, fields))
    for place in (2, 4):
        fields[place] = "*" if fields[place] == "?" else fields[place]
    cron = " ".join(fields)
    try:
        simulated = CronSim(cron, _SOME_TIME)
        next(simulated)
    except CronSimError as exc:
        raise ScheduleInvalid(_bad_field(cron, str(exc))) from exc
    except StopIteration:
        raise ScheduleInvalid(_never(cron)) from None
    _require_steps(fields)
    _require_seldom(cron, simulated)
    return cron


def read_timezone(text: str) -> str:
    """Return the name of a time zone as the time zone database has it.

    >>> read_timezone("europe/berlin"), read_timezone("utc")
    ('Europe/Berlin', 'UTC')

    Raises:
        ScheduleInvalid: It is none.
    """
    found = _zones().get(text.strip().casefold())
    if found is None:
        raise ScheduleInvalid(
            f"'{text[:60]}' is no time zone: write one as the time zone database names it, such as"
            " Europe/Berlin, America/New_York or UTC"
        )
    return found


def fields_of(cron: str, environment: int) -> str:
    """Return the five fields that a schedule of an environment comes to.

    >>> fields_of("weekly", 7), fields_of("30 3 * * MON", 7)
    ('22 4 * * 1', '30 3 * * MON')
    """
    pattern = _WORDS.get(cron)
    if pattern is None:
        return cron
    spread = int.from_bytes(sha256(f"{cron} {environment}".encode()).digest()[:8])
    return pattern.format(m=spread % 60, h=1 + spread // 60 % 4)


def times_after(fields: str, timezone: str, moment: datetime) -> Iterator[datetime]:
    """Yield when five fields are due after a moment: in order, each once, in UTC.

    Raises:
        ScheduleInvalid: The time zone is not known here.
    """
    last = moment.astimezone(UTC)
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as exc:
        raise ScheduleInvalid(f"the time zone '{timezone}' is not known to this server") from exc
    # Times of one zone are compared without the hour that it has twice: in UTC they are right.
    for due in CronSim(fields, last.astimezone(zone)):
        found = due.astimezone(UTC)
        if found > last:
            last = found
            yield found


def next_time(fields: str, timezone: str, moment: datetime) -> datetime:
    """Return when five fields are due next after a moment, in UTC.

    Raises:
        ScheduleInvalid: The time zone is not known here.
    """
    return next(times_after(fields, timezone, moment))


def in_words(fields: str, timezone: str) -> str:
    """Return when five fields are due, for people.

    >>> in_words("17 3 * * 1", "Europe/Berlin")
    'Mondays at 03:17, Europe/Berlin'
    >>> in_words("0 0 1 */3 *", "UTC")
    'At 00:00 on the first day of every third month, UTC'
    """
    said = CronSim(fields, _SOME_TIME).explain()
    match = _ON_WEEKDAYS.fullmatch(said)
    if match is not None:
        days = match[2].replace("day", "days").replace("through", "to")
        said = f"{days} at {match[1]}"
    return f"{said}, {timezone}"


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """Return the names of time zones by the same without differences of case.

    Those of the package, which every server has, and not what a machine has besides.
    """
    names = files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return {name.casefold(): name for name in names if name != "Factory"}


def _require_no_other(text: str) -> None:
    """Return if a text is not what another program has schedules written as.

    Raises:
        ScheduleInvalid: It is; the sentence says what to write here.
    """
    zone = _ZONE.fullmatch(text)
    if zone is not None:
        rest = f"'{zone[2]}' here" if zone[2] else "when it is due here"
        raise ScheduleInvalid(
            f"the time zone is a field of its own: write '{zone[1][:60]}' as the time zone, and"
            f" {rest}"
        )
    if text.startswith("@"):
        raise ScheduleInvalid(f"'{text[:60]}' cannot be used: {_WRITE}")
    bracketed = _IN_BRACKETS.fullmatch(text)
    if bracketed is not None:
        raise ScheduleInvalid(
            f"'{bracketed[1]}(…)' is not used here: {_without(bracketed[2].split(' ')[:5])}"
        )
    if re.search(r"(?:^| )H(?:$|[ /(])", text):
        raise ScheduleInvalid(
            "'H' is not used here: write hourly, daily, weekly, monthly or yearly, and each"
            " environment has a time of its own"
        )


def _not_five(text: str, fields: list[str]) -> str:
    """Return what is said of what has fewer fields than five, or more."""
    if len(fields) in {6, 7} and all(_OF_OTHERS.fullmatch(one) for one in fields):
        return f"'{text[:60]}' has {len(fields)} fields: {_without(fields[1:6])}"
    return f"'{text[:60]}' is no schedule: {_WRITE}"


def _without(fields: list[str]) -> str:
    """Return the advice to write five fields alone; those of another program, if they mean it."""
    # Its days of the week may be counted from 1: what is a number there means another day here.
    is_sure = len(fields) == len(_FIELDS) and not re.search(r"[0-9]", fields[4])
    if is_sure:
        try:
            return f"write '{read_cron(' '.join(fields))}', without seconds and year"
        except ScheduleInvalid:
            pass
    return f"write minute, hour, day, month and day of the week alone, such as {_EXAMPLE}"


def _bad_field(cron: str, said: str) -> str:
    """Return what is said of the field that the library complains of."""
    name = said.removeprefix("Bad ")
    if name not in _MAY_HAVE:
        return f"'{cron[:60]}' is no schedule: {_WRITE}"
    field = cron.split(" ")[_FIELDS.index(name)]
    title, may_have, low, high = _MAY_HAVE[name]
    names = {"month": ("", *_MONTHS), "day-of-week": _DAYS}.get(name, ())
    for part in field.split(","):
        match = _BACKWARDS.fullmatch(part)
        ends = [_number(one, names) for one in match.groups()] if match is not None else []
        if len(ends) == 2 and low <= ends[1] < ends[0] <= high:
            first, last = part.split("-")
            return f"'{part}' counts backwards: write '{_wrapped(first, last, names, low, high)}'"
    if name == "day-of-month" and _is_read(field):
        return _never(cron)
    return f"'{field[:40]}' is no {title}: write {may_have}, a list as 1,3, a range as 1-5, or *"


def _is_read(days: str) -> bool:
    try:
        CronSim(f"0 0 {days} * *", _SOME_TIME)
    except CronSimError:
        return False
    return True


def _number(text: str, names: tuple[str, ...]) -> int:
    if text.isdecimal():
        return int(text)
    return names.index(text) if text in names else -1


def _wrapped(first: str, last: str, names: tuple[str, ...], low: int, high: int) -> str:
    """Return a range that passes the end of its field, as two."""
    top = high if not names or first.isdecimal() else len(names) - 1
    end = names[top] if not first.isdecimal() else str(6 if high == 7 else top)
    begin = str(low) if last.isdecimal() else names[low]
    until_end = first if first == end else f"{first}-{end}"
    return f"{until_end},{begin if last == begin else f'{begin}-{last}'}"


def _never(cron: str) -> str:
    return f"'{cron[:60]}' is never due: no month that it names has such a day"


def _require_steps(fields: list[str]) -> None:
    """Return if no step is longer than its field: ``*/90`` is not every ninety minutes.

    Raises:
        ScheduleInvalid: One is.
    """
    for name, field in zip(_FIELDS, fields, strict=True):
        title, _, low, high = _MAY_HAVE[name]
        for step in _STEP.finditer(field):
            if int(step[1]) > high - low:
                raise ScheduleInvalid(
                    f"'{field[:40]}' does not count on from one to the next: the {title} has steps"
                    f" of {high - low} at most"
                )


def _require_seldom(cron: str, simulated: CronSim) -> None:
    """Return if a quarter of an hour lies between any two times of a day, and of two days.

    Raises:
        ScheduleInvalid: It does not.
    """
    times = sorted(hour * 60 + minute for hour in simulated.hours for minute in simulated.minutes)
    gaps = [after - before for before, after in pairwise([*times, times[0] + 24 * 60])]
    if min(gaps) < MIN_MINUTES:
        raise ScheduleInvalid(
            f"'{cron[:60]}' is due after {min(gaps)} minute{'' if min(gaps) == 1 else 's'} again:"
            f" leave at least {MIN_MINUTES} minutes between, as in '*/15 * * * *', or write hourly"
        )
