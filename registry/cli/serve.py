"""``pullforge serve``."""

import asyncio

import uvicorn

from registry.app import create_app
from registry.cli.session import exit_on_error
from registry.settings import Settings
from registry.telemetry import configure_logs
from registry.wiring import open_services, open_store


def serve() -> None:
    """Serve the registry; docs/settings.md lists the settings."""
    settings = Settings()
    configure_logs(settings.log_format)
    with exit_on_error():  # a store that cannot be used is one sentence, not a traceback
        asyncio.run(_find_store(settings))
    app = create_app(
        lambda: open_services(settings),
        hop_seconds=settings.wait_seconds,
        access_log=settings.access_log,
    )
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )


async def _find_store(settings: Settings) -> None:
    async with open_store(settings, settings.store):
        pass
