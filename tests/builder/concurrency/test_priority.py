"""Whose turn it is."""

import asyncio

import pytest

from builder.concurrency.priority import Turns, Urgency, urgency
from builder.concurrency.single_flight import SingleFlight

pytestmark = pytest.mark.anyio


class Line:
    """A place where one works at a time, held until the test lets those who wait come."""

    def __init__(self) -> None:
        self.turns = Turns(1)
        self.order: list[str] = []
        self.open = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def hold(self) -> None:
        """Have the only turn."""
        self.stand("holder", Urgency())
        await settle()

    def stand(self, name: str, how: Urgency) -> asyncio.Task[None]:
        """Let another wait for a turn."""

        async def wait() -> None:
            urgency.set(how)
            async with self.turns.turn():
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
        line.stand(name, Urgency(level))
    await settle()
    assert await line.end() == ["d", "b", "e", "a", "c"]


async def test_so_many_work_at_once() -> None:
    turns, at_work, most = Turns(3), 0, 0

    async def work() -> None:
        nonlocal at_work, most
        async with turns.turn():
            at_work += 1
            most = max(most, at_work)
            await settle()
            at_work -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3


async def test_who_becomes_more_urgent_while_waiting_comes_sooner() -> None:
    line, late = Line(), Urgency(3)
    await line.hold()
    line.stand("a", Urgency(2))
    line.stand("late", late)
    await settle()
    late.rise(1)
    assert await line.end() == ["late", "a"]


async def test_urgency_never_falls() -> None:
    its = Urgency(1)
    its.rise(2)
    assert its.level == 1


async def test_who_leaves_does_not_keep_the_turn_from_others() -> None:
    line = Line()
    await line.hold()
    leaving = line.stand("leaving", Urgency())
    line.stand("b", Urgency())
    await settle()
    leaving.cancel()
    await settle()
    assert await line.end() == ["b"]
    async with asyncio.timeout(1), line.turns.turn():
        pass


async def test_who_leaves_at_the_moment_of_the_turn_gives_it_on() -> None:
    turns = Turns(1)

    async def have() -> None:
        async with turns.turn():
            pass

    async with turns.turn():
        leaving = asyncio.create_task(have())
        staying = asyncio.create_task(have())
        await settle()
    leaving.cancel()  # its turn has come, but it does not know yet
    async with asyncio.timeout(1):
        await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(1), turns.turn():
        pass


async def test_shared_work_is_as_urgent_as_the_most_urgent_of_those_who_want_it() -> None:
    """What it waits for within work that is shared in turn rises with it."""
    line, outer, inner = Line(), SingleFlight[None](), SingleFlight[None]()
    await line.hold()

    async def wait() -> None:
        async with line.turns.turn():
            line.order.append("shared")

    async def want(how: Urgency) -> None:
        urgency.set(how)
        await outer.run("it", lambda: inner.run("part", wait))

    rising = Urgency(3)
    wanted = [asyncio.create_task(want(Urgency(3))), asyncio.create_task(want(rising))]
    await settle()
    line.stand("a", Urgency(2))
    line.stand("b", Urgency(1))
    await settle()
    rising.rise(1)
    wanted.append(asyncio.create_task(want(Urgency(0))))
    await settle()
    assert await line.end() == ["shared", "b", "a"]
    await asyncio.gather(*wanted)


async def test_what_is_shared_leaves_the_urgency_of_each_as_it_was() -> None:
    flights: SingleFlight[int] = SingleFlight()
    low, high = Urgency(2), Urgency(0)

    async def ask(how: Urgency) -> int:
        urgency.set(how)

        async def level() -> int:
            await settle()
            return urgency.get().level

        return await flights.run("it", level)

    assert list(await asyncio.gather(ask(low), ask(high))) == [0, 0]
    assert (low.level, high.level) == (2, 0)
