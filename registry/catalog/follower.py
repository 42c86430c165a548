"""What every server knows of the catalog in memory, and how it learns of changes."""

from registry.database import Database


class Follower:
    """Keeps memory as the database is, a quarter of a second behind at most.

    While the database does not answer, what was known last holds.
    """

    def __init__(self, database: Database, server: str) -> None:
        self._database = database
        self._server = server

    async def start(self) -> None:
        """Load everything."""
        raise NotImplementedError

    async def run(self) -> None:
        """Follow changes until cancelled."""
        raise NotImplementedError

    async def settled(self, change: int) -> None:
        """Return once every server that is alive has seen a change, or after two seconds."""
        raise NotImplementedError

    async def changed(self, timeout_seconds: float) -> None:
        """Return when a change was seen after this was called, or in time."""
        raise NotImplementedError
