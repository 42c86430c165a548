"""Namespaces, as whoever asks may see them."""

from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.documents import namespace_document
from registry.web.conda_store.names import namespace_in
from registry.web.conda_store.paging import list_answer, numbers_of
from registry.web.conda_store.roles import v1_mappings
from registry.web.conda_store.settings import metadata


async def list_namespaces(call: Call) -> ASGIApp:
    """List namespaces in which whoever asks may see anything."""
    visible = call.visible
    numbers = numbers_of(call, ("name",), ("name",), is_small=True)
    return await list_answer(
        numbers,
        lambda part: call.catalog.counted.namespaces(visible, part),
        namespace_document,
        has_message=False,
    )


async def get_namespace(call: Call) -> ASGIApp:
    """Tell what a namespace is.

    Raises:
        NamespaceUnknown: There is none that whoever asks may see.
        Unauthorized: They have to log in.
    """
    slug = namespace_in(call)
    call.rights.require_inside(slug)
    found = await call.catalog.namespaces.get(slug)
    return answer(
        {
            "id": found.id,
            "name": found.name,
            "metadata_": await metadata(call, slug) or {},
            "role_mappings": await v1_mappings(call, slug),
        }
    )


ROUTES: Final[Routes] = MappingProxyType(
    {
        "/api/v1/namespace": {"GET": list_namespaces},
        "/api/v1/namespace/{namespace}": {"GET": get_namespace},
    }
)
