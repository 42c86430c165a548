"""Waiting for work that may take longer than a client waits for its answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from builder.ports import Progress, ProgressListener
from registry.errors import StillBuilding
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.waiting import HOP_SECONDS
from registry.web.services import AppState

Result = TypeVar("Result")


async def in_time(
    request: Request[AppState],
    work: Callable[[ProgressListener], Coroutine[Any, Any, Result]],
    *,
    what: str,
) -> Result:
    """Return what ``work`` returns if that is before the client loses patience.

    The work goes on when a call is cancelled, and may be called again; ``what`` is its result.

    Raises:
        StillBuilding: It takes longer; ask again.
        ClientGone: The client went away.
        Exception: Whatever ``work`` raised.
    """
    latest = Progress("plan")

    def on_progress(progress: Progress) -> None:
        nonlocal latest
        latest = progress

    async def wait() -> Result:
        try:
            async with asyncio.timeout(HOP_SECONDS) as limit:
                return await work(on_progress)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise StillBuilding(latest, what=what) from exc

    return await cancel_on_disconnect(request.receive, wait())
