"""Work that may never end, such as that with files of a file system that is away."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def start_thread(work: Callable[[], Result], name: str) -> "asyncio.Future[Result]":
    """Begin ``work`` in a thread of its own, and return the future of what it returns or raises.

    It may keep the thread for ever: no pool has to do with it, and the end of the program does not
    wait for it. Cancelling the future leaves it to itself.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # a Result where there is no error

    def run() -> None:
        result: Result | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 (handed over)
            error = exc
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has ended
            return

    threading.Thread(target=run, name=name, daemon=True).start()
    return done
