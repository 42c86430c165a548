"""The progress of running builds."""

from collections.abc import Iterator
from contextlib import contextmanager

from builder.ports import Progress, ProgressListener


class ProgressTracker:
    """Keeps the latest progress of each build while it runs."""

    def __init__(self) -> None:
        self._latest: dict[str, Progress] = {}

    def latest(self, name: str) -> Progress:
        """Return the progress of a build; before its first progress it is solving."""
        return self._latest.get(name, Progress("solve"))

    @contextmanager
    def of(self, name: str) -> Iterator[ProgressListener]:
        """Give a progress listener for a build; its progress is removed on exit."""

        def on_progress(progress: Progress) -> None:
            self._latest[name] = progress

        try:
            yield on_progress
        finally:
            self._latest.pop(name, None)
