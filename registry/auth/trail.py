"""What is noted of requests beside their answers: logins, refusals, administrative reads, pushes.

Who notes something never waits, and needs no database. What is noted lies in a queue of bounded
length until it is written (:mod:`registry.catalog.trail_writer`).

::

    note ──→ changes, by those who may make them ──────────────────────→ queue of changes
         └─→ the same within ten minutes? counted, told once more with its number
             └─→ too many of one client, or of all? counted together ──→ queue of the rest

So whoever guesses passwords fills neither memory nor the database, and their number stays known.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import structlog

from registry.clients.address import client_at
from registry.clients.token_buckets import TokenBuckets

#: Through what something is done: the API, our own command line, ``/v2``, the pages and addresses
#: of logging in, conda-store's wire, or by the service unasked.
Via = Literal["api", "cli", "page", "registry", "login", "conda-store", "service"]

#: What nobody sees but administrators and auditors of the service.
AUDIT_ONLY: Final = frozenset(
    {
        "login.succeeded",
        "login.failed",
        "login.confirmed",
        "access.refused",
        "policy.refused",
        "admin.read",
        "audit.purged",
        "manifest.pushed",
        "manifest.deleted",
        "blob.pushed",
        "blob.deleted",
        "build.asked",
        "build.pinned",
        "build.unpinned",
    }
)

#: What changes nothing: who came, what was refused, and what was looked at by office.
NO_CHANGE: Final = frozenset(
    {
        "login.succeeded",
        "login.failed",
        "login.confirmed",
        "access.refused",
        "policy.refused",
        "admin.read",
    }
)

#: For how long the same is told but once, with its number afterwards, in seconds.
SAME_SECONDS: Final = 600
#: As long as somebody's logins from one place are told but once.
LOGIN_SECONDS: Final = 3600
#: What one client, or one account, has told of it: at once, and each minute.
MAX_EACH: Final = 60
MAX_EACH_PER_MINUTE: Final = 10
#: What all have who have not logged in.
MAX_STRANGERS: Final = 600
MAX_STRANGERS_PER_MINUTE: Final = 60
#: How many wait at most to be written.
MAX_WAITING: Final = 5_000
MAX_CHANGES: Final = 10_000
#: Of how many different things is remembered that they were told.
_MAX_SAME: Final = 20_000
#: Clients that are named where what was too much is counted; others are counted together.
_MAX_NAMED: Final = 20
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

_log = structlog.get_logger("registry.audit")


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that was done, or refused."""

    #: As :mod:`registry.catalog.events` lists them.
    action: str
    via: Via
    #: ``None``: whoever has not logged in.
    actor: str | None = None
    #: The token of the database that they used.
    token: int | None = None
    address: str = ""
    namespace: str | None = None
    environment: str | None = None
    #: What JSON can say; no secrets.
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: Whether it is told only where there is a namespace of that slug: whoever asks for what is not
    #: there is answered as for what is private, and as fast.
    needs_namespace: bool = False
    #: When, and whether it is a change; set by the trail.
    at: datetime = _NEVER
    is_change: bool = False


class Notes(Protocol):
    """Takes what is to be told."""

    def note(self, event: Noted) -> None:
        """Have something told; return at once, and never raise."""
        ...

    def change(self, event: Noted) -> None:
        """Have a change told, of somebody who might make it: none is counted together."""
        ...


class NoTrail:
    """Where there is no database, nothing is kept; implements :class:`Notes`."""

    def note(self, event: Noted) -> None:
        """Do nothing."""

    def change(self, event: Noted) -> None:
        """Do nothing."""


NO_TRAIL: Final = NoTrail()


@dataclass(slots=True)
class _Same:
    """Something that was told, and may happen again."""

    event: Noted
    until: float
    times: int = 0


