"""The progress of a running request and its log."""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from builder.lock import Told
from builder.ports import Progress, Stage
from registry.requests.status import RequestStatus

#: Where each stage begins and ends on the way from 0 to 100, by the time it takes as a rule.
_SHARES: Final[dict[Stage, tuple[int, int]]] = {
    "solve": (0, 15),
    "pypi": (15, 20),
    "base": (20, 25),
    "download": (25, 55),
    "plan": (55, 60),
    "assemble": (60, 95),
    "finish": (95, 99),
}


def percent_of(progress: Progress) -> int:
    """Return how far a build is, 0 to 99.

    >>> percent_of(Progress("solve")), percent_of(Progress("download", 1, 2))
    (0, 40)
    """
    start, stop = _SHARES[progress.stage]
    return start + (stop - start) * progress.done // max(progress.total, 1)


class RequestProgress:
    """The latest status of one running request; wakes who waits for the next."""

    def __init__(self, status: RequestStatus, now: Callable[[], float]) -> None:
        self._status = status
        self._now = now
        self._changed = asyncio.Event()
        self._stage: Stage | None = None

    @property
    def status(self) -> RequestStatus:
        """How far the request is, as of now."""
        return replace(self._status, at=self._now())

    def set(self, **changes: Any) -> None:
        """Change fields of the status."""
        self.end(replace(self._status, **changes))

    def end(self, status: RequestStatus) -> None:
        """Take over a whole status."""
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()

    def note(self, line: str) -> None:
        """Add a line to the log."""
        when = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        self.set(log=(*self._status.log, f"{when:%Y-%m-%dT%H:%M:%SZ} {line}"))

    def tell(self, told: Told) -> None:
        """Say what policies did: in the status, and in the log what that does not have yet."""
        self.set(told=told)
        for sentence in (*told.added, *told.left_out, *told.warnings):
            if not any(line.endswith(sentence) for line in self._status.log):
                self.note(sentence)

    def on_progress(self, progress: Progress) -> None:
        """Update the status; log a stage's start, a counted one's end, and each note."""
        goes_on = progress.stage == self._stage and not progress.total and not progress.note
        self._stage = progress.stage
        if progress.is_milestone and not goes_on:
            self.note(progress.note or str(progress))
        percent = max(self._status.percent, percent_of(progress))
        self.set(progress=str(progress), percent=percent)

    async def next(self, seen: RequestStatus, timeout_seconds: float) -> RequestStatus:
        """Return the status as soon as it is another than ``seen``, or when the time is over."""
        changed = self._changed
        if self._status == seen:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await changed.wait()
            except TimeoutError:
                pass
        return self.status
