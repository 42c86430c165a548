"""Telling in the log that the database does not answer: when it goes, when it is back."""

import time
from collections.abc import Callable
from typing import Final

import structlog

#: How often it is said in between, in seconds.
_REMIND_SECONDS: Final = 60.0

_log = structlog.get_logger("registry.database")


class Outage:
    """Writes a line when the database does not answer any more, and one when it does again.

    Several of a server's tasks find out four times a second each. A read that succeeds does not
    end what a write has begun: a full disk can be read.

    Args:
        clock: Tells seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: ``None``: it answers.
        self._since: float | None = None
        self._is_of_writes_alone = False
        self._told_at = 0.0

    def failed(self, error: BaseException, reason: str, *, is_writing: bool) -> None:
        """Note that it did not answer.

        Args:
            error: What was raised.
            reason: In a line.
            is_writing: Whether something was to be changed.
        """
        now = self._clock()
        fields = {"error": reason[:300], "kind": type(error).__name__}
        if self._since is None:
            self._since, self._told_at = now, now
            self._is_of_writes_alone = is_writing
            _log.warning("failed to use the database", **fields)
            return
        self._is_of_writes_alone &= is_writing
        if now >= self._told_at + _REMIND_SECONDS:
            self._told_at = now
            seconds = round(now - self._since)
            _log.warning("the database still does not answer", seconds=seconds, **fields)

    def succeeded(self, *, is_writing: bool) -> None:
        """Note that it answered."""
        if self._since is None or (self._is_of_writes_alone and not is_writing):
            return
        seconds, self._since = round(self._clock() - self._since), None
        _log.info("the database answers again", seconds=seconds)
