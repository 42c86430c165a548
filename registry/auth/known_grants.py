"""The grants of the database, in memory: found by whom they are for and by the namespace."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from registry.auth.roles import ROLES, Globs, Grant, Role, glob_matches

#: A kind of subject, and its name; empty for the kinds that have none.
Subject = tuple[str, str]
EVERYONE: Final[Subject] = ("everyone", "")
AUTHENTICATED: Final[Subject] = ("authenticated", "")
_ROLES: Final[Mapping[str, Role]] = {role: role for role in ROLES}
#: Whatever the locale.
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(slots=True)
class _Given:
    """The grants of one subject: by the namespace that they name, and those that name many."""

    exact: dict[str, dict[int, Grant]] = field(default_factory=dict)
    wide: dict[int, Grant] = field(default_factory=dict)
    #: What they let see, as long as none of them changes or ends; ``None``: to be found out.
    globs: frozenset[Globs] | None = None

    def of(self, namespace: str) -> Iterator[Grant]:
        yield from self.exact.get(namespace, {}).values()
        for grant in self.wide.values():
            if glob_matches(grant.namespace_glob, namespace):
                yield grant

    def all(self) -> Iterator[Grant]:
        for grants in self.exact.values():
            yield from grants.values()
        yield from self.wide.values()


class KnownGrants:
    """Knows grants; those that have ended it does not tell.

    Args:
        now: Tells the time, in seconds since 1970: grants end by it.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._grants: dict[int, Grant] = {}
        self._given: dict[Subject, _Given] = {}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._grants)

    def put(self, grant: Grant) -> None:
        """Know a grant; one of the same number is replaced."""
        self.remove(grant.id)
        self._grants[grant.id] = grant
        given = self._given.setdefault(_subject_of(grant), _Given())
        given.globs = None
        if "*" in grant.namespace_glob:
            given.wide[grant.id] = grant
        else:
            given.exact.setdefault(grant.namespace_glob, {})[grant.id] = grant

    def remove(self, grant: int) -> None:
        """Forget a grant; harmless if it is not known."""
        known = self._grants.pop(grant, None)
        if known is None:
            return
        subject = _subject_of(known)
        given = self._given[subject]
        given.globs = None
        given.wide.pop(grant, None)
        exact = given.exact.get(known.namespace_glob, {})
        exact.pop(grant, None)
        if not exact:
            given.exact.pop(known.namespace_glob, None)
        if not given.exact and not given.wide:
            del self._given[subject]

    def matching(
        self, subject: Subject, namespace: str, environment: str | None
    ) -> Iterator[Grant]:
        """Yield what gives a subject a role on an environment; ``None``: in all the namespace."""
        given = self._given.get(subject)
        if given is None:
            return
        for grant in given.of(namespace):
            glob = grant.environment_glob
            is_there = glob == "*" if environment is None else glob_matches(glob, environment)
            if is_there and role_of(grant) and not self._has_ended(grant):
                yield grant

    def inside(self, subject: Subject, namespace: str) -> Iterator[Grant]:
        """Yield what gives a subject a role on anything in a namespace."""
        given = self._given.get(subject)
        for grant in given.of(namespace) if given is not None else ():
            if role_of(grant) and not self._has_ended(grant):
                yield grant

    def subjects_in(self, namespace: str) -> Iterator[Subject]:
        """Yield those who have a role on anything in a namespace."""
        for subject in self._given:
            if any(self.inside(subject, namespace)):
                yield subject

    def globs_of(self, subject: Subject) -> frozenset[Globs]:
        """Return the globs of everything that gives a subject a role in namespaces."""
        given = self._given.get(subject)
        if given is None:
            return frozenset()
        if given.globs is not None:
            return given.globs
        grants = [grant for grant in given.all() if role_of(grant)]
        found = frozenset(
            (grant.namespace_glob, grant.environment_glob)
            for grant in grants
            if not self._has_ended(grant)
        )
        if all(grant.expires_at is None for grant in grants):
            given.globs = found
        return found

    def of_service(self, subject: Subject) -> Iterator[Grant]:
        """Yield what gives a subject a role in the whole service."""
        given = self._given.get(subject)
        for grant in given.wide.values() if given is not None else ():
            if role_of(grant) is None and not self._has_ended(grant):
                yield grant

    def _has_ended(self, grant: Grant) -> bool:
        return grant.expires_at is not None and grant.expires_at.timestamp() <= self._now()


def role_of(grant: Grant) -> Role | None:
    """Return the role in namespaces that a grant gives; ``None``: it is of another kind."""
    return _ROLES.get(grant.role)


def told(grant: Grant) -> str:
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


def _subject_of(grant: Grant) -> Subject:
    named = grant.subject_kind in {"user", "group"}
    return grant.subject_kind, grant.subject or "" if named else ""
