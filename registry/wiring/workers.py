"""What has work done by workers elsewhere."""

from collections.abc import AsyncIterator
from contextlib import (
    asynccontextmanager,
)
from typing import TYPE_CHECKING

from registry.settings import Settings
from registry.telemetry import Traces

if TYPE_CHECKING:
    from registry.jobs.connection import Tasks


@asynccontextmanager
async def open_workers(settings: Settings, traces: Traces) -> AsyncIterator["Tasks"]:
    """Give what has work done by workers; for settings with a broker."""
    # Celery takes a while to import, which a server without workers need not wait for.
    from registry.jobs.client import TaskTimeouts  # noqa: PLC0415
    from registry.jobs.connection import open_tasks  # noqa: PLC0415
    from registry.jobs.queue import make_app  # noqa: PLC0415

    broker = settings.broker_url
    async with open_tasks(
        make_app(broker, task_seconds=settings.task_seconds),
        settings.redis.get_secret_value() if settings.redis else broker,
        TaskTimeouts(settings.task_seconds, settings.error_ttl_seconds),
        max_waiting=settings.max_waiting,
        traces=traces,
    ) as tasks:
        yield tasks
