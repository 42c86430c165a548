"""How long questions take in a large catalog, whatever the machine and what runs beside."""

import time
from collections.abc import Awaitable, Callable, Mapping

#: A question, which can be asked again.
Ask = Callable[[], Awaitable[object]]


async def shortest(ask: Ask) -> float:
    """Return how many seconds something takes, the best of seven."""
    taken = []
    for _ in range(7):
        before = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - before)
    return min(taken)


async def slow(asked: Mapping[str, Ask], least: Ask) -> dict[str, tuple[float, float]]:
    """Return what takes long, beside a question that costs least here; both in seconds."""
    base = await shortest(least)
    taken = {name: await shortest(ask) for name, ask in asked.items()}
    return {
        name: (round(one, 3), round(base, 3))
        for name, one in taken.items()
        if one > 0.05 + 20 * base
    }
