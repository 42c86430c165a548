"""Roles in a namespace, as both generations of conda-store's clients give and take them.

In the second generation a namespace says which *other namespace* has a role in it; in the first, it
says which roles it has elsewhere. A namespace stands for whoever is at home in it: its owner, or a
group or user of its name. Below is what everything here stands on, a grant: so roles given by one
wire are seen by the other, and whoever gives one has to be admin where it holds. conda-store's
first generation lets everyone give themselves any role anywhere.

Source:
    conda-store-server 2025.2.2, ``NamespaceRoleMapping``, ``NamespaceRoleMappingV2``.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from starlette.types import ASGIApp

from registry.auth.roles import Globs, Grant, Role, highest
from registry.catalog.records import GrantRecord
from registry.catalog.slugs import slug_of
from registry.errors import (
    CatalogNameInvalid,
    EndpointUnknown,
    GroupUnknown,
    NamespaceUnknown,
    ParameterInvalid,
)
from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.names import namespace_in, namespace_slug, quoted
from registry.web.conda_store.permissions import EVERYTHING, TOLD_ROLES
from registry.web.conda_store.sent import body_of
from registry.web.conda_store.tokens import ROLES, read_place

#: Whose role it is: a kind, and a name.
Holder = tuple[Literal["user", "group"], str]

_OWNER: Final = "owner"
_PAGE: Final = 500


async def get_roles(call: Call) -> ASGIApp:
    """List who has a role in a namespace.

    Raises:
        Unauthorized: They have not logged in.
        NamespaceUnknown: There is none that they may see.
    """
    slug = _seen(call)
    name = (await call.catalog.namespaces.get(slug)).name
    return answer([_told(grant, name) for grant in _given_in(call, slug)])


async def delete_roles(call: Call) -> ASGIApp:
    """Take all roles in a namespace from others, but not from its owner.

    Raises:
        ApiProblem: Whoever asks may not.
    """
    slug = namespace_in(call)
    # An admin's question first: whoever is none learns nothing of grants.
    await call.api.ask("GET", quoted("namespaces", slug, "grants"), query={"limit": 1})
    for grant in list(_given_in(call, slug)):
        if grant.source != _OWNER and grant.subject != call.rights.name:
            await call.api.ask("DELETE", quoted("namespaces", slug, "grants", grant.id))
    return answer()


async def get_role(call: Call) -> ASGIApp:
    """Tell which role another namespace has.

    Raises:
        EndpointUnknown: It has none.
    """
    slug = _seen(call)
    other = call.first("other_namespace")
    if other is None:
        raise ParameterInvalid("say whose role it is: ?other_namespace=NAME")
    found = _role_of(call, slug, await _holder(call, other))
    if found is None:
        raise EndpointUnknown(f"'{other[:100]}' was given no role in '{slug}'")
    return answer(_told(found, (await call.catalog.namespaces.get(slug)).name))


async def post_role(call: Call) -> ASGIApp:
    """Give another namespace a role.

    Raises:
        ApiProblem: Whoever asks may not.
        ParameterInvalid: There is no such role, or it has one.
    """
    slug, document = namespace_in(call), await call.document()
    holder, role = await _asked(call, document), _role(document)
    await _require_admin(call, slug)
    if _role_of(call, slug, holder) is not None:
        raise ParameterInvalid(f"'{holder[1]}' has a role in '{slug}': send PUT to change it")
    await _give(call, holder, (slug, "*"), role)
    return answer()


async def put_role(call: Call) -> ASGIApp:
    """Change the role of another namespace.

    Raises:
        ApiProblem: Whoever asks may not.
        EndpointUnknown: It has none.
    """
    slug, document = namespace_in(call), await call.document()
    holder, role = await _asked(call, document), _role(document)
    await _require_admin(call, slug)
    if _role_of(call, slug, holder) is None:
        raise EndpointUnknown(f"'{holder[1]}' was given no role in '{slug}': send POST to give one")
    await _give(call, holder, (slug, "*"), role)
    return answer()


async def delete_role(call: Call) -> ASGIApp:
    """Take the role of another namespace; harmless if it has none.

    Raises:
        ApiProblem: Whoever asks may not.
    """
    slug = namespace_in(call)
    holder = await _asked(call, await call.document())
    await _require_admin(call, slug)
    found = _role_of(call, slug, holder)
    if found is not None:
        await call.api.ask("DELETE", quoted("namespaces", slug, "grants", found.id))
    return answer()


async def v1_mappings(call: Call, namespace: str) -> list[dict[str, Any]]:
    """Return which roles those of a namespace have, to whoever is admin of it.

    Of roles elsewhere they are told where they are admins as well.
    """
    if not call.rights.has_role("admin", namespace):
        return []
    holder = await _holder(call, namespace)
    return [
        {
            "id": grant.id,
            "entity": f"{grant.namespace_glob}/{grant.environment_glob}",
            "role": _told_role(grant.role),
        }
        for grant in await _given_to(call, holder)
    ]


async def set_mappings(call: Call, namespace: str, mappings: Mapping[str, Sequence[str]]) -> None:
    """Give those of a namespace roles, and take those that are not said any more.

    Args:
        call: The request.
        namespace: The slug.
        mappings: Roles by place, such as ``team/*``.

    Raises:
        ParameterInvalid: A place or a role is none.
        ApiProblem: Whoever asks may not give a role there.
    """
    wanted: dict[Globs, Role] = {}
    for place, roles in mappings.items():
        role = highest(_role({"role": one}) for one in roles)
        if role is not None:
            wanted[read_place(place)] = role
    await _require_admin(call, namespace)
    holder = await _holder(call, namespace)
    for globs, role in wanted.items():
        await _give(call, holder, globs, role)
    for grant in await _given_to(call, holder):
        if (grant.namespace_glob, grant.environment_glob) not in wanted:
            await call.api.ask("DELETE", _path_of(grant.namespace_glob, grant.id))


def _seen(call: Call) -> str:
    slug = namespace_in(call)
    call.rights.require_login()  # names of people are nothing for strangers
    call.rights.require_role("viewer", slug)
    return slug


async def _require_admin(call: Call, slug: str) -> None:
    """Return if whoever asks may give roles in a namespace, and there is one."""
    call.rights.require_role("admin", slug)
    await call.catalog.namespaces.get(slug)


async def _asked(call: Call, document: Mapping[str, Any]) -> Holder:
    other = document.get("other_namespace")
    if not isinstance(other, str) or not other:
        raise ParameterInvalid('say whose role it is: {"other_namespace": "ada"}')
    return await _holder(call, other)


def _role(document: Mapping[str, Any]) -> Role:
    role = document.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise ParameterInvalid(
            f"there is no role '{str(role)[:50]}': viewer, developer and admin are"
        )
    return ROLES[role]


async def _holder(call: Call, other: str) -> Holder:
    """Return who is at home in a namespace: its owner, or a group or a user of its name.

    Whoever asks does not learn whose a namespace is that they may not see.

    Raises:
        NamespaceUnknown: None can be called so.
    """
    slug = namespace_slug(other)
    try:
        owner = (await call.catalog.namespaces.get(slug)).owner
    except NamespaceUnknown:
        owner = None
    if owner is not None and (call.rights.sees_inside(slug) or _has_slug(owner, slug)):
        return "user", owner
    try:
        return "group", (await call.catalog.groups.get(other)).name
    except GroupUnknown:
        return "user", other


def _has_slug(owner: str, slug: str) -> bool:
    """Tell whether a name is written so in addresses."""
    try:
        return slug_of(owner) == slug
    except CatalogNameInvalid:
        return False


async def _give(call: Call, holder: Holder, globs: Globs, role: Role) -> None:
    kind, name = holder
    namespace, environment = globs
    body: dict[str, Any] = {"subject_kind": kind, "subject": name, "environment": environment}
    body["role"] = role
    if "*" in namespace:
        body["namespace"] = namespace
        if "/".join(globs) == EVERYTHING and role == "admin":
            body["role"] = "administrator"
    await call.api.ask("POST", _path_of(namespace), body=body_of(body))


def _path_of(namespace: str, *parts: int) -> str:
    """Return where grants are given that hold there: for several namespaces, by administrators."""
    if "*" in namespace:
        return quoted("grants", *parts)
    return quoted("namespaces", namespace, "grants", *parts)


def _given_in(call: Call, slug: str) -> Iterator[Grant]:
    """Yield the roles that people and groups have in all of a namespace, and in no other."""
    known = call.services.access.entitlements
    for subject in sorted(known.subjects_in(slug)):
        for grant in known.given_in(subject, slug):
            is_of_one = grant.subject_kind in {"user", "group"}
            if is_of_one and (grant.namespace_glob, grant.environment_glob) == (slug, "*"):
                yield grant


def _role_of(call: Call, slug: str, holder: Holder) -> Grant | None:
    found = (one for one in _given_in(call, slug) if (one.subject_kind, one.subject) == holder)
    return next(found, None)


async def _given_to(call: Call, holder: Holder) -> list[GrantRecord]:
    """Return what somebody was given, but by owning a namespace, where whoever asks is admin."""
    kind, name = holder
    found: list[GrantRecord] = []
    after: int | None = None
    while True:
        page = await call.catalog.grants.list(
            subjects={kind: [name]}, is_valid=True, after=after, limit=_PAGE
        )
        found += [
            grant
            for grant in page.items
            if grant.source != _OWNER
            and grant.role in TOLD_ROLES
            and call.rights.has_role("admin", grant.namespace_glob)
        ]
        if page.next is None:
            return found
        after = page.items[-1].id


def _told(grant: Grant, namespace: str) -> dict[str, Any]:
    return {
        "id": grant.id,
        "namespace": namespace,
        "other_namespace": grant.subject,
        "role": _told_role(grant.role),
    }


def _told_role(role: str) -> str:
    return {str(one): str(told) for one, told in TOLD_ROLES.items()}.get(role, role)


ROUTES: Final[Routes] = MappingProxyType(
    {
        "/api/v1/namespace/{namespace}/roles": {"GET": get_roles, "DELETE": delete_roles},
        "/api/v1/namespace/{namespace}/role": {
            "GET": get_role,
            "POST": post_role,
            "PUT": put_role,
            "DELETE": delete_role,
        },
    }
)
