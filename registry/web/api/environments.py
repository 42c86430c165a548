"""Environments: named things in a namespace."""

from collections.abc import Sequence

from starlette.types import ASGIApp

from registry.catalog.records import Environment, Version
from registry.errors import ParameterInvalid
from registry.web.api.answers import (
    answer,
    expected_revision,
    page_answer,
    pull_host,
    revised,
)
from registry.web.api.catalog_documents import (
    AccessDocument,
    NewEnvironmentDocument,
    environment_document,
    version_document,
)
from registry.web.api.endpoints import Call, Further, RoleThere
from registry.web.api.models import (
    EnvironmentChange,
    EnvironmentsQuery,
    NamespaceEnvironmentsQuery,
    NewEnvironment,
    NewEnvironmentQuery,
    NoBody,
    NoQuery,
    Target,
    is_on,
    parse_body,
)
from registry.web.api.specifications import require_readable
from registry.web.asgi.responses import BytesResponse


async def get_all_environments(call: Call[EnvironmentsQuery, NoBody]) -> ASGIApp:
    """Find environments that you may see: by name, by description, by a package in use."""
    return await _page(call, None)


async def get_environments(call: Call[NamespaceEnvironmentsQuery, NoBody]) -> ASGIApp:
    """List the environments of a namespace that you may see, by name."""
    return await _page(call, call.field("namespace"), deleted=is_on(call.query.deleted))


async def needs_of_deleted(call: Call[NamespaceEnvironmentsQuery, NoBody]) -> Sequence[Further]:
    """Return what seeing deleted environments needs beside."""
    return [RoleThere("admin", call.field("namespace"))] if is_on(call.query.deleted) else []


async def post_environment(call: Call[NewEnvironmentQuery, bytes]) -> ASGIApp:
    """Make an environment: empty, or with ``?name=`` from the file that is the body."""
    if call.query.name is None:
        body = parse_body(NewEnvironment, call.body)
        assert isinstance(body, NewEnvironment)
        if call.query.description or call.query.note:
            raise ParameterInvalid(
                "'description' and 'note' go with 'name', where the body is a file"
            )
        return _made(call, await _create(call, body.name, body.description), None)
    await require_readable(call.request, call.body)
    environment, version = await call.catalog.environments.create_from(
        call.actor,
        call.field("namespace"),
        call.query.name,
        call.body,
        description=call.query.description,
        note=call.query.note,
    )
    return _made(call, environment, version)


async def get_environment(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of an environment."""
    environment = await call.catalog.environments.get(*call.place)
    return _told(call, environment)


async def patch_environment(call: Call[NoQuery, EnvironmentChange]) -> ASGIApp:
    """Change an environment: its name, with its address, or its description."""
    environment = await call.catalog.environments.update(
        call.actor,
        *call.place,
        revision=expected_revision(call.request),
        name=call.body.name,
        description=call.body.description,
    )
    return _told(call, environment)


async def needs_of_environment_change(call: Call[NoQuery, EnvironmentChange]) -> Sequence[Further]:
    """Return what changing an environment needs beside: to rename it is to take its address."""
    return [RoleThere("admin", *call.place)] if call.body.name is not None else []


async def delete_environment(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete an environment; it can be restored."""
    await call.catalog.environments.delete(
        call.actor, *call.place, revision=expected_revision(call.request)
    )
    return BytesResponse(204, [])


async def post_environment_restore(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Restore the environment of that name deleted last, as it was."""
    environment = await call.catalog.environments.restore(call.actor, *call.place)
    return _told(call, environment)


async def post_move(call: Call[NoQuery, Target]) -> ASGIApp:
    """Move an environment with all its versions to another namespace or name."""
    namespace, name = await _target(call)
    environment = await call.catalog.environments.move(call.actor, *call.place, namespace, name)
    return _told(call, environment)


async def post_copy(call: Call[NoQuery, Target]) -> ASGIApp:
    """Make a new environment whose first version is the active one of this."""
    namespace, name = await _target(call)
    environment = await call.catalog.environments.copy(call.actor, *call.place, namespace, name)
    return _told(call, environment, 201)


async def needs_of_target(call: Call[NoQuery, Target]) -> Sequence[Further]:
    """Return what moving and copying need beside: to make environments there."""
    return [RoleThere("editor", call.body.namespace or call.field("namespace"))]


async def get_access(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell what you may do with an environment, and why."""
    environment = await call.catalog.environments.get(*call.place)
    place = call.place
    document: AccessDocument = {
        "environment": environment.path,
        "user": call.rights.name,
        "role": call.rights.role(*place),
        "may": {
            "see, pull": call.rights.has_role("viewer", *place),
            "change, build, activate": call.rights.has_role("editor", *place),
            "delete, move, rename": call.rights.has_role("admin", *place),
            "give roles": call.rights.has_role("admin", place[0]),
        },
        "reasons": call.rights.why(*place),
    }
    return answer(200, document)


async def _create(
    call: Call[NewEnvironmentQuery, bytes], name: str, description: str
) -> Environment:
    return await call.catalog.environments.create(
        call.actor, call.field("namespace"), name, description=description
    )


async def _page(
    call: Call[EnvironmentsQuery, NoBody] | Call[NamespaceEnvironmentsQuery, NoBody],
    namespace: str | None,
    *,
    deleted: bool = False,
) -> ASGIApp:
    query, host = call.query, pull_host(call.request)
    page = await call.catalog.environments.search(
        call.visible,
        namespace=namespace,
        search=query.search,
        package=query.package,
        version=query.version,
        include_deleted=deleted,
        after=query.after,
        limit=query.limit,
    )
    return page_answer(call, page, lambda one: environment_document(one, host))


async def _target(call: Call[NoQuery, Target]) -> tuple[str, str]:
    """Return where to: what is not said is as it is."""
    namespace = call.body.namespace or call.field("namespace")
    name = call.body.name
    return namespace, name or (await call.catalog.environments.get(*call.place)).name


def _told(
    call: Call[NoQuery, NoBody] | Call[NoQuery, EnvironmentChange] | Call[NoQuery, Target],
    environment: Environment,
    status: int = 200,
) -> ASGIApp:
    document = environment_document(environment, pull_host(call.request))
    return revised(status, document, environment.revision)


def _made(
    call: Call[NewEnvironmentQuery, bytes], environment: Environment, version: Version | None
) -> ASGIApp:
    host = pull_host(call.request)
    document: NewEnvironmentDocument = {
        **environment_document(environment, host),
        "version": None
        if version is None
        else version_document(version, environment.namespace, environment.slug, host),
    }
    return revised(201, document, environment.revision)
