"""Events: what happened, by whom, from where.

::

    namespace.created  namespace.updated  namespace.deleted  namespace.restored
    environment.created  .updated  .moved  .copied  .deleted  .restored
    version.queued  .building  .built  .unchanged  .failed  .cancelled  .activated
    grant.given  grant.taken
    token.created  token.revoked
    principal.created  .updated  .disabled  .enabled  .deleted
    group.created  group.deleted  member.added  member.removed
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from registry.catalog.records import Event, Visibility
from registry.database import Database


class Events:
    """Lists events, and tells of new ones.

    Args:
        database: Where they are.
        changed: Returns when anything may have happened since it was called, or after seconds.
    """

    def __init__(
        self, database: Database, changed: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self._database = database
        self._changed = changed

    async def list(
        self,
        *,
        visible: Visibility,
        namespace: str | None = None,
        environment: str | None = None,
        after_id: int = 0,
        limit: int = 50,
    ) -> Sequence[Event]:
        """Return events after that of ``after_id``, the oldest first."""
        raise NotImplementedError

    async def latest(
        self,
        *,
        visible: Visibility,
        namespace: str | None = None,
        environment: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> Sequence[Event]:
        """Return events before that of ``before_id``, the newest first."""
        raise NotImplementedError

    def follow(
        self,
        *,
        visible: Callable[[], Visibility],
        namespace: str | None = None,
        environment: str | None = None,
        after_id: int | None = None,
        beat_seconds: float = 15,
    ) -> AsyncIterator[Sequence[Event]]:
        """Yield what happens, as soon as this server knows of it; an empty list now and then.

        Args:
            visible: What whoever follows may see, asked each time.
            namespace: Of one namespace alone.
            environment: Of one environment of it alone.
            after_id: The last event known; ``None``: begin with what happens from now on.
            beat_seconds: After how long without anything an empty list is yielded.
        """
        raise NotImplementedError
