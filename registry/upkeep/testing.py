"""Runs the tests of proposals: a command in the image that is proposed.

::

    waiting ─→ claimed, for 30 s and again ─→ passed      it ended with status 0
                                          └─→ failed      it did not, or cannot be run at all

A server that ends gives its test back; one of a server that was killed is begun anew elsewhere. A
server runs one test at a time: each may take a part of its machine.
"""

import asyncio
import re
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol

import structlog

from builder.errors import DomainError, SandboxUnavailable
from builder.lock import Lock
from builder.sandbox.trial import Excess, Trial, TrialLimits
from registry.catalog.proposal_records import ClaimedTest, Proposal, Verdict
from registry.errors import DatabaseUnavailable
from registry.upkeep.images import RunCommand

_LEASE_SECONDS: Final = 30
#: How often it is looked whether a test is still wanted, while it runs.
_BEAT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
#: After how long something is tried again that others are in the way of.
_RETRY_SECONDS: Final = 10.0
_HAND_BACK_SECONDS: Final = 3

#: What terminals carry out: sequences that a letter ends, those that a bell or ``ESC \`` ends, and
#: the short ones.
_SEQUENCES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
)
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\v|\f|\x85|\u2028|\u2029")


class Tests(Protocol):
    """Hands tests out; :class:`registry.catalog.proposals.Proposals`."""

    async def claim_test(self, by: str, lease_seconds: float) -> ClaimedTest | None:
        """Return a test that nobody runs."""
        ...

    async def keep_test(self, test: ClaimedTest, lease_seconds: float) -> bool:
        """Keep a test for longer; tell whether it is still wanted."""
        ...

    async def release_test(self, test: ClaimedTest) -> None:
        """Give a test back."""
        ...

    async def note_test(self, test: ClaimedTest, outcome: Verdict) -> Proposal | None:
        """Write down what came of a test."""
        ...


class Places(Protocol):
    """Has images in which commands are run; :class:`registry.upkeep.images.ImagePlaces`."""

    def open(self, lock: Lock) -> AbstractAsyncContextManager[RunCommand]:
        """Give what runs commands in the image of a lock."""
        ...


