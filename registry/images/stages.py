"""The stages of solves and builds: how long each takes, and its place in a trace."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from builder.ports import Progress, ProgressListener, Stage
from registry.telemetry import Traces


class StageMetrics(Protocol):
    """Counts stages."""

    def stage_ended(self, stage: Stage, seconds: float) -> None:
        """Count one stage of a solve or build that was carried out here."""
        ...


class Stages:
    """Makes listeners that see the stages of a build in its progress."""

    def __init__(self, metrics: StageMetrics, traces: Traces) -> None:
        self._metrics = metrics
        self._traces = traces

    @contextmanager
    def of(self, on_progress: ProgressListener) -> Iterator[ProgressListener]:
        """Give what a build tells its progress to, which hands it on to ``on_progress``.

        A stage lasts until the next one is told of, or the context ends. What is begun meanwhile,
        such as layers, is part of its span.
        """
        now: Stage | None = None
        with ExitStack() as stage:

            def told(progress: Progress) -> None:
                nonlocal now
                if progress.stage != now:
                    now = progress.stage
                    stage.close()
                    stage.enter_context(self._stage(now))
                on_progress(progress)

            yield told

    @contextmanager
    def _stage(self, stage: Stage) -> Iterator[None]:
        started = time.perf_counter()
        with self._traces.span(f"stage {stage}"):
            try:
                yield
            finally:
                self._metrics.stage_ended(stage, time.perf_counter() - started)
