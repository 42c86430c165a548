"""Versions: what an environment was, one after the other.

::

    queued ─→ building ─→ built        active, if no newer one has been activated
       │          ├─────→ unchanged    a rebuild that came out as the active one
       │          ├─────→ failed       with one sentence
       └──────────┴─────→ cancelled    the work goes on for others who wait for it
"""

from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Page, Reason, Version
from registry.database import Database


class Versions:
    """Asks for versions, lists them, makes one active, cancels them.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and
    :class:`EnvironmentUnknown` when there is no such environment.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
    """

    def __init__(self, database: Database, settled: Settled = settled_nowhere) -> None:
        self._database = database
        self._settled = settled

    async def ask(
        self,
        actor: Actor,
        namespace: str,
        environment: str,
        data: bytes,
        *,
        reason: Reason = "person",
        note: str = "",
        activate: bool = True,
        renew: bool = False,
    ) -> tuple[Version, bool]:
        """Return a version for what ``data`` asks, and whether it is a new one.

        It is the newest one, and not new, if that one was asked for by the same bytes and is under
        way, or built and active: nothing has changed.

        Args:
            actor: Who asks; what they may pull decides about pushed bases.
            namespace: The slug of its namespace.
            environment: Its slug.
            data: Anything that ``POST /api/v1/builds`` takes. It was read by the caller: what
                cannot be understood makes a version that fails.
            reason: Why.
            note: What whoever asks says of it.
            activate: Whether it becomes active when it is built, unless a newer one is by then.
            renew: Make a new one although nothing has changed: solve anew.
        """
        raise NotImplementedError

    async def list(
        self, namespace: str, environment: str, *, after: str | None = None, limit: int = 50
    ) -> Page[Version]:
        """Return versions, the newest first.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        raise NotImplementedError

    async def get(self, namespace: str, environment: str, number: int) -> Version:
        """Return a version.

        Raises:
            VersionUnknown: There is none of that number.
        """
        raise NotImplementedError

    async def specification(self, namespace: str, environment: str, number: int) -> bytes:
        """Return the bytes by which a version was asked for.

        Raises:
            VersionUnknown: There is none of that number.
        """
        raise NotImplementedError

    async def activate(
        self,
        actor: Actor,
        namespace: str,
        environment: str,
        number: int,
        *,
        revision: int | None = None,
    ) -> Version:
        """Return a version that is the active one from now on, on every server.

        One that is still under way, and older, becomes active no more.

        Args:
            actor: Who does it.
            namespace: The slug of its namespace.
            environment: Its slug.
            number: Which version.
            revision: What the environment must have; ``None``: any.

        Raises:
            VersionUnknown: There is none of that number.
            VersionNotBuilt: It has nothing to pull.
            RevisionConflict: The environment has another revision.
        """
        raise NotImplementedError

    async def cancel(self, actor: Actor, namespace: str, environment: str, number: int) -> Version:
        """Return a version that is wanted no more; what others wait for goes on.

        Cancelling one that is cancelled changes nothing.

        Raises:
            VersionUnknown: There is none of that number.
            VersionEnded: It was built, or failed, before.
        """
        raise NotImplementedError
