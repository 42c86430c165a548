"""Who may do what in namespaces, in memory: grants, groups, tokens, and who is refused.

A follower of the database fills it (:mod:`registry.catalog.follower`); nothing here waits, or asks
anybody. It is of one event loop.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from registry.auth.rights import Need, Right, parse_right
from registry.auth.roles import (
    AUDITOR_VERBS,
    ROLE_VERBS,
    ROLES,
    Globs,
    Grant,
    Role,
    ServiceRole,
    glob_matches,
    highest,
)
from registry.auth.secret import sha256_of

#: A kind of subject, and its name; empty for the kinds that have none.
_Subject = tuple[str, str]
_EVERYONE: Final[_Subject] = ("everyone", "")
_AUTHENTICATED: Final[_Subject] = ("authenticated", "")
_ROLES: Final[Mapping[str, Role]] = {role: role for role in ROLES}


class Namespaces(Protocol):
    """Knows the namespaces that there are, and what is public in them, by memory."""

    @property
    def has_namespaces(self) -> bool:
        """Whether there are any."""
        ...

    def is_namespace(self, slug: str) -> bool:
        """Tell whether there is a namespace of that slug."""
        ...

    def is_public(self, namespace: str, environment: str) -> bool:
        """Tell whether everyone may pull an environment, as the store has it."""
        ...


class NoNamespaces:
    """Knows none; implements :class:`Namespaces`."""

    has_namespaces = False

    def is_namespace(self, slug: str) -> bool:
        """Return ``False``."""
        return False

    def is_public(self, namespace: str, environment: str) -> bool:
        """Return ``False``."""
        return False


class KnownToken(Protocol):
    """A token of the database."""

    @property
    def id(self) -> int:
        """Its number; no other token has it."""
        ...

    @property
    def principal(self) -> str:
        """Whose rights it has, at most."""
        ...

    @property
    def kind(self) -> Literal["personal", "robot", "session"]:
        """What it is for."""
        ...

    @property
    def scopes(self) -> tuple[str, ...] | None:
        """Rights that it is limited to; ``None``: all of its principal's."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When it ends; ``None``: never."""
        ...

    @property
    def sha256(self) -> str:
        """Hex digits of the secret's sha256."""
        ...


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token that may be used now."""

    id: int
    principal: str
    kind: Literal["personal", "robot", "session"]
    #: ``None``: it is not limited.
    scopes: tuple[Right, ...] | None
    expires_at: datetime | None
    sha256: str = field(repr=False)

    def allows(self, need: Need) -> bool:
        """Tell whether it is not too limited for a need."""
        return self.scopes is None or any(right.covers(need) for right in self.scopes)


@dataclass(slots=True)
class _Given:
    """The grants of one subject: by the namespace that they name, and those that name many."""

    exact: dict[str, dict[int, Grant]] = field(default_factory=dict)
    wide: dict[int, Grant] = field(default_factory=dict)

    def of(self, namespace: str) -> Iterator[Grant]:
        yield from self.exact.get(namespace, {}).values()
        for grant in self.wide.values():
            if glob_matches(grant.namespace_glob, namespace):
                yield grant

    def all(self) -> Iterator[Grant]:
        for grants in self.exact.values():
            yield from grants.values()
        yield from self.wide.values()


class Entitlements:
    """Knows who has which role where. What it is told twice it knows once.

    Args:
        namespaces: Which there are.
        now: Tells the time, in seconds since 1970: grants and tokens end by it.
    """

    def __init__(
        self, namespaces: Namespaces | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._namespaces: Namespaces = namespaces or NoNamespaces()
        self._now = now
        self._grants: dict[int, Grant] = {}
        self._given: dict[_Subject, _Given] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._disabled: set[str] = set()
        self._of_file: set[str] = set()
        self._tokens: dict[int, TokenRecord] = {}
        self._by_digest: dict[str, int] = {}
        self._used: dict[int, float] = {}
        self._was_used = False

    # What the follower tells.

    def put_grant(self, grant: Grant, /) -> None:
        """Know a grant; one of the same number is replaced."""
        self.remove_grant(grant.id)
        self._was_used = True
        self._grants[grant.id] = grant
        given = self._given.setdefault(_subject_of(grant), _Given())
        if "*" in grant.namespace_glob:
            given.wide[grant.id] = grant
        else:
            given.exact.setdefault(grant.namespace_glob, {})[grant.id] = grant

    def remove_grant(self, grant: int, /) -> None:
        """Forget a grant; harmless if it is not known."""
        known = self._grants.pop(grant, None)
        if known is None:
            return
        subject = _subject_of(known)
        given = self._given[subject]
        given.wide.pop(grant, None)
        exact = given.exact.get(known.namespace_glob, {})
        exact.pop(grant, None)
        if not exact:
            given.exact.pop(known.namespace_glob, None)
        if not given.exact and not given.wide:
            del self._given[subject]

    def put_token(self, token: KnownToken, /) -> None:
        """Know a token; one of the same number is replaced.

        One whose scopes cannot be understood, of a later version, is good for nothing.
        """
        self.remove_token(token.id)
        self._was_used = True
        scopes: tuple[Right, ...] | None = None
        if token.scopes is not None:
            try:
                scopes = tuple(map(parse_right, token.scopes))
            except ValueError:
                scopes = ()
        self._tokens[token.id] = TokenRecord(
            token.id, token.principal, token.kind, scopes, token.expires_at, token.sha256
        )
        self._by_digest[token.sha256] = token.id

    def remove_token(self, token: int, /) -> None:
        """Refuse a token from now on; harmless if it is not known."""
        known = self._tokens.pop(token, None)
        if known is not None:
            self._by_digest.pop(known.sha256, None)
            self._used.pop(token, None)

    def put_principal(
        self, name: str, /, *, is_disabled: bool, groups: Sequence[str], is_of_file: bool = False
    ) -> None:
        """Know the groups of somebody, and whether they are refused.

        Args:
            name: Who.
            is_disabled: Nothing of theirs is good for anything.
            groups: All that they are in.
            is_of_file: They are somebody as long as the auth file has them.
        """
        if groups:
            self._groups[name] = tuple(groups)
        else:
            self._groups.pop(name, None)
        (self._disabled.add if is_disabled else self._disabled.discard)(name)
        (self._of_file.add if is_of_file else self._of_file.discard)(name)

    # What is asked.

    @property
    def is_used(self) -> bool:
        """Whether there is, or was, anything: a namespace, a grant or a token.

        Whoever has the last token is refused when that is revoked, not taken for a stranger.
        """
        return self._was_used or self._namespaces.has_namespaces

    def is_namespace(self, slug: str) -> bool:
        """Tell whether there is a namespace of that slug."""
        return self._namespaces.is_namespace(slug)

    def now(self) -> float:
        """Return the time by which tokens and grants end, in seconds since 1970."""
        return self._now()

    def is_disabled(self, name: str) -> bool:
        """Tell whether somebody is refused at every door."""
        return name in self._disabled

    def is_of_file(self, name: str) -> bool:
        """Tell whether somebody is nobody without the auth file."""
        return name in self._of_file

    def groups_of(self, name: str) -> tuple[str, ...]:
        """Return the groups that somebody is in."""
        return self._groups.get(name, ())

    def closes(self, need: Need) -> bool:
        """Tell whether a need is of a namespace, and not everyone may; it is on the warm path.

        Whoever has not logged in may pull at most, whatever everyone was given.
        """
        if need.repository is None:
            return False
        namespace, _, environment = need.repository.partition("/")
        if not self._namespaces.is_namespace(namespace):
            return False
        if need.verb != "pull":
            return True
        given = self._given.get(_EVERYONE)
        if given is not None and any(self._matching(given, namespace, environment)):
            return False
        # The database has not answered since the start: what the store says is public stays so.
        return bool(self._grants) or not self._namespaces.is_public(namespace, environment)

    def role(self, name: str | None, namespace: str, environment: str | None = None) -> Role | None:
        """Return the role that grants give somebody.

        Args:
            name: Who; ``None``: whoever has not logged in.
            namespace: The slug.
            environment: The slug; ``None``: the role is that in the whole namespace.
        """
        found = highest(map(_role_of, self._grants_of(name, namespace, environment)))
        return "viewer" if name is None and found is not None else found

    def service_role(self, name: str) -> ServiceRole | None:
        """Return the role that grants give somebody in the whole service."""
        roles = {grant.role for subject in self._subjects(name) for grant in self._wide(subject)}
        if "administrator" in roles:
            return "administrator"
        return "auditor" if "auditor" in roles else None

    def may(self, name: str, need: Need) -> bool:
        """Tell whether grants allow somebody a need."""
        role = self.service_role(name)
        if role == "administrator" or (role == "auditor" and need.verb in AUDITOR_VERBS):
            return True
        if need.repository is None:
            return False
        namespace, _, environment = need.repository.partition("/")
        if not self._namespaces.is_namespace(namespace):
            return False
        found = self.role(name, namespace, environment)
        return found is not None and need.verb in ROLE_VERBS[found]

    def globs_of(self, name: str | None) -> Iterator[Globs]:
        """Yield the globs of what grants let somebody see."""
        for subject in self._subjects(name):
            for grant in self._given.get(subject, _Given()).all():
                if _role_of(grant) and not self._has_ended(grant):
                    yield grant.namespace_glob, grant.environment_glob

    def why(
        self, name: str | None, namespace: str, environment: str | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield each role that somebody has there, with a sentence on where it comes from."""
        for grant in self._grants_of(name, namespace, environment):
            yield grant.role, _told(grant)
        for subject in self._subjects(name) if name is not None else ():
            for grant in self._wide(subject):
                if _role_of(grant) is None:
                    yield grant.role, _told(grant)

    def token(self, secret: str) -> TokenRecord | None:
        """Return the token whose secret that is, noting its use; ``None``: none that is good.

        A browser's session is none: it is good for a cookie alone.
        """
        found = self._good(self._by_digest.get(sha256_of(secret)))
        return self._noted(found) if found is not None and found.kind != "session" else None

    def token_of_number(self, number: int) -> TokenRecord | None:
        """Return the token of a number, noting its use; ``None``: it is not good any more."""
        found = self._good(number)
        return self._noted(found) if found is not None and found.kind != "session" else None

    def session(self, sha256: str) -> tuple[str, int] | None:
        """Return whose browser's session has a digest, and its number; ``None``: nobody's."""
        found = self._good(self._by_digest.get(sha256))
        return (found.principal, found.id) if found and found.kind == "session" else None

    def take_used(self) -> Mapping[int, datetime]:
        """Return when tokens were used since this was called last."""
        used, self._used = self._used, {}
        return {number: datetime.fromtimestamp(at, UTC) for number, at in used.items()}

    def _good(self, number: int | None) -> TokenRecord | None:
        found = self._tokens.get(number) if number is not None else None
        if found is None or found.principal in self._disabled:
            return None
        ends = found.expires_at
        return found if ends is None or ends.timestamp() > self._now() else None

    def _noted(self, token: TokenRecord) -> TokenRecord:
        self._used[token.id] = self._now()
        return token

    def _subjects(self, name: str | None) -> Iterator[_Subject]:
        yield _EVERYONE
        if name is None or name in self._disabled:
            return
        yield _AUTHENTICATED
        yield "user", name
        for group in self._groups.get(name, ()):
            yield "group", group

    def _grants_of(
        self, name: str | None, namespace: str, environment: str | None
    ) -> Iterator[Grant]:
        for subject in self._subjects(name):
            given = self._given.get(subject)
            if given is None:
                continue
            yield from self._matching(given, namespace, environment)

    def _matching(self, given: _Given, namespace: str, environment: str | None) -> Iterator[Grant]:
        for grant in given.of(namespace):
            glob = grant.environment_glob
            is_there = glob == "*" if environment is None else glob_matches(glob, environment)
            if is_there and _role_of(grant) and not self._has_ended(grant):
                yield grant

    def _wide(self, subject: _Subject) -> Iterator[Grant]:
        given = self._given.get(subject)
        for grant in given.wide.values() if given is not None else ():
            if not self._has_ended(grant):
                yield grant

    def _has_ended(self, grant: Grant) -> bool:
        return grant.expires_at is not None and grant.expires_at.timestamp() <= self._now()


def _subject_of(grant: Grant) -> _Subject:
    named = grant.subject_kind in {"user", "group"}
    return grant.subject_kind, grant.subject or "" if named else ""


def _role_of(grant: Grant) -> Role | None:
    """Return the role in namespaces that a grant gives; ``None``: it is of another kind."""
    return _ROLES.get(grant.role)


def _told(grant: Grant) -> str:
    """Return where a role comes from: "editor through group 'data', by ada, 3 March 2026"."""
    through = {
        "user": "",
        "group": f" through group '{grant.subject}'",
        "authenticated": " as everyone who has logged in",
        "everyone": " as everyone",
    }[grant.subject_kind]
    at = grant.created_at
    day = f"{at.day} {_MONTHS[at.month - 1]} {at.year}"
    ends = f", until {grant.expires_at:%Y-%m-%d %H:%M} UTC" if grant.expires_at else ""
    return f"{grant.role}{through}, by {grant.granted_by or 'the service'}, {day}{ends}"


#: Whatever the locale.
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
