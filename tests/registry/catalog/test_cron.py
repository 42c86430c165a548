"""What others write for the same, and moments that clocks leave out or have twice.

The texts are of crontab.guru's examples, of the manuals of Kubernetes, GitHub Actions, Renovate,
Dependabot, Jenkins, Quartz, EventBridge and systemd, and of reports to those who schedule by them.
"""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random

import pytest
from cronsim import CronSim

from registry.catalog.cron import (
    MIN_MINUTES,
    WORDS,
    fields_of,
    in_words,
    next_time,
    read_cron,
    read_timezone,
    times_after,
)
from registry.errors import ScheduleInvalid

USED = {
    "@hourly": "hourly",
    "@daily": "daily",
    "@midnight": "daily",
    "@weekly": "weekly",
    "@monthly": "monthly",
    "@yearly": "yearly",
    "@annually": "yearly",
    "Weekly": "weekly",
    "weekly": "weekly",
    "0 0 * * 0": "0 0 * * 0",
    "5 4 * * sun": "5 4 * * SUN",
    "0 0 1 jan *": "0 0 1 JAN *",
    "  15   14 1 * * ": "15 14 1 * *",
    "*/15 * * * *": "*/15 * * * *",
    "0/20 * * * *": "0/20 * * * *",
    "0 22 * * 1-5": "0 22 * * 1-5",
    "23 0-20/2 * * *": "23 0-20/2 * * *",
    "0 0,12 1 */2 *": "0 0,12 1 */2 *",
    "0 4 8-14 * *": "0 4 8-14 * *",
    "30 4 1,15 * 5": "30 4 1,15 * 5",
    "0 0 13 * 5": "0 0 13 * 5",
    "0 2 * * 6-7": "0 2 * * 6-7",
    "0 0 ? * MON": "0 0 * * MON",
    "15 2 * * ?": "15 2 * * *",
    "0 0 L * *": "0 0 L * *",
    "0 0 LW * *": "0 0 LW * *",
    "15 2 * * 1L": "15 2 * * 1L",
    "15 0 * * 4#2": "15 0 * * 4#2",
    "0 3 29 2 *": "0 3 29 2 *",
    "30 5,17 * * *": "30 5,17 * * *",
    "0 0 1 1,4,7,10 *": "0 0 1 1,4,7,10 *",
}

#: Text → what its sentence says to write, or why it cannot be.
NOT_USED = {
    "": "say when it is due: write hourly, daily, weekly",
    "@reboot": "write hourly, daily, weekly",
    "@every 1h30m": "write hourly, daily, weekly",
    "@fortnightly": "write hourly, daily, weekly",
    "quarterly": "write hourly, daily, weekly",
    "before 4am on the first day of the month": "write hourly, daily, weekly",
    "after 10pm and before 5am every weekday": "write hourly, daily, weekly",
    "every weekend": "write hourly, daily, weekly",
    "* 0-3 * * 1": "is due after 1 minute again: leave at least 15 minutes between",
    "* * * * *": "leave at least 15 minutes between",
    "*/5 * * * *": "is due after 5 minutes again: leave at least 15 minutes between",
    "0,5 3 * * 1": "is due after 5 minutes again",
    "0,55 0,23 * * *": "is due after 5 minutes again",
    "*/25 * * * *": "is due after 10 minutes again",
    "*/90 * * * *": "'*/90' does not count on from one to the next: the minute has steps of 59",
    "0 */36 * * *": "the hour has steps of 23 at most",
    "0 0 */40 * *": "the day of the month has steps of 30 at most",
    "0 0 30 2 *": "is never due: no month that it names has such a day",
    "0 0 31 4,6,9,11 *": "is never due",
    "0 0 * * FRI-MON": "'FRI-MON' counts backwards: write 'FRI-SAT,SUN-MON'",
    "0 0 * * SAT-SUN": "write 'SAT,SUN'",
    "0 0 * * 5-1": "write '5-6,0-1'",
    "0 22-5 * * *": "'22-5' counts backwards: write '22-23,0-5'",
    "0 0 1 NOV-FEB *": "write 'NOV-DEC,JAN-FEB'",
    "0 0 25-5 * *": "write '25-31,1-5'",
    "0 9 * * Monday": "'MONDAY' is no day of the week: write 0 to 7 (both are Sunday), or SUN",
    "0 9 * * 8": "'8' is no day of the week",
    "61 * * * *": "'61' is no minute: write 0 to 59",
    "0 24 * * *": "'24' is no hour: write 0 to 23",
    "0 0 0 * *": "'0' is no day of the month: write 1 to 31",
    "0 0 32 * *": "'32' is no day of the month",
    "0 0 15W * *": "'15W' is no day of the month",
    "0 0 L-3 * *": "'L-3' is no day of the month",
    "0 0 1 13 *": "'13' is no month: write 1 to 12, or JAN to DEC",
    "0 0 1 0 *": "'0' is no month",
    "0 0 1 Jan,Fbr *": "'JAN,FBR' is no month",
    "*/0 * * * *": "'*/0' is no minute",
    "0 -1 * * *": "'-1' is no hour",
    "0 1,, * * *": "'1,,' is no hour",
    "٣ 3 * * *": "'٣' is no minute",
    "TZ=America/New_York 0 3 * * *": "write 'America/New_York' as the time zone, and '0 3 * * *'",
    "CRON_TZ=UTC 0 3 * * 1": "write 'UTC' as the time zone, and '0 3 * * 1' here",
    "H H * * 0": "each environment has a time of its own",
    "H/15 * * * *": "each environment has a time of its own",
    "0 H(1-4) * * *": "each environment has a time of its own",
    "0 0 12 * * ?": "has 6 fields: write '0 12 * * *', without seconds and year",
    "0 15 10 ? * MON-FRI": "write '15 10 * * MON-FRI', without seconds and year",
    "0 15 10 ? * 6L": "write minute, hour, day, month and day of the week alone",
    "0 0 12 ? * WED *": "has 7 fields: write '0 12 * * WED'",
    "0 30 10-13 ? * WED,FRI 2026": "write '30 10-13 * * WED,FRI'",
    "cron(0 10 * * ? *)": "write '0 10 * * *', without seconds and year",
    "cron(0 18 ? * 2-6 *)": "write minute, hour, day, month and day of the week alone",
    "rate(7 days)": "write minute, hour, day, month and day of the week alone",
    "Mon *-*-* 04:00:00": "write hourly, daily, weekly",
    "Mon..Fri 10:00": "write hourly, daily, weekly",
    "03:00": "write hourly, daily, weekly",
    "0 3 * *": "write hourly, daily, weekly",
    "0 3 * * 1 /usr/bin/solve": "write hourly, daily, weekly",
    "1 " * 200: "no schedule has more than 200 characters",
    "0 3 * * \x00": "is no day of the week",
    "0 3 * * 1#6": "'1#6' is no day of the week",
}


