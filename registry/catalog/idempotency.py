"""Idempotency keys: a request that is sent twice is carried out once."""

from dataclasses import dataclass

from registry.database import Database


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered to the first request with a key."""

    request_sha256: str
    #: An HTTP status; 0 while the first request is under way.
    status: int
    body: bytes


class Idempotency:
    """Remembers for a day what was answered.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, principal: str, key: str, request_sha256: str) -> KeptAnswer | None:
        """Return what was answered to that key before, or ``None``: it is the caller's to do.

        A key that was begun a minute ago and never ended is the caller's, too.
        """
        raise NotImplementedError

    async def end(self, principal: str, key: str, status: int, body: bytes) -> None:
        """Keep what is answered."""
        raise NotImplementedError

    async def forget(self, principal: str, key: str) -> None:
        """Have the next request with that key carried out: this one came to nothing."""
        raise NotImplementedError
