"""Carries out messages on a worker: each task once, however often it was sent.

::

    message ─→ somebody else is at it? ───────────────→ nothing: who waits sends again if need be
            ─→ has an outcome from after it was sent? ─→ nothing
            ─→ was begun too often without an end? ───→ that is the outcome: it kills workers
            ─→ carried out ─→ outcome
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import structlog
from redis.exceptions import RedisError

from builder.concurrency.priority import Priority, current_priority
from builder.errors import BuilderError, WorkerLost
from builder.ports import Progress, ProgressListener
from builder.system_errors import machine_errors
from registry.images.failure import Failure
from registry.images.fairness import SCHEDULED
from registry.jobs.cancellation import cancel_and_wait
from registry.jobs.queue import Message
from registry.jobs.state import TaskState
from registry.jobs.types import CHORE, Payload, Result, TaskName, TaskType
from registry.telemetry import NO_TRACES, Attributes, Traces

#: How often, at most, progress is shown, in seconds.
_TELL_SECONDS: Final = 0.2
#: How often it is tried to read or write how a task is while Redis is away, a second apart. Who
#: waits sends the message again only after longer.
_TRIES: Final = 30

Answered = TypeVar("Answered")


class TaskMetrics(Protocol):
    """Counts tasks."""

    def task_ended(self, kind: str, wait_seconds: float, seconds: float, *, failed: bool) -> None:
        """Count one that was carried out here, with how long it waited and took."""
        ...


class TaskHandler(Generic[Payload, Result]):
    """A kind of work with what carries it out."""

    def __init__(
        self,
        kind: TaskType[Payload, Result],
        work: Callable[[Payload, ProgressListener], Awaitable[Result]],
    ) -> None:
        self._kind = kind
        self._work = work

    @property
    def name(self) -> TaskName:
        """Of the kind."""
        return self._kind.name

    @property
    def attempts(self) -> int:
        """How often it is begun that never ends."""
        return self._kind.attempts

    async def carry_out(self, message: Message, on_progress: ProgressListener) -> str:
        """Return what was made, as JSON, of what a message asks.

        Raises:
            BuilderError: What the work raised, or that the message is not what it says.
        """
        asked = self._read(message)
        with machine_errors():
            try:
                made = await self._work(asked, on_progress)
            except MemoryError as exc:
                raise WorkerLost(
                    "it needs more memory than a task may have (PULLFORGE_TASK_MEMORY_BYTES)"
                ) from exc
        return self._kind.made.dump_json(made).decode()

    def _read(self, message: Message) -> Payload:
        """Parse a message and check that its name fits its content: the sender is untrusted."""
        try:
            asked = self._kind.asked.validate_json(message.asked)
            if self._kind.task_of(asked) == message.task:
                return asked
        except (ValueError, BuilderError) as exc:
            structlog.get_logger().warning(
                "cannot read a message", task=message.task, error=str(exc)[:300]
            )
        raise WorkerLost(
            "the message to the worker does not say what its name stands for: the server and its"
            " workers have to be of the same version"
        )


class TaskRunner:
    """Carries out messages by the handler of their kind, in ``task_seconds`` at most."""

    def __init__(
        self,
        task_state: TaskState,
        handlers: Mapping[str, TaskHandler[Any, Any]],
        metrics: TaskMetrics,
        *,
        task_seconds: float,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._task_state = task_state
        self._handlers = handlers
        self._metrics = metrics
        self._task_seconds = task_seconds
        self._traces = traces

    async def handle(self, message: Message) -> None:
        """Carry a message out; whatever comes of it is its task's outcome, and nothing is raised.

        Raises:
            RedisError: Redis has been away for too long; who waits for the task sends it again.
        """
        task_state, task = self._task_state, message.task
        async with AsyncExitStack() as stack:
            is_mine = await _patiently(lambda: stack.enter_async_context(task_state.claim(task)))
            # Only now: another may have ended it just before.
            snapshot = await _patiently(lambda: task_state.snapshot(task))
            is_void = snapshot.outcome is not None and snapshot.outcome.at >= message.sent_at
            if is_void or not is_mine:
                await _patiently(lambda: task_state.unmark(task))
                return
            attempts = await _patiently(lambda: task_state.begin(task))
            started = time.monotonic()
            reporter = ProgressReporter(task_state, task)
            known: Attributes = {"pullforge.task": task, "pullforge.attempt": attempts}
            name = f"carry out {message.kind}"
            with self._traces.span(name, "consumer", message.trace, known) as span:
                made, failure = await self._outcome(message, attempts, reporter)
                if failure is not None:
                    span.fail(failure.message)
            await _patiently(lambda: task_state.end(task, made, failure, reporter.progress))
            self._metrics.task_ended(
                message.kind if message.kind in self._handlers else "unknown",
                max(0.0, snapshot.now - message.sent_at),
                time.monotonic() - started,
                failed=failure is not None,
            )

    async def do_chore(self, name: str, every_seconds: float) -> None:
        """Run a periodic job, unless it is running or ran within half of its period.

        Several that order chores therefore do no harm.

        Raises:
            RedisError: Redis has been away for too long.
        """
        lately = await self._task_state.now() - every_seconds / 2
        asked = CHORE.asked.dump_json(name).decode()
        await self.handle(Message(CHORE.name, f"chore-{name}", asked, SCHEDULED, lately))

    async def _outcome(
        self, message: Message, attempts: int, reporter: "ProgressReporter"
    ) -> tuple[str | None, Failure | None]:
        current_priority.set(Priority(message.level))
        async with reporter:
            try:
                handler = self._handlers[message.kind]
                if attempts > handler.attempts:
                    raise WorkerLost(  # noqa: TRY301 (it is one of many ways to fail)
                        f"{handler.attempts} workers in turn ended while they were at this, perhaps"
                        " for lack of memory; the workers' logs say more"
                    )
                async with asyncio.timeout(self._task_seconds) as limit:
                    return await handler.carry_out(message, reporter.on_progress), None
            except BuilderError as exc:
                return None, Failure.of(exc)
            except Exception as exc:  # noqa: BLE001 (logged; who waits is told that it failed)
                if isinstance(exc, TimeoutError) and limit.expired():
                    seconds = self._task_seconds
                    return None, Failure.of(WorkerLost(f"it took longer than {seconds:g} seconds"))
                structlog.get_logger().exception("failed to carry out", task=message.task)
                sentence = "a worker failed at this; its log says why"
                return None, Failure(BuilderError.__name__, sentence, transient=True)


class ProgressReporter:
    """Sends the progress of a task at a limited rate."""

    def __init__(self, task_state: TaskState, task: str) -> None:
        self._task_state = task_state
        self._task = task
        #: The milestones so far, and the latest that is none.
        self.progress: list[Progress] = []
        self._news = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to send progress."""
        self._loop = asyncio.create_task(self._tell())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop sending: the outcome follows, and has all of it."""
        assert self._loop is not None
        await cancel_and_wait(self._loop)

    def on_progress(self, progress: Progress) -> None:
        """Receive the progress; a :class:`builder.ports.ProgressListener`."""
        if self.progress and not self.progress[-1].is_milestone:
            self.progress.pop()
        self.progress.append(progress)
        self._news.set()

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._task_state.report(self._task, self.progress)
            except RedisError:
                self._news.set()
            await asyncio.sleep(_TELL_SECONDS)


async def _patiently(call: Callable[[], Awaitable[Answered]]) -> Answered:
    """Return the result of a call to Redis, repeated while Redis does not answer."""
    for _ in range(_TRIES - 1):
        try:
            return await call()
        except RedisError:
            await asyncio.sleep(1)
    return await call()
