"""What a conda-store has, as it is moved: the same from its API and from a dump of its database."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

RoleVersion = Literal["v1", "v2"]
State = Literal["completed", "failed", "cancelled"]

#: conda-store's statuses of builds that have ended, and what they are called here.
STATES: Final[Mapping[str, State]] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELED": "cancelled",
}


@dataclass(frozen=True, slots=True)
class OldNamespace:
    """A namespace."""

    name: str
    #: Whether it has metadata, which is not taken.
    has_metadata: bool = False


@dataclass(frozen=True, slots=True)
class OldRole:
    """A role that people with one primary namespace have in others."""

    version: RoleVersion
    #: The primary namespace: the name of whoever has the role.
    subject: str
    #: Where it holds, as in ``"team-*/*"``.
    entity: str
    #: As in the database: ``"viewer"``, ``"developer"`` or ``"admin"``.
    role: str


@dataclass(frozen=True, slots=True)
class OldEnvironment:
    """An environment."""

    id: int
    namespace: str
    name: str
    description: str
    current_build_id: int | None

    @property
    def path(self) -> str:
        """Its name with that of its namespace."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class OldBuild:
    """A build, without what it was built from."""

    id: int
    environment_id: int
    #: As in conda-store, e.g. ``"COMPLETED"``.
    status: str
    message: str
    #: Times have no zone there, and are UTC.
    scheduled_on: str
    started_on: str | None
    ended_on: str | None

    @property
    def state(self) -> State | None:
        """What it is called here; ``None``: it has not ended."""
        return STATES.get(self.status)


@dataclass(frozen=True, slots=True)
class Content:
    """What a build was built from."""

    #: An ``environment.yml`` as an object; ``None``: a lockfile was sent.
    specification: Mapping[str, Any] | None
    #: A conda-lock file, or a list of explicit packages; ``None``: there is none.
    lock: str | None
    #: Why there is none where there was one: a sentence.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is not taken, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Old:
    """Everything but what builds were built from."""

    namespaces: list[OldNamespace] = field(default_factory=list)
    roles: list[OldRole] = field(default_factory=list)
    environments: list[OldEnvironment] = field(default_factory=list)
    builds: list[OldBuild] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    #: That whoever asks does not see everything; ``None``: nothing is known of that.
    unseen: Remark | None = None


class OldService(Protocol):
    """A conda-store that is read; all methods raise :class:`RemoteError` if it cannot be."""

    @property
    def source(self) -> str:
        """What its builds are known by here, with their ids: its address."""
        ...

    async def read(self, namespaces: Collection[str]) -> Old:
        """Return what it has in these namespaces; none said: in all."""
        ...

    async def content(self, build: OldBuild, *, with_lock: bool) -> Content:
        """Return what a build was built from.

        Args:
            build: Which.
            with_lock: Whether its lock is asked for; else its ``lock`` is ``None``.

        Raises:
            Unreadable: That of this build cannot be had.
            RemoteError: Nothing can be had any more.
        """
        ...


class Unreadable(Exception):
    """What one build was built from cannot be had: one sentence."""


def moment(text: object) -> str | None:
    """Return a time of conda-store's database as one in UTC; ``None``: it is none.

    >>> moment("2025-02-01 10:00:00.25"), moment("2025-02-01T10:00:00")
    ('2025-02-01T10:00:00.25Z', '2025-02-01T10:00:00Z')
    """
    if not isinstance(text, str) or not text:
        return None
    text = text.strip().replace(" ", "T", 1)
    return text if text.endswith("Z") or "+" in text else f"{text}Z"


def content_of(spec: Mapping[str, Any], lock: str | None, problem: str = "") -> Content:
    """Return what a row ``specification`` stands for, with the lock that was made of it."""
    sent = spec.get("lockfile")
    if sent is None:
        return Content(spec, lock, problem)
    if lock is None and isinstance(sent, Mapping):  # it is what people sent themselves
        return Content(None, json.dumps(sent))
    return Content(None, lock, problem)
