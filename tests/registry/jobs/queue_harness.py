"""An office of orders, and a worker, with nothing between them but a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from kombu.exceptions import OperationalError
from pydantic import TypeAdapter
from redis.asyncio import Redis

from builder.ports import Progress, ProgressListener
from registry.jobs.cancellation import cancel_and_wait
from registry.jobs.client import TaskClient, TaskTimeouts
from registry.jobs.queue import Message
from registry.jobs.runner import TaskHandler, TaskRunner
from registry.jobs.state import TaskEvents, TaskState
from registry.jobs.types import Role, TaskType

#: Doubles a number, under a name.
DOUBLE: Final = TaskType(
    "chore",
    "builds",
    TypeAdapter(tuple[str, int]),
    TypeAdapter(int),
    name_of=lambda asked: asked[0],
)
ERROR_TTL_SECONDS: Final = 60
LIMIT: Final = 2


class Line:
    """A broker that keeps what is sent; implements :class:`registry.jobs.client.Sender`."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        #: How many messages get lost from now on, and how often sending fails.
        self.loses = 0
        self.fails = 0

    async def send(self, message: Message, role: Role) -> None:
        assert role == DOUBLE.role
        if self.fails:
            self.fails -= 1
            raise OperationalError("the broker is away")
        if self.loses:
            self.loses -= 1
        else:
            self.messages.put_nowait(message)


@dataclass
class Counted:
    """Counts tasks; implements :class:`registry.jobs.runner.TaskMetrics`."""

    ended: list[tuple[str, bool]] = field(default_factory=list)

    def task_ended(self, kind: str, wait_seconds: float, seconds: float, *, failed: bool) -> None:
        assert wait_seconds >= 0
        assert seconds >= 0
        self.ended.append((kind, failed))


Work = Callable[[int, ProgressListener], Awaitable[int]]


async def double(number: int, _on_progress: ProgressListener) -> int:
    """Do what the kind is for."""
    return 2 * number


def carrier_of(
    task_state: TaskState,
    work: Work = double,
    metrics: Counted | None = None,
    *,
    task_seconds: float = 60,
) -> TaskRunner:
    """Return a worker's part of the kind."""

    async def work_on(asked: tuple[str, int], on_progress: ProgressListener) -> int:
        return await work(asked[1], on_progress)

    handlers: dict[Any, TaskHandler[Any, Any]] = {DOUBLE.name: TaskHandler(DOUBLE, work_on)}
    return TaskRunner(task_state, handlers, metrics or Counted(), task_seconds=task_seconds)


def message_of(number: int, sent_at: float, name: str = "x", level: int = 0) -> Message:
    """Return what a server sends."""
    return Message(DOUBLE.name, f"{DOUBLE.name}-{name}", f'["{name}", {number}]', level, sent_at)


class Office:
    """Orders over a line."""

    def __init__(
        self, task_state: TaskState, task_events: TaskEvents, patience: TaskTimeouts, limit: int
    ) -> None:
        self.task_state = task_state
        self.line = Line()
        self.orders = TaskClient(task_state, task_events, self.line, patience, limit=limit)
        self.heard: list[Progress] = []
        self.hears = asyncio.Event()

    def run(self, number: int, name: str = "x", max_age: float = 0) -> asyncio.Task[int]:
        """Order a number to be doubled."""
        return asyncio.create_task(self._order(number, name, max_age))

    async def _order(self, number: int, name: str, max_age: float) -> int:
        made, _ = await self.orders.run(DOUBLE, (name, number), self._on_progress, max_age=max_age)
        return made

    def _on_progress(self, progress: Progress) -> None:
        self.heard.append(progress)
        self.hears.set()

    @asynccontextmanager
    async def worker(self, work: Work = double) -> AsyncIterator[Counted]:
        """Have messages carried out one after the other; gives what it counted."""
        counted = Counted()
        runner = carrier_of(self.task_state, work, counted)

        async def go_on() -> None:
            while True:
                # In a task of its own: it sets whose work it is.
                await asyncio.create_task(runner.handle(await self.line.messages.get()))

        going = asyncio.create_task(go_on())
        try:
            yield counted
        finally:
            await cancel_and_wait(going)


@asynccontextmanager
async def open_office(
    redis: Redis,
    *,
    ask_again_seconds: float = 0.05,
    away_seconds: float = 30,
    task_seconds: float = 60,
    limit: int = LIMIT,
) -> AsyncIterator[Office]:
    """Give an office that looks often, and soon sends again what nobody has begun."""
    task_state = TaskState(redis, lease_seconds=1, ask_again_seconds=ask_again_seconds)
    patience = TaskTimeouts(task_seconds, ERROR_TTL_SECONDS, 0.05, away_seconds)
    async with asyncio.timeout(60), TaskEvents(redis).listening() as task_events:
        yield Office(task_state, task_events, patience, limit)