class ProposalTester:
    """Runs tests that wait, one after the other.

    Args:
        tests: Hands them out.
        lock_of: Knows the locks of builds.
        places: Has their images.
        limits: What each may take.
        server: The name of this server.
        beat_seconds: How often it is looked whether a test is still wanted.
        retry_seconds: After how long something is tried again that others are in the way of.
    """

    def __init__(
        self,
        tests: Tests,
        lock_of: Callable[[str], Awaitable[Lock | None]],
        places: Places,
        limits: TrialLimits,
        server: str,
        *,
        beat_seconds: float = _BEAT_SECONDS,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._tests = tests
        self._lock_of = lock_of
        self._places = places
        self._limits = limits
        self._server = server
        self._beat_seconds = beat_seconds
        self._retry_seconds = retry_seconds

    async def run(self) -> None:
        """Run tests until cancelled; the one under way is ended and given back then."""
        while True:
            try:
                has_run = await self.run_one()
            except DatabaseUnavailable:
                has_run = False
            except Exception:  # noqa: BLE001 (logged; the test's lease runs out)
                structlog.get_logger().exception("failed to test a proposal")
                has_run = False
            if not has_run:
                await asyncio.sleep(_LOOK_SECONDS)

    async def run_one(self) -> bool:
        """Run a test that waits, if any does, and tell whether one did.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        claim = f"{self._server} {secrets.token_hex(6)}"
        test = await self._tests.claim_test(claim, _LEASE_SECONDS)
        if test is None:
            return False
        log = structlog.get_logger().bind(proposal=test.proposal, key=test.key)
        log.info("testing a proposal")
        stopping = threading.Event()
        work = asyncio.create_task(self._outcome(test, stopping), name=f"test {test.proposal}")
        try:
            is_wanted = await self._wait(test, work)
        except asyncio.CancelledError:
            await _end(work, stopping)
            with suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(_HAND_BACK_SECONDS):
                    await self._tests.release_test(test)
            raise
        if not is_wanted:
            await _end(work, stopping)
            log.info("the test is not wanted any more")
            return True
        outcome = work.result()
        if outcome is None:
            await self._tests.release_test(test)
            await asyncio.sleep(self._retry_seconds)
            return True
        await self._note(test, outcome)
        log.info("tested a proposal", passed=outcome.has_passed, message=outcome.message)
        return True

    async def _wait(self, test: ClaimedTest, work: "asyncio.Task[Verdict | None]") -> bool:
        """Return when a test has ended, or is not this server's any more, or not wanted: false."""
        while True:
            done, _ = await asyncio.wait({work}, timeout=self._beat_seconds)
            if done:
                return True
            with suppress(DatabaseUnavailable):  # until it is back, nobody else can have it
                if not await self._tests.keep_test(test, _LEASE_SECONDS):
                    return False

    async def _outcome(self, test: ClaimedTest, stopping: threading.Event) -> Verdict | None:
        """Return what came of a test; ``None``: it cannot be run now."""
        try:
            lock = await self._lock_of(test.key)
            if lock is None:
                return Verdict(has_passed=False, message="the lock of its build is not there")
            async with self._places.open(lock) as run:
                trial = await run(test.command, self._limits, stopping)
        except SandboxUnavailable as exc:
            return Verdict(has_passed=False, message=exc.message)
        except DomainError as exc:
            if exc.kind in {"busy", "unavailable"}:
                structlog.get_logger().warning("a test has to wait", reason=exc.message)
                return None
            return Verdict(has_passed=False, message=exc.message)
        except Exception:  # noqa: BLE001 (logged; who waits is told)
            structlog.get_logger().exception("failed to test a proposal", proposal=test.proposal)
            return Verdict(
                has_passed=False, message="the server failed to run this test; its log says why"
            )
        return self._verdict(trial)

    def _verdict(self, trial: Trial) -> Verdict:
        message = ""
        if trial.excess is not None:
            message = f"the test command {_told(trial.excess, self._limits)}, and was ended"
        elif trial.status:
            message = f"the test command ended with status {trial.status}"
        return Verdict(
            has_passed=trial.status == 0,
            message=message,
            output=shown(trial.output),
            duration_ms=round(trial.seconds * 1000),
        )

    async def _note(self, test: ClaimedTest, outcome: Verdict) -> None:
        """Write down what came of a test, as often as it takes while its lease lasts."""
        until = time.monotonic() + _LEASE_SECONDS
        while True:
            try:
                await self._tests.note_test(test, outcome)
            except DatabaseUnavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_LOOK_SECONDS / 2)
            else:
                return


def shown(output: bytes) -> str:
    r"""Return what a program wrote as text that nothing carries out, whoever shows it.

    >>> shown(b"\x1b[31mred\x1b[0m\r\n\x1b]0;title\x07 50 %\r100 %\n\x00\xff")
    'red\n 50 %\n100 %\n��'
    """
    text = _SEQUENCES.sub("", output.decode("utf-8", "replace"))
    return "".join(map(_harmless, _LINE_ENDS.sub("\n", text)))


def _harmless(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def _told(excess: Excess, limits: TrialLimits) -> str:
    memory, disk = (
        f"{size / (1 << 30):.3g} GiB" for size in (limits.memory_bytes, limits.disk_bytes)
    )
    return {
        "time": f"had not ended after {limits.seconds:g} s",
        "processes": f"had more than {limits.processes} processes and threads",
        "memory": f"took more than {memory} of memory",
        "disk": f"wrote more than {disk}, or {limits.files} files",
        "stopped": "was stopped",
    }[excess]


async def _end(work: "asyncio.Task[Verdict | None]", stopping: threading.Event) -> None:
    stopping.set()
    work.cancel()
    await asyncio.wait({work})
