"""What handlers are given: made by wiring, held by the application while it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict, cast

from starlette.types import Scope

from builder.exports import Exports
from registry.auth.access import Access
from registry.auth.device_logins import DeviceLogins
from registry.auth.oidc import Oidc
from registry.auth.sessions import Accounts, Sessions
from registry.catalog.services import CatalogServices
from registry.content.blobs import Blobs
from registry.content.files import StoredFiles
from registry.content.manifests import Manifests
from registry.content.pushed_blobs import PushedBlobs
from registry.content.repositories import Repositories
from registry.content.uploads import Uploads
from registry.images.catalog import BuildCatalog
from registry.images.pins import Pins
from registry.requests.requests import BuildRequests
from registry.sources.source import Sources
from registry.telemetry import NO_TRACES, Metrics, Traces
from registry.web.asgi.connections import Connections
from registry.web.asgi.shortcut import Shortcut

#: Whose builds are pinned without their asking: ``rightful`` are those who may pin.
PinsOf = Literal["nobody", "rightful", "everybody"]

#: Returns how many tasks wait, and for how many seconds the oldest.
QueueGauges = Callable[[], Awaitable[tuple[int, float]]]

#: Returns when a part of the service can be used, and raises when not.
ReadinessCheck = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BuildServices:
    """What the API answers from."""

    requests: BuildRequests
    locked: BuildCatalog
    pins: Pins
    forms: Exports
    files: StoredFiles
    #: The largest body that may be sent.
    max_request_bytes: int
    pins_of: PinsOf


@dataclass(frozen=True, slots=True)
class LoginServices:
    """What logging in with a browser, or for a program, is answered from."""

    accounts: Accounts
    sessions: Sessions
    devices: DeviceLogins
    #: ``None``: there is no provider, and people log in by name and password.
    oidc: Oidc | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that requests are answered from."""

    sources: Sources
    manifests: Manifests
    blobs: Blobs
    repositories: Repositories
    pushed_blobs: PushedBlobs
    uploads: Uploads
    metrics: Metrics
    builds: BuildServices
    access: Access
    #: What must work before requests are sent here, by name, e.g. ``"store"``.
    checks: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    #: Where clients find the service, e.g. ``"https://registry.example"``; ``None``: where their
    #: requests say.
    public_url: str | None = None
    #: Records what is done.
    traces: Traces = NO_TRACES
    #: How much waits for workers; ``None``: there are none.
    queue: QueueGauges | None = None
    #: ``None``: browsers cannot log in here, since there is no database.
    login: LoginServices | None = None
    #: ``None``: there is no database, and so there are no named environments.
    catalog: CatalogServices | None = None


class AppState(TypedDict):
    """What the application's lifespan gives each request, as ``request.state``."""

    services: Services
    #: Answers some requests before they reach the application, where the server can ask it.
    shortcut: NotRequired[Shortcut]
    #: Bounds connections, where the server can ask it.
    connections: NotRequired[Connections]
    #: Set when the server stops, where it tells: what would go on without end is ended.
    stopping: asyncio.Event


def services_of(scope: Scope) -> Services:
    """Return the services of the application that received the request."""
    return cast("AppState", scope["state"])["services"]
