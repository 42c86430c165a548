"""Grants, tokens and namespaces in memory, as a follower would tell of them."""

import datetime
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from registry.auth.entitlements import Entitlements
from registry.auth.secret import new_token, sha256_of

_NUMBERS = count(1)
THAT_DAY = datetime.datetime(2026, 3, 3, 12, tzinfo=datetime.UTC)


@dataclass
class Spaces:
    """Implements :class:`registry.auth.entitlements.Namespaces`."""

    slugs: set[str] = field(default_factory=set)
    public: set[str] = field(default_factory=set)

    @property
    def has_namespaces(self) -> bool:
        return bool(self.slugs)

    def is_namespace(self, slug: str) -> bool:
        return slug in self.slugs

    def is_public(self, namespace: str, environment: str) -> bool:
        return f"{namespace}/{environment}" in self.public


@dataclass(frozen=True)
class AGrant:
    """Implements :class:`registry.auth.roles.Grant`."""

    id: int
    subject_kind: Literal["user", "group", "authenticated", "everyone"]
    subject: str | None
    namespace_glob: str
    environment_glob: str
    role: str
    granted_by: str | None = "ada"
    created_at: datetime.datetime = THAT_DAY
    expires_at: datetime.datetime | None = None
    source: str = "api"


@dataclass(frozen=True)
class AToken:
    """Implements :class:`registry.auth.known_tokens.KnownToken`."""

    id: int
    principal: str
    kind: Literal["personal", "robot", "session"]
    scopes: tuple[str, ...] | None
    expires_at: datetime.datetime | None
    sha256: str


def grant(
    whom: str, role: str, globs: str = "*/*", ends: datetime.datetime | None = None
) -> AGrant:
    """Return a grant to ``"user:ada"``, ``"group:data"``, ``"authenticated"`` or ``"everyone"``."""
    kind, _, subject = whom.partition(":")
    namespace, _, environment = globs.partition("/")
    number = next(_NUMBERS)
    return AGrant(number, kind, subject or None, namespace, environment, role, expires_at=ends)  # type: ignore[arg-type]  # as tests write them


def give_token(
    entitlements: Entitlements,
    principal: str,
    *scopes: str,
    kind: Literal["personal", "robot", "session"] = "personal",
    ends: datetime.datetime | None = None,
) -> tuple[str, int]:
    """Return the secret and the number of a new token."""
    secret, number = new_token(), next(_NUMBERS)
    entitlements.put_token(AToken(number, principal, kind, scopes or None, ends, sha256_of(secret)))
    return secret, number
