"""Administrative reads: what administrators and auditors look at that is not their own."""

from collections.abc import Iterable
from typing import Any, Final

from registry.web.api.endpoints import Call, Endpoint, Further, NeedRole, NeedServiceRole
from registry.web.noting import note
from registry.web.observe import ROUTE

#: Which part of a list is read says nothing of what is read.
_PAGING: Final = frozenset({"after", "limit", "follow"})


def is_reading_by_office(
    call: Call[Any, Any], endpoint: Endpoint, further: Iterable[Further]
) -> bool:
    """Tell whether a request reads what its sender may see as an officer of the service alone."""
    if call.request.method not in {"GET", "HEAD"} or call.rights.service_role is None:
        return False
    if endpoint.is_wider_for_officers:
        return True
    namespace = call.request.path_params.get("namespace")
    environment = call.request.path_params.get("environment")
    for need in (endpoint.need, *further):
        if isinstance(need, NeedServiceRole):
            return True
        if isinstance(need, NeedRole) and namespace is not None:
            return call.rights.is_there_by_office(namespace, environment)
    return False


def note_reading(call: Call[Any, Any]) -> None:
    """Have it told that an administrator or auditor reads what is not theirs."""
    fields = dict(call.request.path_params)
    query = {
        name: value for name, value in call.request.query_params.items() if name not in _PAGING
    }
    note(
        call.request.scope,
        "admin.read",
        namespace=fields.pop("namespace", query.get("namespace")),
        environment=fields.pop("environment", query.get("environment")),
        detail={"read": call.request.scope[ROUTE], **fields, **({"query": query} if query else {})},
    )
