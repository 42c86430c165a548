"""What the catalog tells of: frozen records, without anything of a database in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

Item = TypeVar("Item")

#: How far a version is. ``unchanged``: it was to be made anew, and came out as the active one: it
#: is kept for its history, and nobody pulls it.
State = Literal["queued", "building", "built", "failed", "cancelled", "unchanged"]
#: Why there is a version.
Reason = Literal["person", "rebuild", "restore", "copy", "import", "schedule", "file"]
#: Whom a grant is for.
SubjectKind = Literal["user", "group", "authenticated", "everyone"]
#: What a name that logs in stands for.
PrincipalKind = Literal["human", "robot"]
#: What a token is for.
TokenKind = Literal["personal", "robot", "session"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something; it is written into the event of what they do."""

    #: ``None``: the service itself.
    name: str | None
    #: The token that they used, if it is one of the database.
    token: int | None = None
    address: str = ""


#: The service itself.
SERVICE = Actor(None)


@dataclass(frozen=True, slots=True)
class Visibility:
    """What somebody may see, as globs on namespace and environment; the union of them holds.

    In a glob ``*`` stands for any characters, and nothing else is special.
    """

    globs: tuple[tuple[str, str], ...] = ()
    #: Namespaces that are seen although nothing in them may be: those of one's own.
    namespaces: tuple[str, ...] = ()
    is_everything: bool = False


#: What an administrator or auditor sees.
EVERYTHING = Visibility(is_everything=True)


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a person or a team owns."""

    id: int
    #: As it was written.
    name: str
    #: As it is in addresses and repositories.
    slug: str
    description: str
    owner: str | None
    created_at: datetime
    deleted_at: datetime | None = None
    #: Grows with each change of it.
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Environment:
    """A named thing in a namespace, with numbered versions of which one is active."""

    id: int
    #: The namespace's slug.
    namespace: str
    name: str
    slug: str
    description: str
    #: The number of the active version; ``None`` until there is one.
    active: int | None
    #: Grows with each change of it: what ``If-Match`` compares.
    revision: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def path(self) -> str:
        """Its repository's name, e.g. ``"analytics/forecast"``."""
        return f"{self.namespace}/{self.slug}"


@dataclass(frozen=True, slots=True)
class Version:
    """The n-th build of an environment; never renumbered."""

    environment_id: int
    number: int
    state: State
    #: The build; ``None`` until it is built.
    key: str | None
    #: One sentence on a failure, or on what is unchanged; empty otherwise.
    message: str
    reason: Reason
    note: str
    requested_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    #: The sha256 of the specification's bytes.
    specification: str
    #: The request that makes it, as ``/api/v1/requests/<id>`` tells of it; ``None`` while queued.
    request: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in {"queued", "building"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    id: int
    at: datetime
    actor: str | None
    token: int | None
    address: str
    #: A noun and a verb, e.g. ``"version.built"``; :mod:`registry.catalog.events` lists them.
    action: str
    #: Slugs, as they were then; ``None`` where it concerns none.
    namespace: str | None
    environment: str | None
    #: Of the version.
    number: int | None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A role that somebody gave, on a glob of namespaces and one of environments."""

    id: int
    subject_kind: SubjectKind
    #: The user or group; ``None`` for the other kinds.
    subject: str | None
    namespace_glob: str
    environment_glob: str
    role: str
    #: ``api``, ``oidc`` or ``owner``: owners' grants go with the namespace's owner.
    source: str
    granted_by: str | None
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token, without its secret: that is shown once and kept as a digest."""

    id: int
    principal: str
    name: str
    kind: TokenKind
    #: The last characters of the secret, to recognise it by.
    hint: str
    #: Rights such as ``"team/*:pull"`` that it is limited to; ``None``: all of its principal's.
    scopes: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    #: To the hour.
    last_used_at: datetime | None
    revoked_at: datetime | None
    #: Hex digits of the secret's sha256.
    sha256: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Principal:
    """A name that logs in: a person or a robot."""

    name: str
    kind: PrincipalKind
    display_name: str
    email: str
    #: ``oidc`` or ``database``; who is in the auth file alone has no row.
    source: str
    created_at: datetime
    disabled_at: datetime | None = None
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list."""

    items: Sequence[Item]
    #: What to ask the next page with; ``None``: this is the last one.
    next: str | None = None