@pytest.mark.parametrize(("written", "kept"), USED.items())
def test_what_others_use_is_used_as_they_mean_it(written: str, kept: str) -> None:
    assert read_cron(written) == kept
    assert read_cron(kept) == kept
    due = fields_of(kept, 7)
    assert in_words(due, "Europe/Berlin").endswith(", Europe/Berlin")
    now = datetime(2026, 11, 30, tzinfo=UTC)
    assert next_time(due, "Europe/Berlin", now) > now


@pytest.mark.parametrize(("written", "advice"), NOT_USED.items())
def test_what_is_not_used_says_in_one_sentence_what_to_write(written: str, advice: str) -> None:
    with pytest.raises(ScheduleInvalid) as refused:
        read_cron(written)
    assert advice in refused.value.message
    assert not refused.value.message.endswith(".")
    # What it says to write can be written.
    for example in re.findall(r"write '([^']+ [^']+)'", refused.value.message):
        assert read_cron(example)


def test_no_text_at_all_is_more_than_a_sentence() -> None:
    chance = Random(17)
    parts = ["*", "0", "7", "59", "60", "MON", "JAN", "L", "LW", "#", "/", "-", ",", " ", "?", "H"]
    parts += ["1-5", "*/15", "@", "TZ=", "²", "\x00", "31", "2", "5L", "MON#5", "cron(", ")"]
    known = 0
    for _ in range(4000):
        text = "".join(chance.choice(parts) for _ in range(chance.randint(1, 12)))
        if chance.random() < 0.7:
            text = " ".join(chance.choice(parts[:9] + parts[16:18] + parts[22:26]) for _ in "12345")
        try:
            fields = fields_of(read_cron(text), 1)
        except ScheduleInvalid:
            continue
        known += 1
        soon = list(islice(times_after(fields, "America/New_York", datetime.now(UTC)), 3))
        assert soon == sorted(set(soon))
        assert in_words(fields, "UTC")
    assert known > 30


@pytest.mark.parametrize("word", WORDS)
def test_words_are_spread_over_the_early_hours(word: str) -> None:
    times = {fields_of(word, environment) for environment in range(4000)}
    assert len(times) == (60 if word == "hourly" else 240)
    for fields in times:
        due = next_time(fields, "Europe/Berlin", datetime(2026, 11, 30, tzinfo=UTC))
        assert word == "hourly" or 0 <= due.hour < 4, "1 to 5 in Berlin"
    assert fields_of(word, 7) == fields_of(word, 7)


def test_it_is_said_in_words() -> None:
    said = {
        "17 3 * * 1": "Mondays at 03:17, UTC",
        "0 9 * * MON-FRI": "Mondays to Fridays at 09:00, UTC",
        "30 4 * * 2,4": "Tuesdays and Thursdays at 04:30, UTC",
        "0 3 * * *": "At 03:00 every day, UTC",
        "30 4 1,15 * 5": "At 04:30 on the first and the 15th day of month and on Friday, UTC",
        "0 0 */2 * MON": "At 00:00 on every second day of month if it's on Monday, UTC",
        "5 * * * *": "At minute 5 of every hour, UTC",
    }
    assert {fields: in_words(fields, "UTC") for fields in said} == said


