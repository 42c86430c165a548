"""The members of a namespace: who may do what in it, and why.

Whoever was given a role on anything in it is one, be it by name, through a group, or by the auth
file. Who looks after the whole service may do everything everywhere, and is none by that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from registry.auth.access import Access
from registry.auth.known_grants import AUTHENTICATED, EVERYONE, role_of, told
from registry.auth.policy import Identity
from registry.auth.roles import (
    Grant,
    Role,
    covers,
    glob_matches,
    globs_of,
    highest,
    role_of_rights,
    service_role_of_rights,
)

_ALL: Final = "*"
#: What those have in the auth file who look after the service.
_EVERYTHING: Final = "**"


@dataclass(frozen=True, slots=True)
class Reason:
    """Where a role in a namespace comes from."""

    role: Role
    #: On which environments: ``*`` stands for any characters.
    environment: str
    #: ``owner``: it goes with owning the namespace.
    kind: Literal["grant", "group", "owner", "file"]
    #: In words.
    sentence: str
    #: What gives it; ``None``: the auth file does.
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A role on some environments of a namespace, where it is higher than on all of them."""

    environment: str
    role: Role


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who may do something in a namespace."""

    name: str
    #: In all of it; ``None``: in parts of it alone, or nowhere while they are refused.
    role: Role | None
    parts: tuple[Part, ...]
    reasons: tuple[Reason, ...]
    #: Whether they are refused at every door, or are in the auth file no more.
    is_refused: bool


@dataclass(frozen=True, slots=True)
class SharedRole:
    """A role that was given to many."""

    #: To a group, to everyone who has logged in, or to everyone.
    grant: Grant
    role: Role
    #: How many are in the group; ``None``: it is none.
    members: int | None = None


class Members:
    """Tells who the members of a namespace are, from memory.

    Args:
        access: Knows who may do what.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def names(self, namespace: str) -> Sequence[str]:
        """Return the names of all members, in order."""
        known = self._access.entitlements
        found: set[str] = set()
        groups: set[str] = set()
        for kind, subject in known.subjects_in(namespace):
            if kind == "user":
                found.add(subject)
            elif kind == "group":
                groups.add(subject)
        for members in known.members_of(groups).values():
            found.update(members)
        for identity in self._access.policy.identities.values():
            if any(self._of_file(identity, namespace)):
                found.add(identity.name)
        return sorted(found)

    def get(self, namespace: str, name: str) -> Member:
        """Return what somebody may in a namespace, and why."""
        access = self._access
        caller = access.named(name)
        reasons = tuple(self._reasons(namespace, name))
        is_refused = caller.identity is None
        whole = None if is_refused else access.role(caller, namespace)
        parts = () if is_refused else _parts(reasons, whole)
        return Member(name, whole, parts, reasons, is_refused)

    def shared(self, namespace: str) -> Sequence[SharedRole]:
        """Return what was given to many: to everyone first, then to groups by their names."""
        known = self._access.entitlements
        names = sorted(name for kind, name in known.subjects_in(namespace) if kind == "group")
        members = known.members_of(names)
        found = [
            SharedRole(grant, _role(grant))
            for subject in (EVERYONE, AUTHENTICATED)
            for grant in known.given_in(subject, namespace)
        ]
        return found + [
            SharedRole(grant, _role(grant), len(members[name]))
            for name in names
            for grant in known.given_in(("group", name), namespace)
        ]

    def _reasons(self, namespace: str, name: str) -> Iterator[Reason]:
        known, identity = self._access.entitlements, self._access.policy.identities.get(name)
        if identity is not None:
            yield from self._of_file(identity, namespace)
        for grant in known.given_in(("user", name), namespace):
            if grant.source == "owner":
                yield _reason(grant, "owner", "owns the namespace")
            else:
                yield _reason(grant, "grant", told(grant))
        for group in known.groups_of(name):
            for grant in known.given_in(("group", group), namespace):
                yield _reason(grant, "group", told(grant))

    def _of_file(self, identity: Identity, namespace: str) -> Iterator[Reason]:
        """Yield what the auth file gives somebody in a namespace, but to who is of the service."""
        rights = identity.rights
        if service_role_of_rights(rights) is not None:
            rights = tuple(one for one in rights if one.pattern.text != _EVERYTHING)
        if not rights or self._has_expired(identity):
            return
        globs = {
            two
            for right in rights
            for one, two in globs_of(right.pattern)
            if glob_matches(one, namespace)
        }
        for glob in sorted(globs):
            # A pattern that matches a glob's text matches all that the glob does.
            role = role_of_rights(rights, namespace, None if glob == _ALL else glob)
            if role is not None:
                yield Reason(role, glob, "file", f"{role} through the auth file")

    def _has_expired(self, identity: Identity) -> bool:
        return identity.is_expired(self._access.entitlements.now())


def _reason(grant: Grant, kind: Literal["grant", "group", "owner"], sentence: str) -> Reason:
    return Reason(_role(grant), grant.environment_glob, kind, sentence, grant)


def _role(grant: Grant) -> Role:
    role = role_of(grant)
    assert role is not None, grant  # others are not looked for here
    return role


def _parts(reasons: Sequence[Reason], whole: Role | None) -> tuple[Part, ...]:
    """Return the roles on parts of a namespace that say more than that on all of it."""
    globs = sorted({one.environment for one in reasons} - {_ALL})
    found = []
    for glob in globs:
        there = [one.role for one in reasons if glob_matches(one.environment, glob)]
        role = highest(there)
        if role is not None and not covers(whole, role):
            found.append(Part(glob, role))
    return tuple(found)
