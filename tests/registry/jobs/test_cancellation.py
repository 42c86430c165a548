"""Ending loops whose cancellation may get lost."""

import asyncio

import pytest

from registry.jobs.cancellation import Cancellation, cancel_and_wait

pytestmark = pytest.mark.anyio


async def test_a_loop_that_loses_a_cancellation_ends_all_the_same(anyio_backend: str) -> None:
    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    loop = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await cancel_and_wait(loop)
    assert loop.cancelled()
    await cancel_and_wait(loop)


async def test_a_cancellation_that_was_lost_is_found(anyio_backend: str) -> None:
    found = []

    async def loses() -> None:
        cancellation = Cancellation()
        cancellation.check()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            found.append(True)
        cancellation.check()
        found.append(False)

    task = asyncio.create_task(loses())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert found == [True]
    assert task.cancelled()
