"""Tokens that somebody has made for a while, of rights that they have: conda-store's ``/token``.

They are child tokens (``registry.auth.child_tokens``): signed, without a row, never good for more
than whoever had them made. Namespaces that they name need not be there: services ask for the
namespace of whoever looks at a form, before that person has made anything.

Source:
    conda-store-server 2025.2.2, ``api_post_token``; its client sends ``exp`` where the server reads
    ``expiration``.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from starlette.types import ASGIApp

from registry.auth.child_tokens import (
    LONGEST_LIFETIME,
    MAX_CHARACTERS,
    MAX_LIMITS,
    USUAL_LIFETIME,
    ChildToken,
)
from registry.auth.rights import Right, parse_right
from registry.auth.roles import ROLE_VERBS, Globs, Role, covers, highest
from registry.auth.wildcards import is_path_glob
from registry.catalog.slugs import environment_slug
from registry.errors import CatalogNameInvalid, ParameterInvalid
from registry.web.browser.session import SESSION_NUMBER
from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.identity import ends_at
from registry.web.conda_store.permissions import EVERYTHING, told_roles
from registry.web.noting import note

#: Roles as clients write them.
ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {"viewer": "viewer", "developer": "editor", "editor": "editor", "admin": "admin"}
)
_MAX_BINDINGS: Final = 1000
_MAX_TEXT: Final = 200


async def post_token(call: Call) -> ASGIApp:
    """Give a token that may what was asked for, of what whoever asks may.

    Raises:
        Unauthorized: They have not logged in.
        ParameterInvalid: It would be good for more, or for longer, than what they use themselves;
            or what was asked for cannot be understood.
    """
    name = call.rights.require_login()
    document = await call.document()
    caller, scope = call.rights.caller, call.request.scope
    assert caller.identity is not None, "they have logged in"
    parent = caller.child.parent if caller.child is not None else scope.get(SESSION_NUMBER)
    limits = caller.child.limits if caller.child is not None else ()
    wanted = document.get("role_bindings")
    bindings = _bindings(wanted)
    if wanted and not await _is_everything_of(call, wanted):
        _require_theirs(call, bindings)
        limits = (*limits, tuple(_right(*one) for one in bindings.items()))
    if len(limits) > MAX_LIMITS:
        raise ParameterInvalid(
            f"a token can be limited further {MAX_LIMITS} times at most: ask with one before it"
        )
    child = ChildToken(
        name,
        caller.token.id if caller.token is not None else parent,
        caller.identity.generation,
        limits,
        _expiration(call, document),
        _home(document) or (caller.child.primary_namespace if caller.child is not None else None),
    )
    token = call.services.access.write_child(child)
    if len(token) > MAX_CHARACTERS:
        raise ParameterInvalid(
            "these are too many role bindings for one token: use '*' for several names"
        )
    note(scope, "token.created", detail={"name": "for a while"})
    return answer({"token": token})


def _home(document: Mapping[str, Any]) -> str | None:
    found = document.get("primary_namespace")
    if found is None:
        return None
    if not isinstance(found, str) or not 0 < len(found) <= _MAX_TEXT:
        raise ParameterInvalid("'primary_namespace' is the name of a namespace")
    try:
        environment_slug(found)
    except CatalogNameInvalid as exc:
        raise ParameterInvalid(exc.message) from exc
    return found


def _bindings(found: Any) -> Mapping[Globs, Role]:
    """Return the role that was asked for on each pair of globs; empty: none was."""
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > _MAX_BINDINGS:
        raise _no_bindings()
    bindings: dict[Globs, Role] = {}
    for place, roles in found.items():
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise _no_bindings()
        unknown = [role for role in roles if role not in ROLES]
        if unknown:
            raise ParameterInvalid(
                f"there is no role '{unknown[0][:50]}': viewer, developer and admin are"
            )
        globs = read_place(place)
        role = highest([*(ROLES[role] for role in roles), bindings.get(globs)])
        if role is not None:
            bindings[globs] = role
    return bindings


def _no_bindings() -> ParameterInvalid:
    return ParameterInvalid(
        "'role_bindings' are lists of roles by namespace and environments, at most"
        f' {_MAX_BINDINGS} of them: {{"team/*": ["viewer"]}}'
    )


def read_place(text: str) -> Globs:
    """Return the globs of slugs that a place is, as conda-store's clients write it.

    >>> read_place("Ada@x.org/*"), read_place("team-*/Fore*")
    (('ada-x.org', '*'), ('team-*', 'fore*'))

    Raises:
        ParameterInvalid: It is none.
    """
    namespace, slash, environment = text.partition("/")
    try:
        globs = _glob(namespace), _glob(environment)
    except CatalogNameInvalid:
        globs = "", ""
    if not slash or not is_path_glob("/".join(globs)):
        raise ParameterInvalid(
            f"'{text[:100]}' is no place: write NAMESPACE/ENVIRONMENT, with '*' for any characters"
        )
    return globs


def _glob(text: str) -> str:
    return text.lower() if "*" in text else environment_slug(text)


def _require_theirs(call: Call, bindings: Mapping[Globs, Role]) -> None:
    """Return if whoever asks has every role that the token is to have, on all of its place."""
    rights = call.rights
    for (namespace, environment), role in bindings.items():
        mine = rights.role(namespace, None if environment == "*" else environment)
        is_theirs_to_make = rights.owns_name(namespace)
        if not covers(mine, role) and not (
            is_theirs_to_make and not call.catalog.directory.is_namespace(namespace)
        ):
            raise ParameterInvalid(
                f"a token can do no more than you: you are {mine or 'nothing'} on"
                f" '{namespace}/{environment}', and asked for {role}"
            )


async def _is_everything_of(call: Call, found: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether all was asked for that whoever asks may, as the command line does by itself.

    Such a token is not limited: so people in many namespaces have one too, and one day in more.
    """
    if len(found) == 1:
        return False
    told = await told_roles(call)
    return found.keys() == told.keys() and all(found[key] == [told[key]] for key in told)


