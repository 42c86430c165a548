"""The application: every face of the service, and the life of what they are answered from.

::

    WarmManifests        what is in memory, before the application; only with ShortcutProtocol, and
                         without traces
    Traced               a span of each request; only where traces are recorded
    Observe              request id, access log, metrics
    └─ DistributionFirst
       ├─ /v2…           Distribution: routing and errors of its own
       └─ ErrorBoundary
          └─ router      /healthz  /readyz  /metrics  /login…  /logout  /api/v1/login…
             ├─ /api/v1  ErrorBoundary, router and errors of its own
             ├─ /conda-store  conda-store's wire, which asks /api/v1
             └─ /…       pages, which ask /api/v1
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from registry.telemetry import AccessLog, NoAccessLog, StructuredAccessLog
from registry.web.api import api_route
from registry.web.asgi.boundary import ErrorBoundary
from registry.web.asgi.connections import Connections
from registry.web.conda_store import Face, conda_store_routes
from registry.web.distribution import HOP_SECONDS, Distribution, DistributionFirst
from registry.web.distribution.memory_cache import WarmManifests
from registry.web.health import ROUTES
from registry.web.login import login_routes
from registry.web.observe import Observe
from registry.web.pages import page_routes
from registry.web.services import AppState, Services
from registry.web.traced import Traced

#: Opens everything that requests are answered from; on exit nothing of it runs any more.
OpenServices = Callable[[], AbstractAsyncContextManager[Services]]
_CONDA_STORE: Final = Face()


def create_app(
    open_services: OpenServices,
    *,
    redirect_after_seconds: float = HOP_SECONDS,
    access_log: AccessLog | bool = True,
    is_traced: bool = False,
    connections: Connections | None = None,
    conda_store: Face = _CONDA_STORE,
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Return the application; it opens its services when it starts, and closes them when it ends.

    Args:
        open_services: Called once for each life of the application.
        redirect_after_seconds: How long a pull waits for its image before it is sent round again.
        access_log: Writes a line for each request; ``True``: to the other lines, ``False``: none.
        is_traced: Whether each request is recorded by :attr:`Services.traces`. Then all pass the
            application: what is answered before it is in no trace.
        connections: Bounds them; ``None``: there may be any number.
        conda_store: Where conda-store's wire is.
        clock: Tells seconds that pass, by which tries to log in are counted.
    """
    if isinstance(access_log, bool):
        access_log = StructuredAccessLog() if access_log else NoAccessLog()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppState]:
        async with open_services() as services:
            state = AppState(services=services, stopping=asyncio.Event())
            if connections is not None:
                state["connections"] = connections
            if not is_traced:
                state["shortcut"] = WarmManifests(services, access_log)
            yield state

    api = api_route()
    app = Starlette(
        routes=[
            *ROUTES,
            *login_routes(clock),
            # Before those of /api/v1, which answer everything below it.
            *conda_store_routes(api, conda_store),
            api,
            *page_routes(api),
        ],
        middleware=[
            *([Middleware(Traced)] if is_traced else []),
            Middleware(Observe, access_log=access_log),
            Middleware(
                DistributionFirst, face=Distribution(redirect_after_seconds=redirect_after_seconds)
            ),
            Middleware(
                ErrorBoundary, failure=PlainTextResponse("the server failed to answer\n", 500)
            ),
        ],
        lifespan=lifespan,
    )
    # An address is as it is written: nobody is sent to another one by the name that they sent.
    app.router.redirect_slashes = False
    return app
