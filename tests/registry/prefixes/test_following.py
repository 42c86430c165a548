"""A root follows a server that answers, waits, is away, or is behind a proxy."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from builder.install.prefix.installation import InstallationPlan
from builder.platforms import Subdir
from registry.errors import PrefixError, PrefixSourceUnavailable, RootUnusable
from registry.prefixes.following import Clock, Followed, Pauses, follow
from registry.prefixes.server import Wanted, WantedVersion

pytestmark = pytest.mark.anyio

AWAY = PrefixSourceUnavailable("the server is away")


def wanted(number: int) -> Wanted:
    version = WantedVersion("ada", "tools", number, f"{number:032x}", True, 0.0)
    return Wanted((version,), f'"{number}"')


class Time:
    """Passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep, lambda: 1.0)


#: What a server does when it is asked: how long it takes, and its answer.
Step = tuple[float, Wanted | PrefixError | None]


class Script:
    """A server that does one step after another, and in the end cancels whoever asks."""

    def __init__(self, time: Time, steps: Iterator[Step] | Sequence[Step]) -> None:
        self._time = time
        self._steps = iter(steps)
        #: Etag and wait of each question.
        self.asked: list[tuple[str | None, float]] = []

    async def wanted(
        self, only: Sequence[str], versions: int | None, known: str | None, wait_seconds: float
    ) -> Wanted | None:
        assert (only, versions) == (("ada/*",), 2)
        step = next(self._steps, None)
        if step is None:
            raise asyncio.CancelledError
        self.asked.append((known, round(wait_seconds, 3)))
        seconds, answer = step
        self._time.now += wait_seconds if seconds < 0 else seconds
        if isinstance(answer, PrefixError):
            raise answer
        return answer

    async def installation(self, version: WantedVersion, subdir: Subdir) -> InstallationPlan:
        raise NotImplementedError

    async def package(self, version: WantedVersion, sha256: str, size_bytes: int, to: Path) -> None:
        raise NotImplementedError

    async def bytecode(self, version: WantedVersion, subdir: Subdir, to: Path) -> None:
        raise NotImplementedError


class Told:
    def __init__(self) -> None:
        self.answers: list[bool] = []
        self.failures: list[str] = []

    def answered(self, *, has_news: bool) -> None:
        self.answers.append(has_news)

    def failed(self, error: PrefixError) -> None:
        self.failures.append(error.message)


#: The server waits for as long as it was asked to, and has nothing to tell.
WHOLE: Step = (-1, None)

#: A pass: whether the root is as it is to be then, or what it raises.
Outcome = bool | PrefixError


async def following(
    steps: Callable[[Time], Sequence[Step]] | Sequence[Step],
    outcomes: Sequence[Outcome] = (),
    full_seconds: float = 10_000,
) -> tuple[Time, Script, Told, list[tuple[float, int]]]:
    time, told = Time(), Told()
    script = Script(time, steps(time) if callable(steps) else steps)
    left = iter(outcomes)
    #: When, and up to which version.
    passes: list[tuple[float, int]] = []

    async def reconcile(given: Wanted, _: Callable[[], bool]) -> bool:
        passes.append((round(time.now, 3), given.versions[0].number))
        outcome = next(left, True)
        if isinstance(outcome, PrefixError):
            raise outcome
        return outcome

    followed = Followed(("ada/*",), 2, full_seconds=full_seconds)
    with pytest.raises(asyncio.CancelledError):
        await follow(script, reconcile, followed, told, time.clock())
    return time, script, told, passes


async def test_a_pass_is_made_as_soon_as_something_else_is_wanted() -> None:
    _, script, told, passes = await following([(0, wanted(1)), (3, wanted(2)), WHOLE])
    assert passes == [(0, 1), (3, 2)]
    assert script.asked == [(None, 0), ('"1"', 25), ('"2"', 25)]
    assert told.answers == [True, True, False]
    assert told.failures == []


async def test_a_pass_is_made_every_so_often_though_nothing_changes() -> None:
    _, script, _, passes = await following(
        [(0, wanted(1)), *[WHOLE] * 5, (0, None), WHOLE], full_seconds=100
    )
    assert passes == [(0, 1), (110, 1)]
    assert [wait for _, wait in script.asked] == [0, 25, 25, 25, 25, 10, 25, 25]


async def test_problems_are_tried_again_later_and_later() -> None:
    _, _, _, passes = await following(
        [(0, wanted(1)), *[WHOLE] * 12], [False, PrefixError("odd"), AWAY, True]
    )
    assert [at for at, _ in passes] == [0, 10, 30, 70]


