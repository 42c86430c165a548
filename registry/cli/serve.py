"""``pullforge serve``."""

import uvicorn

from registry.app import create_app
from registry.settings import Settings
from registry.wiring import open_services


def serve() -> None:
    """Serve the registry; docs/settings.md lists the settings."""
    settings = Settings()
    uvicorn.run(
        create_app(lambda: open_services(settings)),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
