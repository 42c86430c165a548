"""What connects a process with Redis and the broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from celery import Celery
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from builder.build.layer_cache import LayerCache, WatchLayer
from registry.images.records import ImageRecords
from registry.jobs.client import TaskClient, TaskTimeouts
from registry.jobs.executor import TaskExecutor, TaskExports, TaskLayers
from registry.jobs.queue import ANSWER_SECONDS, TaskQueue
from registry.jobs.state import TaskEvents, TaskState
from registry.telemetry import NO_TRACES, Traces

#: How long connecting to Redis may take, in seconds.
_CONNECT_SECONDS = 5
#: How often a command is sent again when its connection has broken.
_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Tasks:
    """Gives work to workers, and knows how it stands."""

    task_state: TaskState
    orders: TaskClient

    def executor(self, records: ImageRecords) -> TaskExecutor:
        """Return what has solves and builds carried out by workers; ``records`` know the store."""
        return TaskExecutor(self.orders, records)

    @property
    def forms(self) -> TaskExports:
        """What has forms of locks made by workers."""
        return TaskExports(self.orders)

    def layers(self, cache: LayerCache, watch: WatchLayer) -> TaskLayers:
        """Return what has layers assembled by workers that ``cache`` does not have."""
        return TaskLayers(self.orders, cache, watch)


@asynccontextmanager
async def open_tasks(
    app: Celery,
    redis_url: str,
    timeouts: TaskTimeouts,
    *,
    max_waiting: int,
    traces: Traces = NO_TRACES,
) -> AsyncIterator[Tasks]:
    """Give a client for tasks, closed on exit; nothing need be reachable yet.

    Further tasks are refused while ``max_waiting`` wait for a worker.
    """
    redis = Redis.from_url(
        redis_url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=_CONNECT_SECONDS,
        # A connection that was idle while Redis was replaced tells so at its next use.
        retry=Retry(ExponentialBackoff(cap=1, base=0.1), _RETRIES),
    )
    async with redis, TaskEvents(redis).listening() as task_events:
        with closing(TaskQueue(app)) as queue:
            task_state = TaskState(redis)
            orders = TaskClient(
                task_state, task_events, queue, timeouts, limit=max_waiting, traces=traces
            )
            yield Tasks(task_state, orders)
