"""How far running builds are, for whoever asks."""

from collections.abc import Iterator
from contextlib import contextmanager

from builder.ports import Progress, ProgressListener


class ProgressTracker:
    """Keeps the latest progress of each build while it runs."""

    def __init__(self) -> None:
        self._latest: dict[str, Progress] = {}

    def latest(self, name: str) -> Progress:
        """Return how far the build of that name is; one that has said nothing yet is solving."""
        return self._latest.get(name, Progress("solve"))

    @contextmanager
    def of(self, name: str) -> Iterator[ProgressListener]:
        """Give what a build tells its progress to; it is forgotten when the build has ended."""

        def on_progress(progress: Progress) -> None:
            self._latest[name] = progress

        try:
            yield on_progress
        finally:
            self._latest.pop(name, None)
