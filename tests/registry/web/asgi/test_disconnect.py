import asyncio

import pytest
from starlette.types import Message

from registry.web.asgi.disconnect import ClientGone, cancel_on_disconnect

pytestmark = pytest.mark.anyio


class Connection:
    """A client that sent its request and may leave."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.reading = asyncio.Event()

    async def receive(self) -> Message:
        self.reading.set()
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_quick_work_is_not_watched() -> None:
    connection = Connection()

    async def work() -> int:
        return 5

    assert await cancel_on_disconnect(connection.receive, work()) == 5
    assert not connection.reading.is_set()


async def test_an_error_of_the_work_comes_through() -> None:
    async def work() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await cancel_on_disconnect(Connection().receive, work())


async def test_slow_work_ends_when_the_client_leaves() -> None:
    before = asyncio.all_tasks()
    connection = Connection()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(cancel_on_disconnect(connection.receive, work()))
    await connection.reading.wait()
    connection.left.set()
    with pytest.raises(ClientGone):
        await task
    assert ended.is_set()
    assert task.cancelling() == 0
    assert asyncio.all_tasks() == before


async def test_slow_work_of_a_client_that_stays_is_answered() -> None:
    before = asyncio.all_tasks()
    connection = Connection()

    async def work() -> int:
        await connection.reading.wait()
        return 5

    assert await cancel_on_disconnect(connection.receive, work()) == 5
    assert asyncio.all_tasks() == before


async def test_who_is_cancelled_from_outside_stays_cancelled() -> None:
    before = asyncio.all_tasks()
    connection = Connection()
    task = asyncio.create_task(cancel_on_disconnect(connection.receive, asyncio.Event().wait()))
    await connection.reading.wait()
    connection.left.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
