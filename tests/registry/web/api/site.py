"""A whole service on a tiny channel and a base in a directory, opened and closed at will."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.app import create_app
from registry.settings import Settings
from registry.wiring.services import open_services
from tests.builder.fetch.test_base_image import write_layout
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, Reply, open_client
from tests.tiny_channel import IN_2025, write_tiny_channel

BUILDS = "/api/v1/builds"
#: Who may pin builds.
ADA = basic("ada")


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = IN_2025 / 1000 + 365 * 86_400

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """Where a service has its store, and what its settings are."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def make(cls, root: Path, **settings: Any) -> "Site":
        write_tiny_channel(root / "channel")
        (root / "base").mkdir()
        write_layout(root / "base")
        write_policy(root / "auth.toml", "[users.ada]", f"hash = '{HASH}'", 'rights = ["**:pin"]')
        return cls(root, settings)

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def files(self, folder: str) -> list[Path]:
        return sorted(path for path in (self.store / folder).rglob("*") if path.is_file())

    def configured(self, **changes: Any) -> Settings:
        """Return the settings of the service."""
        return Settings(
            **{
                "store": str(self.store),
                "channels": {"main": f"file://{self.channel}"},
                "default_channels": ["main"],
                "base": f"oci:{self.root / 'base'}",
                "workers": 1,
                "sandbox": "none",
                "auth_file": self.root / "auth.toml",
                "repodata_ttl_seconds": 0.000001,
                **self.settings,
                **changes,
            }
        )

    @asynccontextmanager
    async def open(self, **changes: Any) -> AsyncIterator[Client]:
        """Give a client of the service; another one may run on the same store."""
        settings = self.configured(**changes)
        app = create_app(
            lambda: open_services(settings, now=self.clock),
            access_log=False,
            is_traced=settings.traces is not None,
        )
        async with open_client(app) as client:
            yield client


def wish(*specs: str, **more: Any) -> bytes:
    """Return a JSON request."""
    return json.dumps({"specs": list(specs), **more}).encode()


async def build(client: Client, body: bytes, url: str = BUILDS, **headers: str) -> Reply:
    """Send a request and follow it to its end; return the build document, or the error."""
    reply = await client.post(url, body, prefer="wait=25", **headers)
    while reply.status == 202:
        reply = await client.post(BUILDS, body, prefer="wait=25", **headers)
    return reply


def events_of(text: bytes) -> list[dict[str, str]]:
    """Return the events of a stream, as browsers read it."""
    events = []
    for block in text.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            events.append(dict(line.split(": ", 1) for line in lines))
    return events
