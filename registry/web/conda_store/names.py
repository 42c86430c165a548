"""What addresses name: namespaces and environments as people write them, builds by numbers."""

from contextlib import suppress
from urllib.parse import quote

from registry.catalog.build_ids import BuildPlace, unknown_build
from registry.catalog.slugs import environment_slug
from registry.errors import (
    CatalogNameInvalid,
    EndpointUnknown,
    EnvironmentUnknown,
    NamespaceUnknown,
)
from registry.web.conda_store.calls import Call


def namespace_in(call: Call, field: str = "namespace") -> str:
    """Return the slug of the namespace that an address names, whether or not there is one.

    Args:
        call: The request.
        field: Of its address: the name as it was written, or the slug.

    Raises:
        NamespaceUnknown: No namespace can be called so.
    """
    return namespace_slug(call.field(field))


def namespace_slug(name: str) -> str:
    """Return the slug of a namespace by its name or slug.

    Raises:
        NamespaceUnknown: No namespace can be called so.
    """
    try:
        return environment_slug(name)
    except CatalogNameInvalid as exc:
        raise NamespaceUnknown(name[:100]) from exc


def environment_in(call: Call) -> tuple[str, str]:
    """Return the slugs of the namespace and the environment that an address names.

    Raises:
        NamespaceUnknown: No namespace can be called so.
        EnvironmentUnknown: No environment can.
    """
    namespace, name = namespace_in(call), call.field("environment")
    try:
        return namespace, environment_slug(name)
    except CatalogNameInvalid as exc:
        raise EnvironmentUnknown(namespace, name[:100]) from exc


async def place_in(call: Call) -> BuildPlace:
    """Return where the build is that an address names by its number.

    Raises:
        EndpointUnknown: There is none that whoever asks may see.
    """
    build_id = call.number("build_id")
    place = await call.catalog.build_ids.place(build_id)
    if not call.rights.has_role("viewer", place.namespace, place.environment):
        raise unknown_build(build_id)
    return place


async def number_of(call: Call, build_id: int, namespace: str, environment: str) -> int | None:
    """Return the number of the version of an environment that a build is; ``None``: it is none.

    Whether another environment has the build is not told.
    """
    with suppress(EndpointUnknown):
        place = await call.catalog.build_ids.place(build_id)
        if (place.namespace, place.environment) == (namespace, environment):
            return place.number
    return None


def quoted(*parts: str | int) -> str:
    """Return a path of ``/api/v1``.

    >>> quoted("namespaces", "ada", "environments", "a b", "versions", 3)
    '/namespaces/ada/environments/a%20b/versions/3'
    """
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def environment_path(namespace: str, environment: str, *parts: str | int) -> str:
    """Return the path of an environment in ``/api/v1``, or of something of it."""
    return quoted("namespaces", namespace, "environments", environment, *parts)


def version_path(place: BuildPlace, *parts: str | int) -> str:
    """Return the path of a build's version in ``/api/v1``, or of something of it."""
    return environment_path(place.namespace, place.environment, "versions", place.number, *parts)
