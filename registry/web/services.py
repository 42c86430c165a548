"""What handlers are given: made by wiring, held by the application while it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict, cast

from starlette.types import Scope

from builder.exports import Exports
from builder.ports import Workers
from registry.auth.access import Access
from registry.auth.device_logins import DeviceLogins
from registry.auth.oidc import Oidc
from registry.auth.sessions import Accounts, Sessions
from registry.auth.trail import NO_TRAIL, Notes
from registry.catalog.services import CatalogServices
from registry.content.blobs import Blobs
from registry.content.files import StoredFiles
from registry.content.manifests import Manifests
from registry.content.pushed_blobs import PushedBlobs
from registry.content.repositories import Repositories
from registry.content.uploads import Uploads
from registry.images.catalog import BuildCatalog
from registry.images.image_layers import ImageLayers
from registry.images.judging import BuildJudge
from registry.images.lock_facts import KnownLockFacts
from registry.images.package_index import PackageIndex
from registry.images.pins import Pins
from registry.policy.dry_run import DryRun
from registry.requests.requests import BuildRequests
from registry.requests.wanted import WantedPackages
from registry.requests.written import WrittenSpecifications
from registry.sources.directory import Directory
from registry.sources.pulls import PullCounts
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
    #: Tries rules on specifications.
    dry_run: DryRun
    #: Looks for packages.
    packages: PackageIndex
    #: The largest body that may be sent.
    max_request_bytes: int
    pins_of: PinsOf
    #: Says what may be built.
    judge: BuildJudge
    #: Know the layers of images.
    layers: ImageLayers
    #: Know what locks say beside their packages.
    lock_facts: KnownLockFacts
    #: Read what was asked for: by name, and as it was written.
    wanted: WantedPackages
    written: WrittenSpecifications
    #: Run what takes long, beside the event loop.
    workers: Workers


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
    #: Counts pulls of named environments.
    pulls: PullCounts = field(default_factory=lambda: PullCounts(Directory()))
    #: Records what is done.
    traces: Traces = NO_TRACES
    #: Takes what the audit log is told of requests.
    trail: Notes = NO_TRAIL
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
