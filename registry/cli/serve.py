"""``pullforge serve``."""

import uvicorn

from registry.app import create_app
from registry.settings import Settings
from registry.telemetry import configure_logs
from registry.wiring import open_services


def serve() -> None:
    """Serve the registry; docs/settings.md lists the settings."""
    settings = Settings()
    configure_logs(settings.log_format)
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
