"""Roles: what somebody may do in namespaces, by a name that says it.

A grant gives a role on two globs, of namespaces and of environments in them; ``*`` stands for any
characters. What somebody may do is the union of what matches. A role is also what rights come to
that are written as verbs (the auth file's, and the scopes of tokens), and the other way round.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, Protocol, get_args

from registry.auth.rights import VERBS, Pattern, Right, Verb
from registry.auth.wildcards import Wildcards, read_glob

#: What somebody may do in a namespace, from the least.
#:
#: * ``viewer``: see and pull;
#: * ``editor``: and create, change, build and push;
#: * ``admin``: and delete, give roles, and change the namespace;
#: * ``owner``: an admin whose role no admin takes.
Role = Literal["viewer", "editor", "admin", "owner"]
#: What somebody may do in the whole service: everything, or see everything.
ServiceRole = Literal["administrator", "auditor"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
_RANKS: Final = {role: rank for rank, role in enumerate(ROLES)}

_VIEWER: Final[frozenset[Verb]] = frozenset({"pull"})
_EDITOR: Final = _VIEWER | frozenset[Verb]({"push", "build", "pin"})
_ADMIN: Final = _EDITOR | frozenset[Verb]({"delete"})
#: What each role allows in repositories of the namespace.
ROLE_VERBS: Final[dict[Role, frozenset[Verb]]] = {
    "viewer": _VIEWER,
    "editor": _EDITOR,
    "admin": _ADMIN,
    "owner": _ADMIN,
}
#: What an auditor may do anywhere.
AUDITOR_VERBS: Final = frozenset[Verb]({"pull", "catalog", "metrics"})
#: What verbs have to be among rights for a role, the highest first. Building in a namespace writes
#: there as pushing does.
_VERB_ROLES: Final[tuple[tuple[Role, frozenset[Verb]], ...]] = (
    ("admin", frozenset[Verb]({"pull", "push", "delete"})),
    ("editor", frozenset[Verb]({"pull", "push"})),
    ("viewer", frozenset[Verb]({"pull"})),
)
#: Stands for all environments of a namespace, where a pattern of repositories is asked: a pattern
#: matches it that matches all of them, since no name has such a character.
_ALL: Final = "*"
#: What the rights of an administrator are in the auth file.
_EVERYTHING: Final = "**"

#: Globs of namespaces and of environments.
Globs = tuple[str, str]


class Grant(Protocol):
    """A role that somebody gave."""

    @property
    def id(self) -> int:
        """Its number; no other grant has it."""
        ...

    @property
    def subject_kind(self) -> Literal["user", "group", "authenticated", "everyone"]:
        """Whom it is for: one user, a group, all who have logged in, or really everyone."""
        ...

    @property
    def subject(self) -> str | None:
        """The user or group."""
        ...

    @property
    def namespace_glob(self) -> str:
        """Which namespaces."""
        ...

    @property
    def environment_glob(self) -> str:
        """Which environments in them."""
        ...

    @property
    def role(self) -> str:
        """A :data:`Role`, or a :data:`ServiceRole` on ``*`` and ``*``."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from: ``owner`` goes with owning the namespace."""
        ...

    @property
    def granted_by(self) -> str | None:
        """Who gave it; ``None``: the service."""
        ...

    @property
    def created_at(self) -> datetime:
        """When."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When it ends; ``None``: never."""
        ...


@dataclass(frozen=True, slots=True)
class Visible:
    """What somebody may see: the union of pairs of globs."""

    globs: tuple[Globs, ...] = ()
    is_everything: bool = False


def covers(role: Role | None, needed: Role) -> bool:
    """Tell whether a role includes another.

    >>> covers("admin", "editor"), covers("viewer", "editor"), covers(None, "viewer")
    (True, False, False)
    """
    return role is not None and _RANKS[role] >= _RANKS[needed]


