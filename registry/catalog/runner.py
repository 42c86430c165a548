"""Makes the versions that are asked for."""

import asyncio
from collections.abc import Awaitable, Callable

from registry.catalog.ports import MayPull
from registry.database import Database
from registry.requests.requests import BuildRequests


class VersionRunner:
    """Takes queued versions, has them built, and writes down how far they are.

    Args:
        database: Where they are.
        requests: Makes builds.
        may_pull: What whoever asked may pull.
        server: The name of this server: its leases are under it.
    """

    def __init__(
        self, database: Database, requests: BuildRequests, may_pull: MayPull, server: str
    ) -> None:
        self._database = database
        self._requests = requests
        self._may_pull = may_pull
        self._server = server

    async def run(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Make versions for ever. When it is cancelled, what is under way is handed back."""
        raise NotImplementedError
