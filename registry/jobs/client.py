"""Sends tasks to workers, unless they are running, and waits for their outcome."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from builder.concurrency.priority import Priority, current_priority
from builder.errors import WorkerLost, WorkersBusy, WorkersUnavailable
from builder.ports import Progress, ProgressListener
from registry.images.fairness import current_client, level_of
from registry.jobs.cancellation import Cancellation
from registry.jobs.queue import Message
from registry.jobs.state import Outcome, TaskEvents, TaskSnapshot, TaskState
from registry.jobs.types import Payload, Result, Role, TaskType
from registry.telemetry import NO_TRACES, Traces


@dataclass(frozen=True, slots=True)
class TaskTimeouts:
    """How long is waited for what, in seconds."""

    #: How long a task may be under way in all.
    task_seconds: float
    #: How long a failure is answered again without another try; one that may pass, a tenth of it.
    error_ttl_seconds: float
    #: How often a task is looked at although nothing was heard of it.
    look_seconds: float = 2
    #: How long Redis or the broker may be away.
    away_seconds: float = 30


class Sender(Protocol):
    """Sends messages to workers."""

    async def send(self, message: Message, role: Role) -> None:
        """Hand a message to the broker; it may be sent twice.

        Raises:
            kombu.exceptions.OperationalError: The broker cannot be reached; it may have got it.
        """
        ...


class TaskClient:
    """Sends tasks to workers and waits for their outcomes; refuses them while ``limit`` wait."""

    def __init__(
        self,
        task_state: TaskState,
        task_events: TaskEvents,
        queue: Sender,
        timeouts: TaskTimeouts,
        *,
        limit: int,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._task_state = task_state
        self._task_events = task_events
        self._queue = queue
        self._timeouts = timeouts
        self._limit = limit
        self._traces = traces

    async def run(
        self,
        kind: TaskType[Payload, Result],
        asked: Payload,
        on_progress: ProgressListener,
        *,
        max_age: float = 0,
    ) -> tuple[Result, float]:
        """Return what a worker has made of ``asked``, and when, in seconds since 1970.

        Equal orders of any machines are one task, which goes on when the caller is cancelled. An
        outcome of the last ``max_age`` seconds is taken as it is.

        Raises:
            BuilderError: What the work raised.
            WorkerLost: It did not end in time.
            WorkersBusy: Too much waits already.
            WorkersUnavailable: Redis or the broker does not answer.
        """
        task = kind.task_of(asked)
        cancellation = Cancellation()
        listener = _MilestoneListener(on_progress)
        async with AsyncExitStack() as stack:
            wake = await stack.enter_async_context(self._task_events.of(task))
            its = await stack.enter_async_context(self._priority())
            stack.enter_context(its.followed(lambda _: wake.set()))
            try:
                async with asyncio.timeout(2 * self._timeouts.task_seconds):
                    outcome = await self._wait(
                        kind, task, asked, its, wake, listener, max_age, cancellation
                    )
            except TimeoutError as exc:
                raise WorkerLost("the work did not end in time; pull again") from exc
        listener.hear(outcome.progress)
        if outcome.failure is not None:
            raise outcome.failure.error()
        try:
            return kind.made.validate_json(outcome.made or ""), outcome.at
        except ValueError as exc:
            raise WorkerLost("what a worker has answered cannot be read; pull again") from exc

    @asynccontextmanager
    async def _priority(self) -> AsyncIterator[Priority]:
        """Give how urgent it is: what a client asks beside much else of its own is less so."""
        client = current_client.get()
        if not client:
            yield current_priority.get()
            return
        async with AsyncExitStack() as stack:
            count = 0
            with suppress(RedisError):  # the wait that follows is patient, and tells
                count = await stack.enter_async_context(self._task_state.under_way(client))
            yield Priority(level_of(count))

    async def _wait(
        self,
        kind: TaskType[Payload, Any],
        task: str,
        asked: Payload,
        its: Priority,
        wake: asyncio.Event,
        listener: "_MilestoneListener",
        max_age: float,
        cancellation: Cancellation,
    ) -> Outcome:
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        began: float | None = None
        is_accepted = not kind.is_refusable
        while True:
            cancellation.check()
            wake.clear()
            try:
                snapshot = await self._task_state.snapshot(task)
                began = snapshot.now if began is None else began
                if self._counts(snapshot, began, max_age) and snapshot.outcome is not None:
                    return snapshot.outcome
                listener.hear(snapshot.progress)
                level = its.level
                if not snapshot.is_running and (snapshot.asked is None or snapshot.asked > level):
                    if not is_accepted:
                        await self._refuse_if_busy()
                    await self._send(kind, task, asked, level, snapshot.now)
                # What was let wait once is not refused when it has to be sent again.
                is_accepted = True
                heard_at = clock()
            except (RedisError, OperationalError) as exc:
                if clock() > heard_at + self._timeouts.away_seconds:
                    raise WorkersUnavailable(
                        "the queue of the workers does not answer; pull again in a moment"
                    ) from exc
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.look_seconds):
                    await wake.wait()

    def _counts(self, snapshot: TaskSnapshot, began: float, max_age: float) -> bool:
        """Tell whether the outcome that is seen is new enough to be the answer."""
        if snapshot.outcome is None:
            return False
        failure = snapshot.outcome.failure
        if failure is not None:
            max_age = self._timeouts.error_ttl_seconds / (10 if failure.transient else 1)
        return snapshot.outcome.at >= began - max_age

    async def _refuse_if_busy(self) -> None:
        waiting, _ = await self._task_state.waiting()
        if waiting >= self._limit:
            raise WorkersBusy(
                f"{waiting} tasks wait for a worker already, as many as this server lets wait;"
                " pull again in a moment"
            )

    async def _send(
        self, kind: TaskType[Payload, Any], task: str, asked: Payload, level: int, now: float
    ) -> None:
        data, trace = kind.asked.dump_json(asked).decode(), self._traces.headers()
        message = Message(kind.name, task, data, level, now, trace)
        try:
            if await self._task_state.mark_queued(task, level):
                await self._queue.send(message, kind.role)
        except BaseException:
            with suppress(RedisError):
                await self._task_state.unmark(task)
            raise


class _MilestoneListener:
    """Tells a listener each milestone once, of which every snapshot has all so far."""

    def __init__(self, on_progress: ProgressListener) -> None:
        self._on_progress = on_progress
        self._heard = 0

    def hear(self, progress: Sequence[Progress]) -> None:
        """Tell what is new of the progress of a snapshot; of another attempt, what is more."""
        for step in progress[self._heard :]:
            self._on_progress(step)
        self._heard = max(self._heard, sum(step.is_milestone for step in progress))
