"""``pullforge serve``."""

import asyncio
import gc
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn

from registry.app import create_app
from registry.cli.errors import exit_on_error
from registry.database import open_database
from registry.errors import DatabaseOutdated, DatabaseUnavailable
from registry.settings import Settings
from registry.telemetry import AccessLog, JsonAccessLog, configure_logs
from registry.web.asgi.connections import Connections
from registry.web.asgi.protocol import ShortcutProtocol
from registry.web.services import Services
from registry.wiring.conda_store import conda_store_face
from registry.wiring.database import database_url
from registry.wiring.policy import try_policies
from registry.wiring.services import open_access, open_services
from registry.wiring.stores import open_store

#: Files that the store, the channels, logs and worker processes may need at once.
_RESERVED_FILES: Final = 512


def serve() -> None:
    """Serve the registry; docs/settings.md lists the settings."""
    settings = Settings()
    configure_logs(settings.log_format)
    with exit_on_error():  # what cannot be used is one sentence, not a traceback
        asyncio.run(_try(settings))
    with _access_log(settings) as access_log:
        app = create_app(
            lambda: _open(settings),
            redirect_after_seconds=settings.wait_seconds,
            access_log=access_log,
            is_traced=settings.traces is not None,
            connections=Connections(
                settings.address_connections,
                _most_connections(),
                settings.address_unread,
                settings.trusted_proxies,
            ),
            conda_store=conda_store_face(settings),
        )
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            http=ShortcutProtocol,
            log_config=None,
            access_log=False,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=10,
        )


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[Services]:
    """Give the services, when nothing of them is looked at by the garbage collector any more."""
    async with open_services(settings) as services:
        # What is there by now stays; to look at all of it again takes 60 ms, in which nobody is
        # answered.
        gc.collect()
        gc.freeze()
        yield services


def _most_connections() -> int:
    """Return how many connections leave files for everything else, of as many as may be open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 1_048_576 if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(files - _RESERVED_FILES, files // 2)


@contextmanager
def _access_log(settings: Settings) -> Iterator[AccessLog | bool]:
    """Give what the settings want; every line is written on exit."""
    # The quick one does not know to which trace a line belongs.
    is_plain = settings.log_format == "json" and settings.traces is None
    if not settings.access_log or not is_plain:
        yield settings.access_log
        return
    log = JsonAccessLog(sys.stderr)
    try:
        yield log
    finally:
        log.flush()


async def _try(settings: Settings) -> None:
    """Open what may not be usable, and close it again."""
    await try_policies(settings)
    async with open_store(settings, settings.store), open_access(settings):
        await _try_database(settings)


async def _try_database(settings: Settings) -> None:
    """Return if the database can be used, or does not answer, which may pass.

    Raises:
        DatabaseOutdated: It has the tables of another version of the program.
    """
    url = database_url(settings)
    if url is None:
        return
    async with open_database(url) as database:
        try:
            await database.check()
        except DatabaseOutdated:
            raise
        except DatabaseUnavailable:
            return