class Trail:
    """Keeps what was noted until it is written; implements :class:`Notes`.

    Args:
        on_lost: Is told how many of an action are lost, since the queue is full.
        clock: Tells seconds that pass.
        now: Tells the time.
    """

    def __init__(
        self,
        on_lost: Callable[[str, int], None] = lambda _action, _number: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._on_lost = on_lost
        self._clock = clock
        self._now = now
        self._each = TokenBuckets(MAX_EACH, MAX_EACH_PER_MINUTE, clock)
        self._strangers = TokenBuckets(MAX_STRANGERS, MAX_STRANGERS_PER_MINUTE, clock)
        #: What was told lately; of logins, and of all else: each in the order in which it ends.
        self._same: dict[bool, OrderedDict[object, _Same]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._too_many: dict[tuple[str, Via, str], int] = {}
        self._too_many_since = 0.0
        self._lost: Counter[str] = Counter()
        self._changes: deque[Noted] = deque()
        self._waiting: deque[Noted] = deque()

    def note(self, event: Noted) -> None:
        """Have something told; return at once, and never raise."""
        event = replace(event, at=self._now())
        client = client_at(event.address)
        is_login = event.action == "login.succeeded"
        key = _same_as(event, client)
        told = self._same[is_login]
        same, now = told.get(key), self._clock()
        if same is not None and now < same.until:
            same.times += 1
            same.event = event
            return
        if not self._has_room(event, client):
            self._count(event, client, now)
            return
        if same is not None:
            self._tell_again(told.pop(key))
        while len(told) >= _MAX_SAME:
            self._tell_again(told.popitem(last=False)[1])
        told[key] = _Same(event, now + (LOGIN_SECONDS if is_login else SAME_SECONDS))
        self._wait(event)

    def change(self, event: Noted) -> None:
        """Have a change told, of somebody who might make it: none is counted together."""
        if len(self._changes) >= MAX_CHANGES:
            self._lose(event.action)
            return
        self._changes.append(replace(event, at=self._now(), is_change=True))

    def take(self, limit: int) -> Sequence[Noted]:
        """Return what is to be written next, the changes first, and forget it."""
        self._end_old()
        if self._lost:
            _log.error("lost events of the audit log", events=dict(self._lost))
            self._lost.clear()
        taken: list[Noted] = []
        for queue in (self._changes, self._waiting):
            while queue and len(taken) < limit:
                taken.append(queue.popleft())
        return taken

    def put_back(self, events: Sequence[Noted]) -> None:
        """Have what could not be written wait again, before all else."""
        for event in reversed(events):
            queue, most = self._waiting, MAX_WAITING
            if event.is_change:
                queue, most = self._changes, MAX_CHANGES
            if len(queue) < most:
                queue.appendleft(event)
            else:
                self._lose(event.action)

    def lose(self, events: Sequence[Noted]) -> None:
        """Count what is never written."""
        for event in events:
            self._lose(event.action)

    def end(self) -> None:
        """Have everything told that was counted: there will be no more."""
        self._end_old(is_last=True)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._changes) + len(self._waiting)

    def _lose(self, action: str) -> None:
        self._on_lost(action, 1)
        self._lost[action] += 1

    def _has_room(self, event: Noted, client: str) -> bool:
        if event.actor is not None and event.action != "login.failed":
            return not self._each.take(b"user " + event.actor.encode("utf-8", "surrogatepass"))
        if self._each.take(client.encode()):
            return False
        return not self._strangers.take(b"all")

    def _count(self, event: Noted, client: str, now: float) -> None:
        who = event.actor if event.actor and event.action != "login.failed" else client
        key = (event.action, event.via, who)
        if key not in self._too_many and len(self._too_many) >= _MAX_NAMED:
            key = (event.action, event.via, "")
        if not self._too_many:
            self._too_many_since = now
        self._too_many[key] = self._too_many.get(key, 0) + 1

    def _end_old(self, *, is_last: bool = False) -> None:
        """Tell again what was told for long enough, with how often it happened since."""
        now = self._clock()
        for told in self._same.values():
            while told:
                first = next(iter(told.values()))
                if not is_last and now < first.until:
                    break
                self._tell_again(told.popitem(last=False)[1])
        if self._too_many and (is_last or now >= self._too_many_since + SAME_SECONDS):
            for (action, via, who), times in self._too_many.items():
                detail = {"times": times, "of": who or "others", "summary": True}
                self._wait(Noted(action, via, detail=detail, at=self._now()))
            self._too_many.clear()

    def _tell_again(self, same: _Same) -> None:
        if same.times:
            self._wait(replace(same.event, detail={**same.event.detail, "times": same.times}))

    def _wait(self, event: Noted) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._lose(event.action)
            return
        self._waiting.append(event)


def _same_as(event: Noted, client: str) -> object:
    """Return what is equal for what is told but once."""
    return (
        *(event.action, event.via, event.actor, event.token, client),
        *(event.namespace, event.environment, repr(sorted(event.detail.items()))),
    )
