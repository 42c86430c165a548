"""What whoever asks may do, in conda-store's words.

There is one key for each namespace in which they may see anything: clients understand no wildcards
but ``*`` for all environments, and ``*/*`` for everything. Beside what conda-store says of an
editor, ``namespace::create`` says that they may make environments: by that its interface shows the
button.

Source:
    conda-store-server 2025.2.2, ``RBACAuthorizationBackend``; conda-store-ui,
    ``utils/helpers/namespaces.ts``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from starlette.types import ASGIApp

from registry.auth.roles import Role, glob_matches
from registry.catalog.records import Namespace
from registry.catalog.slugs import slug_of
from registry.errors import CatalogNameInvalid
from registry.web.conda_store.answers import answer, moment
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.identity import ends_at, own_namespace
from registry.web.conda_store.settings import primary_namespace

#: Roles as conda-store tells them: an editor is a developer there.
ToldRole = Literal["viewer", "developer", "admin"]
TOLD_ROLES: Final[Mapping[Role, ToldRole]] = MappingProxyType(
    {"viewer": "viewer", "editor": "developer", "admin": "admin", "owner": "admin"}
)
EVERYTHING: Final = "*/*"

_VIEWER: Final = frozenset({"environment::read", "namespace::read", "namespace-role-mapping::read"})
_DEVELOPER: Final = _VIEWER | {
    *("build::cancel", "environment:create", "environment::solve", "environment::update"),
    "setting::read",
}
_ADMIN: Final = _DEVELOPER | {
    *("build::delete", "environment::delete"),
    *("namespace::create", "namespace::delete", "namespace::update"),
    *("namespace-role-mapping::create", "namespace-role-mapping::delete"),
    *("namespace-role-mapping::update", "setting::update"),
}
#: What each role may; ``environment:create`` has one colon there.
PERMISSIONS: Final[Mapping[ToldRole, frozenset[str]]] = MappingProxyType(
    {"viewer": _VIEWER, "developer": _DEVELOPER, "admin": _ADMIN}
)
_CREATES: Final = "namespace::create"
_PAGE: Final = 500


async def get_permission(call: Call) -> ASGIApp:
    """Tell what whoever asks may do."""
    rights = call.rights
    told = await told_roles(call)
    roles = {EVERYTHING: "viewer"} if rights.service_role == "auditor" else told
    return answer(
        {
            "authenticated": rights.name is not None,
            "primary_namespace": await primary_namespace(call),
            "entity_permissions": {key: _permissions(key, role) for key, role in told.items()},
            "entity_roles": {key: [role] for key, role in roles.items()},
            "expiration": moment(ends_at(call)),
        }
    )


async def told_roles(call: Call) -> Mapping[str, ToldRole]:
    """Return the roles of whoever asks, by ``<namespace>/<environments>``."""
    rights = call.rights
    if rights.service_role == "administrator":
        return {EVERYTHING: "admin"}
    found: dict[str, ToldRole] = {}
    after: str | None = None
    while True:
        page = await call.catalog.namespaces.list(call.visible, after=after, limit=_PAGE)
        for namespace in page.items:
            found.update(_roles_in(call, namespace))
        after = page.next
        if after is None:
            break
    own = own_namespace(call)
    if own is not None and f"{own}/*" not in found and _may_make(call, own):
        found[f"{own}/*"] = "admin"
    return found


def _roles_in(call: Call, namespace: Namespace) -> Mapping[str, ToldRole]:
    """Return the roles in a namespace that is seen: in all of it, or else in parts."""
    rights, slug = call.rights, namespace.slug
    whole = rights.role(slug)
    if whole is not None:
        return {f"{namespace.name}/*": TOLD_ROLES[whole]}
    found: dict[str, ToldRole] = {}
    for space, glob in call.visible.globs:
        # A pattern that matches a glob's text matches all that the glob does.
        role = rights.role(slug, glob) if glob_matches(space, slug) else None
        if role is not None:
            found[f"{namespace.name}/{glob}"] = TOLD_ROLES[role]
    return found


def _permissions(key: str, role: ToldRole) -> list[str]:
    makes = role != "viewer" and key.endswith("/*")
    return sorted(PERMISSIONS[role] | ({_CREATES} if makes else set()))


def _may_make(call: Call, name: str) -> bool:
    """Tell whether a namespace is that of their own name, and is not there."""
    try:
        own = slug_of(name)
    except CatalogNameInvalid:
        return False
    return call.rights.owns_name(own) and not call.catalog.directory.is_namespace(own)


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/permission": {"GET": get_permission}})
