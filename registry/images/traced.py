"""Solves, builds and layers as spans of a trace."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from builder.build.image import Flavour
from builder.build.layer_cache import WatchLayer
from builder.inputs import PackageList
from builder.layer import Encoding, LayerBlob, LayerPlan
from builder.lock import Lock
from builder.ports import ProgressListener
from builder.spec import EnvironmentSpec
from registry.images.executor import Executor, StoredImage, TimedLock
from registry.telemetry import Attributes, Span, Traces

#: Whether it is done in this process, or sent to another one.
Place = Literal["here", "elsewhere"]


class TracedExecutor:
    """An executor in spans; implements :class:`registry.images.executor.Executor`."""

    def __init__(self, executor: Executor, traces: Traces, place: Place) -> None:
        self._executor = executor
        self._spans = _Spans(traces, place)

    async def solve(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> TimedLock:
        """Return what ``spec`` means; see :meth:`Executor.solve`."""
        with self._spans.of("solve", {"pullforge.spec": spec.digest}) as span:
            solution = await self._executor.solve(spec, on_progress, max_age=max_age)
            span.note({"pullforge.key": solution.lock.key})
        return solution

    async def complete(self, packages: PackageList, on_progress: ProgressListener) -> Lock:
        """Return the lock of packages; see :meth:`Executor.complete`."""
        with self._spans.of("complete", {}) as span:
            lock = await self._executor.complete(packages, on_progress)
            span.note({"pullforge.key": lock.key})
        return lock

    async def build(
        self, lock: Lock, flavour: Flavour, on_progress: ProgressListener
    ) -> StoredImage:
        """Return the image of ``lock``; see :meth:`Executor.build`."""
        known = {"pullforge.key": lock.key, "pullforge.flavour": flavour}
        with self._spans.of("build", known):
            return await self._executor.build(lock, flavour, on_progress)


def watch_layers(traces: Traces, place: Place) -> WatchLayer:
    """Return what makes a span of each layer, from when it is begun to when it is there."""
    spans = _Spans(traces, place)

    @contextmanager
    def watch(plan: LayerPlan, encoding: Encoding) -> Iterator[Callable[[LayerBlob], None]]:
        known: Attributes = {
            "pullforge.layer": plan.key,
            "pullforge.encoding": encoding,
            "pullforge.packages": len(plan.packages),
        }
        with spans.of("layer", known) as span:
            yield lambda blob: span.note(
                {
                    "pullforge.size_bytes": blob.size_bytes,
                    "pullforge.tar_size_bytes": blob.tar_size_bytes,
                }
            )

    return watch


class _Spans:
    """Spans of work that is done here, or of orders to have it done."""

    def __init__(self, traces: Traces, place: Place) -> None:
        self._traces = traces
        self._place = place

    def of(self, what: str, attributes: Attributes) -> AbstractContextManager[Span]:
        if self._place == "here":
            return self._traces.span(what, attributes=attributes)
        return self._traces.span(f"order {what}", "producer", attributes=attributes)
