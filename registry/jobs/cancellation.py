"""Ending what runs beside something else.

``asyncio.wait_for`` of Python 3.11, by which Redis's client sends, loses a cancellation that comes
at the moment in which it is done. Whatever asks Redis in a loop would go on for ever then.
"""

import asyncio
from typing import Any


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, as often as it takes, and wait until they have ended."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)


class Cancellation:
    """Finds out that the task in which it was made has been cancelled since."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task is not None else 0

    def check(self) -> None:
        """Be cancelled, if that was lost.

        Raises:
            asyncio.CancelledError: It was.
        """
        if self._task is not None and self._task.cancelling() > self._before:
            raise asyncio.CancelledError