async def test_a_server_that_is_away_is_asked_later_and_later_and_changes_nothing() -> None:
    time, script, told, passes = await following([(0, wanted(1)), *[(0.0, AWAY)] * 9, (0, None)])
    assert len(passes) == 1
    # The first was a wait, after which it is asked at once without one.
    assert time.slept[:8] == [1, 2, 4, 8, 16, 32, 60, 60][: len(time.slept[:8])]
    assert script.asked[2] == ('"1"', 0)
    assert set(told.failures) == {"the server is away"}


async def test_a_server_that_is_away_at_first_is_waited_for() -> None:
    time, _, told, passes = await following([(0, AWAY), (0, AWAY), (0, wanted(1))])
    assert time.slept == [1, 2]
    assert passes == [(3, 1)]
    assert len(told.failures) == 2


async def test_shorter_waits_are_asked_for_where_a_proxy_cuts_them() -> None:
    _, script, told, _ = await following(
        [(0, wanted(1)), (10, AWAY), (0, None), WHOLE, WHOLE, (0, None)]
    )
    assert [wait for _, wait in script.asked] == [0, 25, 0, 8, 8.4, 8.82]
    assert told.failures == [], "nobody has to know"


async def test_a_server_that_does_not_wait_is_not_asked_all_the_time() -> None:
    time, _, _, _ = await following([(0, wanted(1)), (0, None), (0, None), (0.5, None)])
    assert time.slept == [2, 2, 1.5]


async def test_answers_for_which_nothing_stands_are_no_news() -> None:
    same = Wanted(wanted(1).versions, "")
    time, script, told, passes = await following([(0, same)] * 10 + [(0, wanted(2))])
    assert [number for _, number in passes] == [1, 2]
    assert told.answers == [True, *[False] * 9, True]
    assert time.slept == [2.0] * 9
    assert {known for known, _ in script.asked} == {None}


async def test_a_server_that_says_something_else_each_time_is_not_asked_all_the_time() -> None:
    _, _, _, passes = await following([(0, wanted(number)) for number in range(10)])
    assert passes == [(1.0 * number, number) for number in range(10)]


async def test_a_long_pass_ends_when_something_else_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("registry.prefixes.following._LONG_SECONDS", 0.0)
    time, told, passes = Time(), Told(), list[int]()
    script = Script(time, [(0, wanted(1)), (9, AWAY), WHOLE, (3, wanted(2)), WHOLE, WHOLE])

    async def reconcile(given: Wanted, is_outdated: Callable[[], bool]) -> bool:
        passes.append(given.versions[0].number)
        for _ in range(1000):  # it makes one environment after another
            if given.versions[0].number > 1 or is_outdated():
                return True
            await asyncio.sleep(0)
        raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        await follow(script, reconcile, Followed(("ada/*",), 2), told, time.clock())
    assert passes == [1, 2]
    assert script.asked[:4] == [(None, 0), ('"1"', 25), ('"1"', 25), ('"1"', 25)]
    assert told.answers[:2] == [True, True]
    assert told.failures == []


async def test_what_ends_a_long_pass_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.prefixes.following._LONG_SECONDS", 0.0)
    time, told = Time(), Told()
    script = Script(time, [(0, wanted(1)), *[WHOLE] * 3])

    async def reconcile(given: Wanted, _: Callable[[], bool]) -> bool:
        await asyncio.sleep(0)
        raise RootUnusable(f"there is no room for {len(given.versions)}")

    with pytest.raises(RootUnusable, match="no room for 1"):
        await follow(script, reconcile, Followed(("ada/*",), 2), told, time.clock())


async def test_a_root_that_cannot_be_used_at_first_is_an_error() -> None:
    with pytest.raises(RootUnusable, match="no room"):
        await following([(0, wanted(1))], [RootUnusable("there is no room")])


async def test_a_root_that_cannot_be_used_later_is_tried_again() -> None:
    _, _, told, passes = await following(
        [(0, wanted(1)), (1, wanted(2)), WHOLE, WHOLE], [True, RootUnusable("there is no room")]
    )
    assert passes == [(0, 1), (1, 2), (11, 2)]
    assert told.failures == ["there is no room"]


def test_pauses_differ_by_chance_and_begin_anew() -> None:
    pauses = Pauses(4, 100, lambda: 0.0)
    assert [pauses.next(), pauses.next()] == [2, 4]
    pauses.reset()
    assert pauses.next() == 2
