"""Solves, builds and layers as orders to workers."""

from builder.build.image import Flavour
from builder.build.layer_cache import FindPython, LayerCache, WatchLayer
from builder.concurrency.single_flight import SingleFlight
from builder.errors import WorkerLost
from builder.exports import ExportFormat
from builder.inputs import PackageList
from builder.layer import Encoding, LayerBlob, LayerPlan
from builder.lock import Lock
from builder.platforms import Subdir
from builder.ports import Progress, ProgressListener
from builder.spec import EnvironmentSpec
from registry.images.executor import StoredImage, TimedLock
from registry.images.records import ImageRecords
from registry.jobs.client import TaskClient
from registry.jobs.types import (
    BUILD,
    COMPLETE,
    FORM,
    LAYER,
    SOLVE,
    BuildTask,
    ExportTask,
    LayerTask,
)


class TaskExecutor:
    """Sends all work to workers; implements :class:`registry.images.executor.Executor`."""

    def __init__(self, tasks: TaskClient, records: ImageRecords) -> None:
        """Make the executor; ``records`` know what was built."""
        self._tasks = tasks
        self._records = records

    async def solve(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> TimedLock:
        """Return what ``spec`` means; see :meth:`Executor.solve`."""
        lock, at = await self._tasks.run(SOLVE, spec, on_progress, max_age=max_age)
        return TimedLock(lock, at)

    async def complete(self, packages: PackageList, on_progress: ProgressListener) -> Lock:
        """Return the lock of packages; see :meth:`Executor.complete`."""
        lock, _ = await self._tasks.run(COMPLETE, packages, on_progress)
        return lock

    async def build(
        self, lock: Lock, flavour: Flavour, on_progress: ProgressListener
    ) -> StoredImage:
        """Return the image of ``lock``; see :meth:`Executor.build`."""
        image, _ = await self._tasks.run(BUILD, BuildTask(lock, flavour), on_progress)
        # What is served is what the store says: Redis knows only that it was made.
        if image != await self._records.recorded(lock.key, flavour):
            raise WorkerLost("what a worker has made is not in the store; pull again")
        return image


class TaskExports:
    """Has forms of locks made by workers."""

    def __init__(self, tasks: TaskClient) -> None:
        self._tasks = tasks

    async def make(
        self, lock: Lock, form: ExportFormat, platform: Subdir | None, on_progress: ProgressListener
    ) -> None:
        """Put a form into the store; a :data:`builder.exports.exports.MakeForm`."""
        await self._tasks.run(FORM, ExportTask(lock, form, platform), on_progress)


class TaskLayers:
    """Has layers assembled by workers; implements :class:`builder.build.layer_cache.Layers`."""

    def __init__(self, tasks: TaskClient, cache: LayerCache, watch: WatchLayer) -> None:
        """Have done what ``cache`` does not have, watched by ``watch``."""
        self._tasks = tasks
        self._cache = cache
        self._watch = watch
        self._flights: SingleFlight[LayerBlob] = SingleFlight()

    def begin(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> None:
        """Do nothing: a worker would fetch packages that are being fetched for their contents."""

    async def ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        """Return the layer; see :meth:`Layers.ensure`."""
        return await self._flights.run(
            f"{plan.key}-{encoding}", lambda: self._ensure(plan, encoding, python)
        )

    async def close(self) -> None:
        """Stop waiting; tasks on workers go on."""
        await self._flights.close()

    async def _ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        with self._watch(plan, encoding) as tell:
            known = await self._cache.known(plan, encoding)
            blob = known or await self._have(plan, encoding, python)
            tell(blob)
        return blob

    async def _have(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        found = tuple(await python()) if plan.python is not None else ()
        await self._tasks.run(LAYER, LayerTask(plan, encoding, found), _ignore)
        # What is served is what the store says: Redis knows only that it was made.
        made = await self._cache.known(plan, encoding)
        if made is None:
            raise WorkerLost("a layer that a worker has made is not in the store; pull again")
        return made


def _ignore(_: Progress) -> None:
    """Drop the progress of one layer: the build reports how many are done."""
