"""How long the stages of a build take."""

import time
from collections.abc import Callable

from rich.table import Table

from builder.ports import Progress, ProgressListener, Stage


class Timings:
    """A ``ProgressListener`` that adds up the time of each stage, and passes on what it is told."""

    def __init__(
        self, on_progress: ProgressListener, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_progress = on_progress
        self._clock = clock
        self._stage: Stage | None = None
        self._since = clock()
        #: Seconds and steps of each stage, in the order in which they began.
        self._seconds: dict[Stage, float] = {}
        self._steps: dict[Stage, int] = {}

    def __call__(self, progress: Progress, /) -> None:
        """Take note and pass it on."""
        if progress.stage != self._stage:
            self._end()
            self._stage = progress.stage
            self._steps[progress.stage] = self._steps.get(progress.stage, 0) + progress.total
        self._on_progress(progress)

    def table(self) -> Table:
        """Return a line for each stage, summed over platforms; the last one ends now."""
        self._end()
        table = Table("stage", "steps", "seconds")
        for stage, seconds in self._seconds.items():
            table.add_row(stage, str(self._steps[stage] or ""), f"{seconds:.2f}")
        table.add_row("all", "", f"{sum(self._seconds.values()):.2f}")
        return table

    def _end(self) -> None:
        now = self._clock()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._since = now
