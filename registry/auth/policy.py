"""Who there is, and what each may do."""

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from registry.auth.child_tokens import ChildToken
from registry.auth.known_tokens import TokenRecord
from registry.auth.rights import OPEN_VERBS, Need, Pattern, Right
from registry.auth.secret import hash_secret, is_token, kind_of_hash


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, or a robot with a token."""

    name: str
    #: What the password or token is verified against (``registry.auth.secret``); shown nowhere.
    hashed: str = field(repr=False)
    rights: tuple[Right, ...]
    #: ``None``: it does not expire.
    expires: datetime.datetime | None = None

    @property
    def generation(self) -> str:
        """Changes with the password; who logged in with the old one has to log in again."""
        return hashlib.sha256(self.hashed.encode()).hexdigest()[:16]

    def is_expired(self, now: float) -> bool:
        """Tell whether it has expired at ``now``, in seconds since 1970."""
        return self.expires is not None and self.expires.timestamp() <= now

    def has_right(self, need: Need) -> bool:
        """Tell whether one of its rights covers ``need``."""
        return any(right.covers(need) for right in self.rights)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    #: ``None`` for somebody who has not logged in.
    identity: Identity | None
    #: What their bearer token is good for, at most; ``None``: they sent none.
    scope: frozenset[Need] | None = None
    #: The token of the database that they use, or got their bearer token for; ``None``: none.
    token: TokenRecord | None = None
    #: The child of that, or of a password, that they use; ``None``: none.
    child: ChildToken | None = None

    @property
    def limits(self) -> tuple[tuple[Right, ...], ...]:
        """What they use is limited to: each of them has to allow what is done."""
        scopes = self.token.scopes if self.token is not None else None
        further = self.child.limits if self.child is not None else ()
        return further if scopes is None else (scopes, *further)

    @property
    def unlimited(self) -> "Caller":
        """Whoever it is, with all that they themselves may."""
        return replace(self, token=None, child=None)

    @property
    def expires_at(self) -> datetime.datetime | None:
        """When what they use ends; ``None``: never, or they use a password."""
        ends = [one.expires_at for one in (self.token, self.child) if one is not None]
        return min((at for at in ends if at is not None), default=None)

    def allows(self, need: Need) -> bool:
        """Tell whether what they use is not too limited for a need."""
        return all(one.allows(need) for one in (self.token, self.child) if one is not None)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what, at one moment.

    Everyone may pull what is not private, also who has not logged in; all else needs a right.
    """

    #: Signs bearer tokens, 64 hexadecimal digits; all servers behind one address have the same.
    #: Empty where nobody can log in.
    token_key: str = field(default="", repr=False)
    #: Users and robots by name.
    identities: Mapping[str, Identity] = field(default_factory=dict)
    #: The repositories that are pulled only with a right to.
    private: tuple[Pattern, ...] = ()
    #: Robots by the hash of their token.
    _robots: Mapping[str, Identity] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Find robots by their tokens from now on."""
        found = {
            one.hashed: one
            for one in self.identities.values()
            if kind_of_hash(one.hashed) == "token"
        }
        object.__setattr__(self, "_robots", found)

    def robot(self, token: str) -> Identity | None:
        """Return the robot whose token that is, whether or not it has expired."""
        return self._robots.get(hash_secret(token)) if is_token(token) else None

    @property
    def takes_logins(self) -> bool:
        """Whether there is anything to log in for."""
        return bool(self.token_key)

    def is_open(self, need: Need) -> bool:
        """Tell whether everyone may do this."""
        if need.verb not in OPEN_VERBS:
            return False
        return not self.private or not any(
            pattern.matches(need.repository) for pattern in self.private
        )

    def may(self, identity: Identity | None, need: Need) -> bool:
        """Tell whether ``identity``, or with ``None`` everyone, may do this."""
        return self.is_open(need) or (identity is not None and identity.has_right(need))


class PolicySource(Protocol):
    """Knows the policy of the moment."""

    @property
    def policy(self) -> Policy:
        """The policy, from memory: asked for with every request."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """A policy that stays; implements :class:`PolicySource`.

    The one of a server without an auth file has no users: pulling is open, all else closed.
    """

    policy: Policy = field(default_factory=Policy)
