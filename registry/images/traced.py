"""Solves, builds and layers as spans of a trace."""

import asyncio
from contextlib import AbstractContextManager
from typing import Literal

from builder.build.image import Flavour
from builder.build.layer_cache import FindPython, Layers
from builder.concurrency.single_flight import SingleFlight
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


class TracedLayers:
    """What makes layers, in spans; implements :class:`builder.build.layer_cache.Layers`.

    A span begins when its layer does, which may be before anybody waits for it.
    """

    def __init__(self, layers: Layers, traces: Traces, place: Place) -> None:
        self._layers = layers
        self._place = place
        self._spans = _Spans(traces, place)
        self._flights: SingleFlight[LayerBlob] = SingleFlight()

    async def ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        """Return the layer; see :meth:`Layers.ensure`."""
        return await asyncio.shield(self._start(plan, encoding, python))

    def begin(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> None:
        """Begin to make a layer; see :meth:`Layers.begin`."""
        if self._place == "here":
            self._start(plan, encoding, python)
        else:
            self._layers.begin(plan, encoding, python)

    async def close(self) -> None:
        """Wait for nothing any more; what is made elsewhere goes on."""
        await self._flights.close()

    def _start(
        self, plan: LayerPlan, encoding: Encoding, python: FindPython
    ) -> asyncio.Task[LayerBlob]:
        return self._flights.start(
            f"{plan.key}-{encoding}", lambda: self._ensure(plan, encoding, python)
        )

    async def _ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        known: Attributes = {
            "pullforge.layer": plan.key,
            "pullforge.encoding": encoding,
            "pullforge.packages": len(plan.packages),
        }
        with self._spans.of("layer", known) as span:
            blob = await self._layers.ensure(plan, encoding, python)
            sizes = {
                "pullforge.size_bytes": blob.size_bytes,
                "pullforge.tar_size_bytes": blob.tar_size_bytes,
            }
            span.note(sizes)
        return blob


class _Spans:
    """Spans of work that is done here, or of orders to have it done."""

    def __init__(self, traces: Traces, place: Place) -> None:
        self._traces = traces
        self._place = place

    def of(self, what: str, attributes: Attributes) -> AbstractContextManager[Span]:
        if self._place == "here":
            return self._traces.span(what, attributes=attributes)
        return self._traces.span(f"order {what}", "producer", attributes=attributes)
