import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from builder.errors import SandboxUnavailable, StoreUnavailable
from builder.lock import Lock
from builder.sandbox.trial import Trial, TrialLimits
from registry.catalog.proposal_records import ClaimedTest, Proposal, Verdict
from registry.errors import DatabaseUnavailable, ImageUnfit
from registry.upkeep.images import RunCommand
from registry.upkeep.testing import ProposalTester, shown

pytestmark = pytest.mark.anyio

LIMITS = TrialLimits(2.5)
LOCK = Lock.__new__(Lock)  # nothing looks into it here


@dataclass
class Waiting:
    """One test that waits, in memory."""

    is_wanted: bool = True
    is_down: bool = False
    #: What was done with it, in order.
    done: list[str] = field(default_factory=list)
    noted: Verdict | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def claim_test(self, by: str, lease_seconds: float) -> ClaimedTest | None:
        assert lease_seconds > 0
        if self.is_down:
            raise DatabaseUnavailable("down")
        if self.done[-1:] in (["claimed"], ["noted"]):
            return None
        self.done.append("claimed")
        return ClaimedTest(1, by, "ada", "notebook", 2, "0" * 32, "tool --version")

    async def keep_test(self, test: ClaimedTest, lease_seconds: float) -> bool:
        if self.is_down:
            raise DatabaseUnavailable("down")
        return self.is_wanted

    async def release_test(self, test: ClaimedTest) -> None:
        self.done.append("released")

    async def note_test(self, test: ClaimedTest, outcome: Verdict) -> Proposal | None:
        if self.is_down:
            self.is_down = False
            raise DatabaseUnavailable("down")
        self.done.append("noted")
        self.noted = outcome
        return None


Result = Trial | Exception


@dataclass
class Images:
    """Gives one image in which commands come to what is said."""

    result: Result | None = None
    error: Exception | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    was_ended: bool = False
    is_gone: bool = False

    @asynccontextmanager
    async def open(self, lock: Lock) -> AsyncIterator[RunCommand]:
        if self.error is not None:
            raise self.error
        try:
            yield self.run
        finally:
            self.is_gone = True

    async def run(self, command: str, limits: TrialLimits, stopping: threading.Event) -> Trial:
        assert (command, limits) == ("tool --version", LIMITS)
        self.began.set()
        if self.result is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.was_ended = stopping.is_set()
        assert isinstance(self.result, Trial)
        return self.result


def prepared(
    tests: Waiting,
    images: Images,
    lock_of: Callable[[str], Awaitable[Lock | None]] | None = None,
) -> ProposalTester:
    async def known(key: str) -> Lock | None:
        return LOCK

    quick = {"beat_seconds": 0.01, "retry_seconds": 0.0}
    return ProposalTester(tests, lock_of or known, images, LIMITS, "server", **quick)


def trial(status: int | None, excess: str | None = None, output: bytes = b"") -> Trial:
    return Trial(status, excess, output, 1.25)  # type: ignore[arg-type] # as parameters have it


@pytest.mark.parametrize(
    ("result", "has_passed", "message"),
    [
        (trial(0), True, ""),
        (trial(3), False, "the test command ended with status 3"),
        (trial(None, "time"), False, "the test command had not ended after 2.5 s, and was ended"),
        (
            trial(None, "processes"),
            False,
            "the test command had more than 1000 processes and threads, and was ended",
        ),
        (
            trial(None, "memory"),
            False,
            "the test command took more than 4 GiB of memory, and was ended",
        ),
        (
            trial(None, "disk"),
            False,
            "the test command wrote more than 1 GiB, or 100000 files, and was ended",
        ),
    ],
)
async def test_what_came_of_a_test_is_told(result: Trial, has_passed: bool, message: str) -> None:
    tests, images = Waiting(), Images(result)
    assert await prepared(tests, images).run_one()
    assert tests.noted == Verdict(has_passed, message, "", 1250)
    assert images.is_gone
    assert not await prepared(tests, images).run_one()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImageUnfit("the image has no base"), "the image has no base"),
        (SandboxUnavailable("nothing works here"), "nothing works here"),
        (RuntimeError("bug"), "the server failed to run this test; its log says why"),
    ],
)
async def test_a_test_that_cannot_be_run_fails_with_the_reason(
    error: Exception, message: str
) -> None:
    tests = Waiting()
    assert await prepared(tests, Images(error=error)).run_one()
    assert tests.noted == Verdict(has_passed=False, message=message)


async def test_a_build_that_is_not_there_fails_with_the_reason() -> None:
    async def unknown(key: str) -> Lock | None:
        return None

    tests = Waiting()
    assert await prepared(tests, Images(), unknown).run_one()
    assert tests.noted == Verdict(has_passed=False, message="the lock of its build is not there")


async def test_what_others_are_in_the_way_of_is_given_back_and_tried_again() -> None:
    tests, images = Waiting(), Images(trial(0), error=StoreUnavailable("the disk is full"))
    assert await prepared(tests, images).run_one()
    images.error = None
    assert await prepared(tests, images).run_one()
    assert tests.done == ["claimed", "released", "claimed", "noted"]


async def test_a_test_that_nobody_wants_any_more_is_ended() -> None:
    tests, images = Waiting(is_wanted=False), Images()
    assert await prepared(tests, images).run_one()
    assert (tests.noted, images.was_ended, images.is_gone) == (None, True, True)
    assert tests.done == ["claimed"]


async def test_a_server_that_ends_gives_its_test_back() -> None:
    tests, images = Waiting(), Images()
    running = asyncio.create_task(prepared(tests, images).run())
    await images.began.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert tests.done == ["claimed", "released"]
    assert (images.was_ended, images.is_gone) == (True, True)


async def test_a_database_that_does_not_answer_for_a_while_loses_nothing() -> None:
    tests, images = Waiting(), Images()
    running = asyncio.create_task(prepared(tests, images).run_one())
    await images.began.wait()
    tests.is_down = True
    with pytest.raises(DatabaseUnavailable):
        await prepared(tests, images).run_one()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    tests, images = Waiting(), Images(trial(0))
    running = asyncio.create_task(prepared(tests, images).run_one())
    await images.began.wait()
    tests.is_down = True  # until it is asked again
    assert await running
    assert tests.done == ["claimed", "noted"]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (b"plain\n\ttext", "plain\n\ttext"),
        (b"\x1b[1;31mred\x1b[0m \x1b[2J\x1b[H", "red "),
        (b"\x1b]0;title\x07a\x1b]8;;http://evil\x1b\\b\x1b]8;;\x1b\\", "ab"),
        (b"\x1bc\x1b(B\x1b7x", "x"),
        (b"\x1bPq#0;2;0;0;0\x1b\\sixel", "sixel"),
        (b"10 %\r100 %\r\n", "10 %\n100 %\n"),
        (b"a\x08\x00\x07\x7f\x9b", "a\N{REPLACEMENT CHARACTER}" + 4 * "\N{REPLACEMENT CHARACTER}"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}a\u200b\u2028b\xa0c".encode(), "�a�\nb c"),
        ("Größe 数 ✓".encode(), "Größe 数 ✓"),
        (b"\x1b[31", "31"),
    ],
)
def test_what_a_program_wrote_is_shown_harmlessly(output: bytes, text: str) -> None:
    assert shown(output) == text


def test_showing_hostile_output_takes_no_time() -> None:
    for part in (b"\x1b]", b"\x1b[", b"\x1bP\x1b", b"\x1b[0;", b"\x1b  "):
        shown(part * (65_536 // len(part)))
