"""Work with files of a root, beside the event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from builder.concurrency.threads import start_thread
from registry.errors import RootUnusable

Result = TypeVar("Result")

#: What a file system may take for one step before it is said that it does not answer.
STEP_SECONDS: Final = 300.0
#: How much of that is waited when nobody wants the result any more.
_END_SECONDS: Final = 30.0


async def in_thread(work: Callable[[], Result], seconds: float = STEP_SECONDS) -> Result:
    """Return what ``work`` returns, done in a thread of its own.

    Whoever cancels this goes on when the work has ended: nothing is changed in a root that somebody
    else has by then. A file system that is away may keep a thread for ever; the end of the program
    does not wait for it.

    Raises:
        Exception: Whatever ``work`` raised.
        RootUnusable: It has not ended in time.
    """
    done = start_thread(work, "root")
    await _wait(done, seconds)
    if not done.done():
        done.cancel()
        raise RootUnusable(
            f"the file system has not answered for {seconds:.0f} s: look whether it is there"
        )
    return done.result()


async def to_its_end(work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    """Return what ``work`` of another process returns.

    Whoever cancels this goes on when the work has ended, as with :func:`in_thread`.

    Raises:
        Exception: Whatever ``work`` raised.
        TimeoutError: It has not ended in time.
    """
    done = asyncio.ensure_future(work)
    await _wait(done, seconds)
    if not done.done():
        done.cancel()
        raise TimeoutError
    return done.result()


async def _wait(done: "asyncio.Future[Result]", seconds: float) -> None:
    try:
        await asyncio.wait({done}, timeout=seconds)
    except asyncio.CancelledError:
        await asyncio.wait({done}, timeout=_END_SECONDS)
        if done.done() and not done.cancelled():
            done.exception()  # nobody wants it
        raise