def highest(roles: Iterable[Role | None]) -> Role | None:
    """Return the highest of some roles.

    >>> highest(["viewer", None, "admin"]), highest([])
    ('admin', None)
    """
    return max((role for role in roles if role), key=_RANKS.__getitem__, default=None)


def lowest(a: Role | None, b: Role | None) -> Role | None:
    """Return the lower of two roles.

    >>> lowest("viewer", "admin"), lowest(None, "admin")
    ('viewer', None)
    """
    return (a if _RANKS[a] <= _RANKS[b] else b) if a and b else None


def role_of_rights(rights: Iterable[Right], namespace: str, environment: str | None) -> Role | None:
    """Return the role that verbs come to; ``None`` for the environment: in the whole namespace.

    >>> from registry.auth.rights import parse_right
    >>> role_of_rights([parse_right("team/*:pull,push")], "team", None)
    'editor'
    >>> role_of_rights([parse_right("team/forecast:pull")], "team", None) is None
    True
    """
    name = f"{namespace}/{environment or _ALL}"
    verbs: set[Verb] = set()
    for right in rights:
        if right.pattern.matches(name):
            verbs |= right.verbs
    return next((role for role, needed in _VERB_ROLES if needed <= verbs), None)


def service_role_of_rights(rights: Iterable[Right]) -> ServiceRole | None:
    """Return the role in the service that verbs come to.

    >>> from registry.auth.rights import parse_right
    >>> service_role_of_rights([parse_right("**:*")])
    'administrator'
    >>> service_role_of_rights([parse_right("**:pull,catalog")])
    'auditor'
    """
    verbs: set[Verb] = set()
    for right in rights:
        if right.pattern.text == _EVERYTHING:
            verbs |= right.verbs
    if verbs >= set(VERBS):
        return "administrator"
    return "auditor" if verbs >= {"pull", "catalog"} else None


def glob_matches(glob: str, text: str) -> bool:
    """Tell whether a glob stands for a text.

    >>> glob_matches("data-*", "data-x"), glob_matches("data-*", "my-data-x")
    (True, False)
    """
    return _read(glob).matches(text)


def globs_of(pattern: Pattern) -> Iterator[Globs]:
    """Yield the globs that stand for the environments that a pattern of repositories matches.

    >>> from registry.auth.rights import parse_pattern
    >>> list(globs_of(parse_pattern("team/**"))), list(globs_of(parse_pattern("**")))
    ([('team', '*')], [('*', '*')])
    >>> list(globs_of(parse_pattern("te**st"))), list(globs_of(parse_pattern("a/b/c")))
    ([('te*', '*st')], [])
    """
    namespace, slash, environment = pattern.text.partition("/")
    if slash:
        if "/" not in environment:
            yield _glob(namespace), _glob(environment)
        return
    parts = pattern.text.split("**")
    # The slash of a name is in one of the wildcards.
    for at in range(1, len(parts)):
        yield _glob("*".join(parts[:at]) + "*"), _glob("*" + "*".join(parts[at:]))


def common(a: Globs, b: Globs) -> Globs | None:
    """Return globs for what two pairs both stand for, or for a part of it; never for more.

    >>> common(("team", "*"), ("*", "fore*")), common(("a", "*"), ("b", "*"))
    (('team', 'fore*'), None)
    """
    namespace, environment = _common(a[0], b[0]), _common(a[1], b[1])
    return (namespace, environment) if namespace and environment else None


def _common(a: str, b: str) -> str | None:
    # A glob that matches another one's text matches all that the other does.
    if glob_matches(a, b):
        return b
    if glob_matches(b, a):
        return a
    for one, other in ((a, b), (b, a)):
        starts, ends = one.removesuffix("*"), other.removeprefix("*")
        if "*" not in starts + ends and one != starts and other != ends:
            return f"{starts}*{ends}"
    return None


def _glob(text: str) -> str:
    return re.sub(r"\*+", "*", text)


@lru_cache(maxsize=4096)
def _read(text: str) -> Wildcards:
    return read_glob(text)