def _right(globs: Globs, role: Role) -> Right:
    place = "/".join(globs)
    if role == "admin" and place == EVERYTHING:
        return parse_right("**:*")
    return parse_right(f"{place}:{','.join(sorted(ROLE_VERBS[role]))}")


def _expiration(call: Call, document: Mapping[str, Any]) -> datetime:
    now = datetime.fromtimestamp(call.services.access.entitlements.now(), UTC)
    wanted = _time(document.get("expiration") or document.get("exp"))
    latest = ends_at(call)
    if wanted is None:
        return min(latest, now + LONGEST_LIFETIME) if latest is not None else now + USUAL_LIFETIME
    if wanted <= now:
        raise ParameterInvalid("this time is over: ask for a token that ends later")
    if latest is not None and wanted > latest:
        raise ParameterInvalid(
            f"a token ends no later than what you use yourself: that is {latest:%Y-%m-%dT%H:%M:%S}"
            " in UTC"
        )
    if wanted > now + LONGEST_LIFETIME:
        raise ParameterInvalid(
            f"such a token is good for {LONGEST_LIFETIME.days} days at most: ask for less, or make"
            " one at /me/tokens"
        )
    return wanted


def _time(found: Any) -> datetime | None:
    """Return a time as clients write it: seconds since 1970, or ISO 8601, by itself in UTC."""
    if found is None:
        return None
    try:
        if isinstance(found, int | float) and not isinstance(found, bool):
            return datetime.fromtimestamp(found, UTC)
        at = datetime.fromisoformat(found)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError) as exc:
        raise ParameterInvalid(
            "'expiration' is a time such as 2026-12-01T08:00:00, or seconds since 1970"
        ) from exc


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/token": {"POST": post_token}})
