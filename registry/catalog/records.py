"""What the catalog tells of: frozen records, without anything of a database in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from builder.rules.model import Manager
from registry.auth.trail import Via
from registry.policy.policy import OWN

Item = TypeVar("Item")

#: How far a version is. ``unchanged``: it was to be made anew, and came out as the active one, or
#: as one that is proposed or was rejected: it is kept for its history, and nobody pulls it.
State = Literal["queued", "building", "built", "failed", "cancelled", "unchanged"]
#: Why there is a version.
Reason = Literal["person", "rebuild", "restore", "copy", "import", "schedule", "file", "waiver"]
#: Whom a grant is for.
SubjectKind = Literal["user", "group", "authenticated", "everyone"]
#: How far a waiver is. ``ended``: its time was over, or somebody who may decide has ended it.
WaiverState = Literal["waiting", "granted", "refused", "ended", "withdrawn"]
#: Where a waiver holds: in one environment, in all of its namespace, or in every build.
WaiverScope = Literal["environment", "namespace", "everything"]
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
    #: Through what: the API, our command line, a login, ``/v2``, or the service unasked.
    via: Via = "service"


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
    #: The source whose file defines it; ``None``: it is edited here.
    source_id: int | None = None
    #: From then on it takes no new version.
    archived_at: datetime | None = None
    #: What a proposal has to pass, for a shell; empty: nothing.
    test_command: str = ""

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
    #: What policies did to it, and refused: as :mod:`registry.catalog.waiver_rows` keeps it.
    told: Mapping[str, Any] = field(default_factory=dict)
    #: When its files were given up; whoever pulls it has them made again. ``None``: they were not.
    freed_at: datetime | None = None

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
    #: What else there is to know; ``before`` and ``after`` have the fields that were changed.
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: As an actor's; empty of what happened before it was written down.
    via: str = ""


@dataclass(frozen=True, slots=True)
class WaiverRecord:
    """An exception from a policy that somebody asked for."""

    id: int
    #: The slugs of that for which it was asked; ``None``: of what has no name, or is deleted.
    namespace: str | None
    environment: str | None
    #: The number of the version that was refused; ``None``: none was.
    version: int | None
    #: Where it holds, or would if it were granted as it was asked for.
    scope: WaiverScope
    policy: str
    #: What the rule is about that refused, e.g. ``"age"``; ``""``: it is not known.
    kind: str
    #: ``conda`` or ``pypi``.
    manager: Manager
    #: What it lets pass: a match spec, or a requirement, of one package.
    spec: str
    reason: str
    state: WaiverState
    requested_by: str
    requested_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    #: What whoever decided says.
    decision: str = ""
    #: When it ends; ``None``: never.
    expires_at: datetime | None = None
    #: The sentence by which the version was refused; ``""``: it was not, or is made again by now.
    refused: str = ""

    @property
    def is_own(self) -> bool:
        """Whether the policy is its namespace's own, whose admins decide."""
        return self.policy == OWN

    @property
    def path(self) -> str | None:
        """The environment's path, if there is one."""
        if self.namespace is None or self.environment is None:
            return None
        return f"{self.namespace}/{self.environment}"


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
