"""``pullforge serve``."""

import asyncio

import uvicorn

from registry.app import create_app
from registry.cli.session import exit_on_error
from registry.settings import Settings
from registry.telemetry import configure_logs
from registry.wiring import open_access, open_services, open_store


def serve() -> None:
    """Serve the registry; docs/settings.md lists the settings."""
    settings = Settings()
    configure_logs(settings.log_format)
    with exit_on_error():  # what cannot be used is one sentence, not a traceback
        asyncio.run(_try(settings))
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
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=10,
    )


async def _try(settings: Settings) -> None:
    """Open what may not be usable, and close it again."""
    async with open_store(settings, settings.store), open_access(settings):
        pass
