import asyncio

import pytest

from builder.concurrency.single_flight import SingleFlight, together


def test_everyone_who_asks_meanwhile_gets_the_result_of_one_run() -> None:
    async def scenario() -> tuple[list[int], int]:
        flights: SingleFlight[int] = SingleFlight()
        gate, runs = asyncio.Event(), 0

        async def work() -> int:
            nonlocal runs
            runs += 1
            await gate.wait()
            return 7

        callers = [asyncio.create_task(flights.run("key", work)) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*callers), runs

    results, runs = asyncio.run(scenario())
    assert results == [7] * 50
    assert runs == 1


def test_a_caller_that_leaves_does_not_cancel_the_work_of_the_others() -> None:
    async def scenario() -> int:
        flights: SingleFlight[int] = SingleFlight()
        gate = asyncio.Event()

        async def work() -> int:
            await gate.wait()
            return 7

        leaving = asyncio.create_task(flights.run("key", work))
        staying = asyncio.create_task(flights.run("key", work))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gate.set()
        return await staying

    assert asyncio.run(scenario()) == 7


def test_a_failure_reaches_every_caller_and_is_not_remembered() -> None:
    async def scenario() -> None:
        flights: SingleFlight[int] = SingleFlight()

        async def fail() -> int:
            raise LookupError("gone")

        async def succeed() -> int:
            return 7

        callers = [asyncio.create_task(flights.run("key", fail)) for _ in range(3)]
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(result) for result in results] == [LookupError] * 3
        assert not flights.running("key")
        assert await flights.run("key", succeed) == 7

    asyncio.run(scenario())


def test_closing_ends_what_is_under_way() -> None:
    async def scenario() -> None:
        flights: SingleFlight[None] = SingleFlight()

        async def work() -> None:
            await asyncio.Event().wait()

        task = flights.start("key", work)
        await flights.close()
        assert task.cancelled()

    asyncio.run(scenario())


def test_work_done_together_raises_the_first_failure_itself_and_cancels_the_rest() -> None:
    async def scenario() -> None:
        cancelled = asyncio.Event()

        async def fail() -> int:
            raise LookupError("gone")

        async def wait() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return 0

        with pytest.raises(LookupError):
            await together([wait(), fail()])
        await asyncio.wait_for(cancelled.wait(), 1)

    asyncio.run(scenario())
