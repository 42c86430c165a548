"""Plain functions that have work done on an event loop in another thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import cast

import pytest

from registry.jobs.queue import Message
from registry.jobs.runner import TaskRunner
from registry.worker.loop_thread import EventLoopThread

MESSAGE = Message("chore", "chore-x", "1", 0, 0)


class Porter:
    """Carries messages as it is told; stands in for :class:`TaskRunner`."""

    def __init__(self, work: Callable[[Message], Awaitable[None]]) -> None:
        self.work = work
        self.state = "new"

    async def handle(self, message: Message) -> None:
        assert self.state == "open"
        await self.work(message)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[TaskRunner]:
        self.state = "open"
        try:
            yield cast("TaskRunner", self)
        finally:
            self.state = "closed"


async def nothing(_message: Message) -> None:
    """Do nothing."""


@pytest.fixture
def porter() -> Porter:
    return Porter(nothing)


@pytest.fixture
def bench(porter: Porter) -> Iterator[EventLoopThread]:
    with closing(EventLoopThread(porter.opened)) as bench:
        bench.open()
        yield bench


def test_a_message_is_carried_out_before_handle_returns(
    bench: EventLoopThread, porter: Porter
) -> None:
    seen = []

    async def work(message: Message) -> None:
        await asyncio.sleep(0)
        seen.append((message, threading.current_thread()))

    porter.work = work
    bench.handle(MESSAGE)
    ((message, thread),) = seen
    assert message is MESSAGE
    assert thread is not threading.current_thread()


def test_what_is_raised_there_is_raised_here(bench: EventLoopThread, porter: Porter) -> None:
    async def fail(_message: Message) -> None:
        raise ZeroDivisionError

    porter.work = fail
    with pytest.raises(ZeroDivisionError):
        bench.handle(MESSAGE)
    porter.work = nothing
    bench.handle(MESSAGE)


def test_messages_of_several_threads_are_carried_out_at_once(
    bench: EventLoopThread, porter: Porter
) -> None:
    count = 3
    all_there = asyncio.Barrier(count)

    async def meet(_message: Message) -> None:
        await all_there.wait()

    porter.work = meet
    threads = [threading.Thread(target=bench.handle, args=(MESSAGE,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_closing_closes_what_was_opened_and_may_be_done_twice(
    bench: EventLoopThread, porter: Porter
) -> None:
    assert porter.state == "open"
    bench.close()
    assert porter.state == "closed"
    bench.close()


def test_a_bench_that_was_never_opened_can_be_closed(porter: Porter) -> None:
    EventLoopThread(porter.opened).close()
    assert porter.state == "new"


def test_what_opening_raises_is_raised_by_open() -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[TaskRunner]:
        raise ConnectionRefusedError
        yield

    bench = EventLoopThread(broken)
    with pytest.raises(ConnectionRefusedError):
        bench.open()
    bench.close()
