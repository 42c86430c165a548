"""Whose turn it is."""

import asyncio

import pytest

from builder.concurrency.priority import Priority, PrioritySemaphore, current_priority
from builder.concurrency.single_flight import SingleFlight

pytestmark = pytest.mark.anyio


class Line:
    """A place where one works at a time, held until the test lets those who wait come."""

    def __init__(self) -> None:
        self.slots = PrioritySemaphore(1)
        self.order: list[str] = []
        self.open = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def hold(self) -> None:
        """Have the only turn."""
        self.stand("holder", Priority())
        await settle()

    def stand(self, name: str, how: Priority) -> asyncio.Task[None]:
        """Let another wait for a turn."""

        async def wait() -> None:
            current_priority.set(how)
            async with self.slots.slot():
                self.order.append(name)
                await self.open.wait()

        task = asyncio.create_task(wait())
        self.tasks.append(task)
        return task

    async def end(self) -> list[str]:
        """Let all come, and return in which order they did."""
        self.open.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.order[1:]


async def settle() -> None:
    """Let every task come as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_most_urgent_comes_first_and_then_who_came_first() -> None:
    line = Line()
    await line.hold()
    for name, level in [("a", 2), ("b", 1), ("c", 2), ("d", 0), ("e", 1)]:
        line.stand(name, Priority(level))
    await settle()
    assert await line.end() == ["d", "b", "e", "a", "c"]


async def test_so_many_work_at_once() -> None:
    slots, at_work, most = PrioritySemaphore(3), 0, 0

    async def work() -> None:
        nonlocal at_work, most
        async with slots.slot():
            at_work += 1
            most = max(most, at_work)
            await settle()
            at_work -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3


async def test_who_becomes_more_urgent_while_waiting_comes_sooner() -> None:
    line, late = Line(), Priority(3)
    await line.hold()
    line.stand("a", Priority(2))
    line.stand("late", late)
    await settle()
    late.raise_to(1)
    assert await line.end() == ["late", "a"]


async def test_urgency_never_falls() -> None:
    its = Priority(1)
    its.raise_to(2)
    assert its.level == 1


async def test_who_leaves_does_not_keep_the_turn_from_others() -> None:
    line = Line()
    await line.hold()
    leaving = line.stand("leaving", Priority())
    line.stand("b", Priority())
    await settle()
    leaving.cancel()
    await settle()
    assert await line.end() == ["b"]
    async with asyncio.timeout(1), line.slots.slot():
        pass


async def test_who_leaves_at_the_moment_of_the_turn_gives_it_on() -> None:
    slots = PrioritySemaphore(1)

    async def have() -> None:
        async with slots.slot():
            pass

    async with slots.slot():
        leaving = asyncio.create_task(have())
        staying = asyncio.create_task(have())
        await settle()
    leaving.cancel()  # its turn has come, but it does not know yet
    async with asyncio.timeout(1):
        await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(1), slots.slot():
        pass


async def test_shared_work_is_as_urgent_as_the_most_urgent_of_those_who_want_it() -> None:
    """What it waits for within work that is shared in turn rises with it."""
    line, outer, inner = Line(), SingleFlight[None](), SingleFlight[None]()
    await line.hold()

    async def wait() -> None:
        async with line.slots.slot():
            line.order.append("shared")

    async def want(how: Priority) -> None:
        current_priority.set(how)
        await outer.run("it", lambda: inner.run("part", wait))

    rising = Priority(3)
    wanted = [asyncio.create_task(want(Priority(3))), asyncio.create_task(want(rising))]
    await settle()
    line.stand("a", Priority(2))
    line.stand("b", Priority(1))
    await settle()
    rising.raise_to(1)
    wanted.append(asyncio.create_task(want(Priority(0))))
    await settle()
    assert await line.end() == ["shared", "b", "a"]
    await asyncio.gather(*wanted)


async def test_what_is_shared_leaves_the_urgency_of_each_as_it_was() -> None:
    flights: SingleFlight[int] = SingleFlight()
    low, high = Priority(2), Priority(0)

    async def ask(how: Priority) -> int:
        current_priority.set(how)

        async def level() -> int:
            await settle()
            return current_priority.get().level

        return await flights.run("it", level)

    assert list(await asyncio.gather(ask(low), ask(high))) == [0, 0]
    assert (low.level, high.level) == (2, 0)
