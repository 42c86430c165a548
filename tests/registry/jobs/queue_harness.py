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
from registry.jobs.cancellation import end
from registry.jobs.client import OrderPatience, Orders
from registry.jobs.queue import Message
from registry.jobs.runner import Carrier, Duty
from registry.jobs.state import Board, Wakes
from registry.jobs.types import Kind, Role

#: Doubles a number.
DOUBLE: Final = Kind("chore", "builds", TypeAdapter(int), TypeAdapter(int))
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


async def double(number: int, _listen: ProgressListener) -> int:
    """Do what the kind is for."""
    return 2 * number


def carrier_of(
    board: Board, work: Work = double, metrics: Counted | None = None, *, task_seconds: float = 60
) -> Carrier:
    """Return a worker's part of the kind."""
    duties: dict[Any, Duty[Any, Any]] = {DOUBLE.name: Duty(DOUBLE, work)}
    return Carrier(board, duties, metrics or Counted(), task_seconds=task_seconds)


def message_of(number: int, sent_at: float, name: str = "x") -> Message:
    """Return what a server sends."""
    return Message(DOUBLE.name, f"{DOUBLE.name}-{name}", str(number), 0, sent_at)


class Office:
    """Orders over a line."""

    def __init__(self, board: Board, wakes: Wakes, patience: OrderPatience, limit: int) -> None:
        self.board = board
        self.line = Line()
        self.orders = Orders(board, wakes, self.line, patience, limit=limit)
        self.heard: list[Progress] = []
        self.hears = asyncio.Event()

    def order(self, number: int, name: str = "x", max_age: float = 0) -> asyncio.Task[int]:
        """Order a number to be doubled."""
        return asyncio.create_task(self._order(number, name, max_age))

    async def _order(self, number: int, name: str, max_age: float) -> int:
        made, _ = await self.orders.order(DOUBLE, name, number, self._listen, max_age=max_age)
        return made

    def _listen(self, progress: Progress) -> None:
        self.heard.append(progress)
        self.hears.set()

    @asynccontextmanager
    async def worker(self, work: Work = double) -> AsyncIterator[Counted]:
        """Have messages carried out one after the other; gives what it counted."""
        counted = Counted()
        carrier = carrier_of(self.board, work, counted)

        async def go_on() -> None:
            while True:
                # In a task of its own: it sets whose work it is.
                await asyncio.create_task(carrier.take(await self.line.messages.get()))

        going = asyncio.create_task(go_on())
        try:
            yield counted
        finally:
            await end(going)


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
    board = Board(redis, lease_seconds=1, ask_again_seconds=ask_again_seconds)
    patience = OrderPatience(task_seconds, ERROR_TTL_SECONDS, 0.05, away_seconds)
    async with asyncio.timeout(60), Wakes(redis).listening() as wakes:
        yield Office(board, wakes, patience, limit)
