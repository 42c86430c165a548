"""Holding what the table of addresses says against whoever sends a request."""

from collections.abc import Sequence
from typing import Any

from registry.web.api.endpoints import (
    Call,
    CatalogNeed,
    Endpoint,
    Further,
    NeedLogin,
    NeedNothing,
    NeedRole,
    NeedServiceRole,
    NeedWhole,
    NewNamespaceThere,
    RoleThere,
)
from registry.web.api.rights import Rights


def require_need(need: CatalogNeed, rights: Rights, fields: dict[str, Any]) -> None:
    """Return if whoever sent a request may do what its address and method are.

    Args:
        need: What the table says.
        rights: Theirs.
        fields: Of the address.

    Raises:
        Unauthorized: They have to log in.
        NamespaceUnknown: They may not see it, or there is none.
        EnvironmentUnknown: As for a namespace.
        Denied: They see it, and may not do this.
    """
    match need:
        case NeedNothing():
            return
        case NeedLogin():
            rights.require_login()
        case NeedServiceRole(role):
            rights.require_service_role(role)
        case NeedRole(role, "environment"):
            rights.require_role(role, fields["namespace"], fields["environment"])
        case NeedRole(role, "namespace"):
            rights.require_role(role, fields["namespace"])
        case NeedRole():
            rights.require_inside(fields["namespace"])


async def require_further(endpoint: Endpoint, call: Call[Any, Any]) -> Sequence[Further]:
    """Return what else was needed, if they may also do what was sent.

    Raises:
        Unauthorized: As :func:`require_need`, and so for the other errors.
    """
    if endpoint.further is None:
        return ()
    needs: Sequence[Further] = await endpoint.further(call)
    for need in needs:
        match need:
            case RoleThere(role, namespace, environment):
                call.rights.require_role(role, namespace, environment)
            case NewNamespaceThere(slug):
                call.rights.require_new_namespace(slug)
            case NeedWhole(does_not):
                call.rights.require_whole(does_not)
            case _:
                require_need(need, call.rights, call.request.path_params)
    return needs