#: Zone, fields, after which moment, and the next moments; all in UTC.
CLOCKS = {
    "kubernetes/kubernetes#121594: once, though 2:00 comes twice": (
        *("Europe/Berlin", "0 2 * * *", "2023-10-28T00:30"),
        ["2023-10-29T00:00", "2023-10-30T01:00"],
    ),
    "also for whoever looks between the two": (
        *("Europe/Berlin", "0 2 * * *", "2023-10-29T00:30"),
        ["2023-10-30T01:00"],
    ),
    "robfig/cron, argo-workflows#8137: a time that is left out comes after the gap": (
        *("America/New_York", "0 2 * * 0-5", "2022-03-13T06:00"),
        ["2022-03-13T07:00", "2022-03-14T06:00"],
    ),
    "two times that are left out come once": (
        *("Europe/Berlin", "0,30 2 * * *", "2026-03-28T12:00"),
        ["2026-03-29T01:00", "2026-03-30T00:00", "2026-03-30T00:30"],
    ),
    "kelektiv/node-cron#881: half hours go on evenly where an hour comes twice": (
        *("Australia/Melbourne", "*/30 * * * *", "2024-04-06T14:45"),
        [f"2024-04-06T{hour}:{minute}" for hour in (15, 16) for minute in ("00", "30")],
    ),
    "PrefectHQ/prefect#5957: midnight that is left out": (
        *("America/Santiago", "0 0 * * 0", "2022-08-29T12:00"),
        ["2022-09-04T04:00", "2022-09-11T04:00", "2022-09-18T03:00"],
    ),
    "robfig/cron#157: a midnight left out some days before": (
        *("America/Sao_Paulo", "0 9 10 * *", "2018-10-17T12:00"),
        ["2018-11-10T11:00", "2018-12-10T11:00"],
    ),
    "jmrozanec/cron-utils#332": (
        *("America/Santiago", "0 6 * * *", "2018-08-12T03:00"),
        ["2018-08-12T09:00", "2018-08-13T09:00"],
    ),
    "a day that is left out": (
        *("Pacific/Apia", "0 3 * * *", "2011-12-29T13:30"),
        ["2011-12-30T10:00", "2011-12-30T13:00", "2011-12-31T13:00"],
    ),
    "half an hour is put back": (
        *("Australia/Lord_Howe", "45 1 * * *", "2026-04-03T15:30"),
        ["2026-04-04T14:45", "2026-04-05T15:15"],
    ),
    "zones of a quarter of an hour": (
        *("Asia/Kathmandu", "15 3 * * *", "2026-11-30T00:00"),
        ["2026-11-30T21:30"],
    ),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_what_clocks_leave_out_or_have_twice_comes_once(clock: str) -> None:
    zone, fields, after, expected = CLOCKS[clock]
    assert isinstance(after, str)
    found = islice(
        times_after(str(fields), str(zone), datetime.fromisoformat(after).replace(tzinfo=UTC)),
        len(expected),
    )
    assert [f"{moment:%Y-%m-%dT%H:%M}" for moment in found] == list(expected)


@pytest.mark.parametrize("zone", ["Africa/Cairo", "America/Havana", "Asia/Beirut", "Europe/London"])
@pytest.mark.parametrize("fields", ["0 */6 * * *", "30 0 * * *", "*/15 0 * * *", "0 0 L * *"])
def test_no_year_has_a_time_twice_or_out_of_order(zone: str, fields: str) -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for moment in times_after(fields, zone, after):
        if moment > after + timedelta(days=366):
            break
        found.append(moment)
    assert found == sorted(set(found))
    assert len(found) >= 12
    # Whoever asks anew after each finds the same.
    last = after
    for moment in found[:400]:
        last = next_time(fields, zone, last)
        assert last == moment


def test_time_zones_are_those_of_the_database() -> None:
    assert read_timezone(" europe/BERLIN ") == "Europe/Berlin"
    for kept in ("UTC", "CET", "EST", "Etc/GMT-1", "US/Pacific", "America/Argentina/Buenos_Aires"):
        assert read_timezone(kept) == kept
    for wrong in ("", "Local", "localtime", "Factory", "UTC+2", "CEST", "../UTC", "Europe", "/x"):
        with pytest.raises(ScheduleInvalid, match="write one as the time zone database names it"):
            read_timezone(wrong)
    with pytest.raises(ScheduleInvalid, match="is not known to this server"):
        next_time("0 0 * * *", "Europe/Atlantis", datetime.now(UTC))


def test_nothing_is_due_more_often_than_it_may_be() -> None:
    for cron in USED:
        fields = fields_of(read_cron(cron), 3)
        soon = list(islice(times_after(fields, "UTC", datetime(2026, 1, 1, tzinfo=UTC)), 60))
        gaps = [after - before for before, after in pairwise(soon)]
        assert min(gaps) >= timedelta(minutes=MIN_MINUTES), cron


def test_the_library_counts_as_it_is_used_here() -> None:
    """It is asked for the sets that a text comes to."""
    found = CronSim("0/20 3,5 * * *", datetime(2026, 1, 1, tzinfo=UTC))
    assert (found.minutes, found.hours) == ({0, 20, 40}, {3, 5})
