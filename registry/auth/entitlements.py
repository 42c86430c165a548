"""Who may do what in namespaces, in memory: grants, groups, tokens, and who is refused.

A follower of the database fills it (:mod:`registry.catalog.follower`); nothing here waits, or asks
anybody. It is of one event loop.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from registry.auth.known_grants import (
    AUTHENTICATED,
    EVERYONE,
    KnownGrants,
    Subject,
    role_of,
    told,
)
from registry.auth.known_tokens import KnownToken, KnownTokens, TokenRecord
from registry.auth.rights import Need
from registry.auth.roles import (
    AUDITOR_VERBS,
    ROLE_VERBS,
    Globs,
    Grant,
    Role,
    ServiceRole,
    highest,
)


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
        self._groups: dict[str, tuple[str, ...]] = {}
        self._disabled: set[str] = set()
        self._of_file: set[str] = set()
        self._grants = KnownGrants(now)
        self._tokens = KnownTokens(self._disabled.__contains__, now)
        self._signing_key = ""
        self._was_used = False
        self._is_known = True

    # What the follower tells.

    def put_grant(self, grant: Grant, /) -> None:
        """Know a grant; one of the same number is replaced."""
        self._was_used = True
        self._grants.put(grant)

    def remove_grant(self, grant: int, /) -> None:
        """Forget a grant; harmless if it is not known."""
        self._grants.remove(grant)

    def put_token(self, token: KnownToken, /) -> None:
        """Know a token; one of the same number is replaced.

        One whose scopes cannot be understood, of a later version, is good for nothing.
        """
        self._was_used = True
        self._tokens.put(token)

    def remove_token(self, token: int, /) -> None:
        """Refuse a token from now on; harmless if it is not known."""
        self._tokens.remove(token)

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

    def put_signing_key(self, key: str, /) -> None:
        """Know what signs bearer tokens where the auth file has no key: 64 hexadecimal digits."""
        self._signing_key = key

    def set_known(self, is_known: bool, /) -> None:
        """Know whether the database has been read as a whole; where there is none, it has."""
        self._is_known = is_known

    # What is asked.

    @property
    def is_known(self) -> bool:
        """Whether what is not here is nowhere: else it may be in a database that does not answer.

        It stays so once it is: what was known last holds.
        """
        return self._is_known

    @property
    def signing_key(self) -> str:
        """What signs bearer tokens; empty until the database has been read."""
        return self._signing_key

    @property
    def is_used(self) -> bool:
        """Whether there is, or was, or may be anything: a namespace, a grant or a token.

        Whoever has the last token is refused when that is revoked, not taken for a stranger.
        """
        return self._was_used or self._namespaces.has_namespaces or not self._is_known

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
        if any(self._grants.matching(EVERYONE, namespace, environment)):
            return False
        # The database has not answered since the start, or is still being read: what the store says
        # is public stays so.
        is_told = self._is_known and bool(self._grants)
        return is_told or not self._namespaces.is_public(namespace, environment)

    def role(self, name: str | None, namespace: str, environment: str | None = None) -> Role | None:
        """Return the role that grants give somebody.

        Args:
            name: Who; ``None``: whoever has not logged in.
            namespace: The slug.
            environment: The slug; ``None``: the role is that in the whole namespace.
        """
        found = highest(map(role_of, self._grants_of(name, namespace, environment)))
        return "viewer" if name is None and found is not None else found

    def service_role(self, name: str) -> ServiceRole | None:
        """Return the role that grants give somebody in the whole service."""
        roles = {
            grant.role
            for subject in self._subjects(name)
            for grant in self._grants.of_service(subject)
        }
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
            yield from self._grants.globs_of(subject)

    def own_globs_of(self, name: str) -> Iterator[Globs]:
        """Yield those of :meth:`globs_of` that were given to them, or a group of theirs, alone."""
        for subject in self._subjects(name):
            if subject not in {EVERYONE, AUTHENTICATED}:
                yield from self._grants.globs_of(subject)

    def why(
        self, name: str | None, namespace: str, environment: str | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield each role that somebody has there, with a sentence on where it comes from."""
        for grant in self._grants_of(name, namespace, environment):
            yield grant.role, told(grant)
        for subject in self._subjects(name) if name is not None else ():
            for grant in self._grants.of_service(subject):
                yield grant.role, told(grant)

    def subjects_in(self, namespace: str) -> Iterator[Subject]:
        """Yield those who were given a role on anything in a namespace."""
        return self._grants.subjects_in(namespace)

    def given_in(self, subject: Subject, namespace: str) -> Iterator[Grant]:
        """Yield what gives a subject a role on anything in a namespace."""
        return self._grants.inside(subject, namespace)

    def members_of(self, groups: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return who is in groups, by group: everybody is looked at once."""
        found: dict[str, list[str]] = {group: [] for group in groups}
        for name, theirs in self._groups.items():
            for group in theirs:
                if group in found:
                    found[group].append(name)
        return found

    def token(self, secret: str) -> TokenRecord | None:
        """Return the token whose secret that is, noting its use; ``None``: none that is good.

        A browser's session is none: it is good for a cookie alone.
        """
        return self._tokens.of_secret(secret)

    def token_of_number(self, number: int) -> TokenRecord | None:
        """Return the token of a number, noting its use; ``None``: it is not good any more."""
        return self._tokens.of_number(number)

    def parent_token(self, number: int) -> TokenRecord | None:
        """Return the token, or session, that a child ends with; ``None``: it has ended."""
        return self._tokens.parent(number)

    def session(self, sha256: str) -> tuple[str, int] | None:
        """Return whose browser's session has a digest, and its number; ``None``: nobody's."""
        found = self._tokens.session(sha256)
        return (found.principal, found.id) if found is not None else None

    def take_used(self) -> Mapping[int, datetime]:
        """Return when tokens were used since this was called last."""
        return self._tokens.take_used()

    def _subjects(self, name: str | None) -> Iterator[Subject]:
        yield EVERYONE
        if name is None or name in self._disabled:
            return
        yield AUTHENTICATED
        yield "user", name
        for group in self._groups.get(name, ()):
            yield "group", group

    def _grants_of(
        self, name: str | None, namespace: str, environment: str | None
    ) -> Iterator[Grant]:
        for subject in self._subjects(name):
            yield from self._grants.matching(subject, namespace, environment)
