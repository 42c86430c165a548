"""What each role can do, put together from the settings."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any

from builder.build.layer_cache import Layers
from builder.errors import ChannelNotAllowed
from builder.exports import Exports
from builder.inputs import PackageList
from builder.layer import LayerBlob
from builder.lock import Lock
from builder.ports import ProgressListener
from builder.records import PackageRecord
from builder.spec import Channel, EnvironmentSpec
from registry.images.executor import StoredImage
from registry.images.local import LocalExecutor
from registry.images.rate_limit import UNBOUNDED
from registry.images.records import ImageRecords
from registry.images.rules import RulesRecords
from registry.images.stages import Stages
from registry.jobs.runner import TaskHandler, TaskRunner
from registry.jobs.types import (
    BUILD,
    CHORE,
    COMPLETE,
    FORM,
    LAYER,
    SOLVE,
    BuildTask,
    ExportTask,
    LayerTask,
    Role,
)
from registry.maintenance.periodic import PeriodicJob
from registry.settings import Settings
from registry.telemetry import Metrics, open_traces
from registry.wiring.building import local_processes, open_builder, tell_of_sandbox
from registry.wiring.policy import open_policies
from registry.wiring.rules import GlobalRules, open_judge
from registry.wiring.schedule import chores_of
from registry.wiring.sources import open_maker
from registry.wiring.workers import open_workers
from registry.worker.threads import ThreadWorkers


@asynccontextmanager
async def open_runner(
    settings: Settings, role: Role, *, now: Callable[[], float] = time.time
) -> AsyncIterator[TaskRunner]:
    """Give what carries out the messages of one role; all of it has ended on exit."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        # Here, since it starts a thread: this process is not forked any more.
        traces = stack.enter_context(
            open_traces(settings.traces, settings.traces_ratio, "pullforge-worker")
        )
        tasks = await stack.enter_async_context(open_workers(settings, traces))
        handlers: list[TaskHandler[Any, Any]]
        if role == "layers":
            threads = stack.enter_context(closing(ThreadWorkers()))
            builder = await stack.enter_async_context(
                open_builder(settings, metrics, workers=threads, traces=traces)
            )
            await tell_of_sandbox(builder)
            handlers = [TaskHandler(LAYER, _layers(builder.layers))]
        else:
            processes = stack.enter_context(closing(local_processes(settings)))
            loading = asyncio.create_task(processes.start())
            stack.callback(loading.cancel)
            builder = await stack.enter_async_context(
                open_builder(settings, metrics, workers=processes, tasks=tasks, traces=traces)
            )
            await tell_of_sandbox(builder)
            records = ImageRecords(builder.store, builder.workers)
            stages = Stages(metrics, traces)
            rules = RulesRecords(builder.store, now)
            executor = LocalExecutor(
                builder.resolver, builder.policy, builder.pipeline, records, rules, now, stages
            )
            book = await stack.enter_async_context(open_policies(settings, processes, metrics, now))
            everywhere = GlobalRules(book, rules)
            judge = await stack.enter_async_context(open_judge(builder, records, everywhere))
            # By the executor of this process, not by orders: what has a place in this role must not
            # wait for another place in it.
            maker = await stack.enter_async_context(
                open_maker(settings, builder, executor, judge, metrics, now, rate_limit=UNBOUNDED)
            )
            chores = chores_of(settings, builder.store, maker.source, now)
            handlers = [
                *_builds(executor, records, set(settings.channel_urls.values())),
                TaskHandler(FORM, _forms(maker.forms)),
                TaskHandler(CHORE, _chores(chores)),
            ]
        by_name: dict[str, TaskHandler[Any, Any]] = {handler.name: handler for handler in handlers}
        yield TaskRunner(
            tasks.task_state, by_name, metrics, task_seconds=settings.task_seconds, traces=traces
        )


def _builds(
    executor: LocalExecutor, records: ImageRecords, channels: Collection[str]
) -> list[TaskHandler[Any, Any]]:
    def check(asked: Sequence[Channel]) -> None:
        """Refuse channels of others: whoever reaches the broker may ask for any address."""
        for channel in asked:
            if channel.url not in channels:
                raise ChannelNotAllowed(channel.name[:100], ["those of its workers' settings"])

    async def complete(packages: PackageList, on_progress: ProgressListener) -> Lock:
        listed = [one.place for places in packages.platforms.values() for one in places]
        check([*packages.channels, *(place.channel for place in listed if place.channel)])
        return await executor.complete(packages, on_progress)

    async def solve(spec: EnvironmentSpec, on_progress: ProgressListener) -> Lock:
        check(spec.channels)
        return (await executor.solve(spec, on_progress, max_age=0)).lock

    async def build(order: BuildTask, on_progress: ProgressListener) -> StoredImage:
        stored = await records.stored(order.lock.key, order.flavour)
        return stored or await executor.build(order.lock, order.flavour, on_progress)

    return [TaskHandler(SOLVE, solve), TaskHandler(COMPLETE, complete), TaskHandler(BUILD, build)]


def _forms(forms: Exports) -> Callable[[ExportTask, ProgressListener], Awaitable[None]]:
    async def make(order: ExportTask, on_progress: ProgressListener) -> None:
        await forms.get(order.lock, order.form, order.platform, on_progress)

    return make


def _chores(chores: Sequence[PeriodicJob]) -> Callable[[str, ProgressListener], Awaitable[None]]:
    by_name = {chore.name: chore for chore in chores}

    async def do(name: str, _on_progress: ProgressListener) -> None:
        if name in by_name:  # else the settings of whoever ordered it are others
            await by_name[name].do()

    return do


def _layers(layers: Layers) -> Any:
    async def layer(order: LayerTask, _on_progress: ProgressListener) -> LayerBlob:
        async def python() -> tuple[PackageRecord, ...]:
            return order.python

        return await layers.ensure(order.plan, order.encoding, python)

    return layer
