"""Work over a stream, so many at a time: neither the stream nor the results are held in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from builder.concurrency.single_flight import together

Item = TypeVar("Item")

#: How many small objects are read at once.
READS: Final = 16


async def for_each(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[None]], parallel: int = READS
) -> None:
    """Do ``work`` with every item, ``parallel`` of them at a time; the order of ends is open.

    Raises:
        Exception: What the first to fail raised; the rest is cancelled then.
    """
    turn = asyncio.Lock()

    async def run() -> None:
        while True:
            async with turn:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            await work(item)

    await together(run() for _ in range(parallel))
