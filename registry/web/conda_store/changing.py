"""Changing what there is: activating, describing, deleting, making anew, cancelling."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.types import ASGIApp

from registry.errors import ParameterInvalid
from registry.web.conda_store.answers import acknowledged, answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.names import (
    environment_in,
    environment_path,
    namespace_in,
    number_of,
    place_in,
    quoted,
    version_path,
)
from registry.web.conda_store.roles import set_mappings
from registry.web.conda_store.sent import body_of, require_sayable, storable, text_in

#: Numbers of rows are no larger.
_MAX_NUMBER: Final = 2**63 - 1
#: What is noted of a namespace has no more bytes.
_MAX_METADATA: Final = 64 * 1024


async def put_environment(call: Call) -> ASGIApp:
    """Make a build the active one of an environment, or describe it anew, or both."""
    namespace, environment = environment_in(call)
    path = environment_path(namespace, environment)
    sent = await call.document()
    build_id, description = _build_id_in(sent), text_in(sent, "description")
    require_sayable(description)
    await call.api.ask("GET", path)
    if build_id is not None:
        number = await number_of(call, build_id, namespace, environment)
        if number is None:
            raise ParameterInvalid(
                f"there is no build {build_id} of '{namespace}/{environment}': choose one of its"
                " own"
            )
        await call.api.ask("PUT", f"{path}/active", body=body_of({"version": number}))
    if sent.get("description") is not None:
        await call.api.ask("PATCH", path, body=body_of({"description": description}))
    return acknowledged()


async def delete_environment(call: Call) -> ASGIApp:
    """Delete an environment; it can be restored here, by other means."""
    await call.api.ask("DELETE", environment_path(*environment_in(call)))
    return acknowledged()


async def put_build(call: Call) -> ASGIApp:
    """Have a build made once more, from what it was made from; what is solved is solved anew."""
    place = await place_in(call)
    asked = await call.api.ask("GET", version_path(place, "specification"))
    made = await call.api.ask(
        "POST",
        environment_path(place.namespace, place.environment, "versions"),
        query={"renew": "true"},
        body=asked.body,
    )
    build_id = await call.catalog.build_ids.id_of(
        place.namespace, place.environment, made.document["number"]
    )
    return answer({"build_id": build_id}, "rebuild triggered")


async def put_cancel(call: Call) -> ASGIApp:
    """Cancel a build; what others wait for goes on."""
    place = await place_in(call)
    await call.api.ask("POST", version_path(place, "cancel"))
    return acknowledged(f"build {place.id} canceled")


async def delete_build(call: Call) -> ASGIApp:
    """Delete a build that is not the active one: its files go, unless others have the same."""
    place = await place_in(call)
    await call.api.ask("DELETE", version_path(place))
    return acknowledged()


async def post_namespace(call: Call) -> ASGIApp:
    """Make a namespace."""
    await call.api.ask("POST", "/namespaces", body=body_of({"name": call.field("namespace")}))
    return acknowledged()


async def put_namespace(call: Call) -> ASGIApp:
    """Note something of a namespace, and say who has which role in it."""
    namespace = namespace_in(call)
    call.rights.require_role("admin", namespace)
    sent = await call.document()
    metadata, mappings = sent.get("metadata"), sent.get("role_mappings")
    if metadata is not None and not isinstance(metadata, dict):
        raise ParameterInvalid("'metadata' is a JSON object")
    if mappings is not None and not _is_mappings(mappings):
        raise ParameterInvalid("'role_mappings' has lists of roles, by whom they are for")
    await call.api.ask("GET", quoted("namespaces", namespace))
    if mappings is not None:
        await set_mappings(call, namespace, mappings)
    if metadata is not None:
        await _note(call, namespace, metadata)
    return acknowledged()


async def put_metadata(call: Call) -> ASGIApp:
    """Note something of a namespace."""
    namespace = namespace_in(call)
    call.rights.require_role("admin", namespace)
    await _note(call, namespace, await call.document())
    return acknowledged()


async def delete_namespace(call: Call) -> ASGIApp:
    """Delete a namespace with all that is in it; it can be restored here, by other means."""
    await call.api.ask("DELETE", quoted("namespaces", namespace_in(call)))
    return acknowledged()


async def _note(call: Call, namespace: str, metadata: Mapping[str, Any]) -> None:
    kept = storable(metadata, _MAX_METADATA)
    await call.catalog.conda_store_settings.set_metadata(call.actor, namespace, kept)


def _is_mappings(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(roles, list) and all(isinstance(role, str) for role in roles)
        for roles in value.values()
    )


def _build_id_in(sent: Mapping[str, Any]) -> int | None:
    """Return the number of the build that was sent, if there is one.

    Raises:
        ParameterInvalid: It is no such number.
    """
    found = sent.get("build_id")
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 19:
        found = int(found)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= _MAX_NUMBER:
        raise ParameterInvalid("'build_id' is the number of a build, such as 7")
    return found


_NAMESPACE: Final = "/api/v1/namespace/{namespace}"
_BUILD: Final = "/api/v1/build/{build_id}"

ROUTES: Final[Routes] = MappingProxyType(
    {
        "/api/v1/environment/{namespace}/{environment}": {
            "PUT": put_environment,
            "DELETE": delete_environment,
        },
        _BUILD: {"PUT": put_build, "DELETE": delete_build},
        f"{_BUILD}/cancel": {"PUT": put_cancel},
        _NAMESPACE: {
            "POST": post_namespace,
            "PUT": put_namespace,
            "DELETE": delete_namespace,
        },
        f"{_NAMESPACE}/metadata": {"PUT": put_metadata},
    }
)
