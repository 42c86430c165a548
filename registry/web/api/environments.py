"""Environments: named things in a namespace."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from starlette.types import ASGIApp

from registry.catalog.records import Environment, Version
from registry.catalog.slugs import environment_slug
from registry.catalog.source_records import Management
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
    EnvironmentDocument,
    NewEnvironmentDocument,
    environment_document,
    version_document,
)
from registry.web.api.endpoints import Call, Further, RoleThere
from registry.web.api.models import (
    EnvironmentChange,
    EnvironmentQuery,
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
from registry.web.api.overview import details_of
from registry.web.api.specifications import require_readable
from registry.web.asgi.responses import BytesResponse


async def get_all_environments(call: Call[EnvironmentsQuery, NoBody]) -> ASGIApp:
    """Find environments that you may see: by name, by description, by a package in use."""
    return await _page(call, None)


async def get_environments(call: Call[NamespaceEnvironmentsQuery, NoBody]) -> ASGIApp:
    """List the environments of a namespace that you may see, by name."""
    return await _page(call, call.field("namespace"), deleted=call.query.wants_deleted)


async def needs_of_deleted(call: Call[NamespaceEnvironmentsQuery, NoBody]) -> Sequence[Further]:
    """Return what seeing deleted environments needs beside."""
    return [RoleThere("admin", call.field("namespace"))] if call.query.wants_deleted else []


async def post_environment(call: Call[NewEnvironmentQuery, bytes]) -> ASGIApp:
    """Make an environment: empty, or with ``?name=`` from the file that is the body."""
    if call.query.name is None:
        body = parse_body(NewEnvironment, call.body)
        assert isinstance(body, NewEnvironment)
        if call.query.description or call.query.note:
            raise ParameterInvalid(
                "'description' and 'note' go with 'name', where the body is a file"
            )
        return await _made(call, await _create(call, body.name, body.description), None)
    await require_readable(call.request, call.body)
    environment, version = await call.catalog.environments.create_from(
        call.actor,
        call.field("namespace"),
        call.query.name,
        call.body,
        description=call.query.description,
        note=call.query.note,
    )
    return await _made(call, environment, version)


async def get_environment(call: Call[EnvironmentQuery, NoBody]) -> ASGIApp:
    """Tell of an environment; with ``?details`` also how it is doing."""
    environment = await call.catalog.environments.get(*call.place)
    document = await _document(call, environment)
    if is_on(call.query.details):
        document["details"] = (await details_of(call, [environment]))[environment.id]
    return revised(200, document, environment.revision)


async def patch_environment(call: Call[NoQuery, EnvironmentChange]) -> ASGIApp:
    """Change an environment: its name, with its address, description or test, or archive it."""
    environment = await call.catalog.environments.update(
        call.actor,
        *call.place,
        revision=expected_revision(call.request),
        name=call.body.name,
        description=call.body.description,
        test_command=call.body.test_command,
        archived=call.body.archived,
    )
    return await _told(call, environment)


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
    return await _told(call, environment)


async def post_move(call: Call[NoQuery, Target]) -> ASGIApp:
    """Move an environment with all its versions to another namespace or name."""
    namespace, name = await _target(call)
    if namespace != call.field("namespace"):
        await _require_allowed(call, namespace, name)
    environment = await call.catalog.environments.move(call.actor, *call.place, namespace, name)
    return await _told(call, environment)


async def post_copy(call: Call[NoQuery, Target]) -> ASGIApp:
    """Make a new environment whose first version is the active one of this."""
    namespace, name = await _target(call)
    await _require_allowed(call, namespace, name)
    environment = await call.catalog.environments.copy(call.actor, *call.place, namespace, name)
    return await _told(call, environment, 201)


async def _require_allowed(call: Call[NoQuery, Target], namespace: str, name: str) -> None:
    """Return if what is active in an environment may be had where it is to be.

    One that is blocked may be taken along: nobody gets it there either.

    Raises:
        PolicyRefused: A policy that holds there does not allow it.
    """
    builds = call.request.state["services"].builds
    environment = await call.catalog.environments.get(*call.place)
    rules = call.catalog.book.rules(namespace, environment_slug(name))
    if environment.active is None or not rules:
        return
    version = await call.catalog.versions.get(*call.place, environment.active)
    if version.key is not None and await builds.locked.blocked.sentence(version.key) is None:
        await builds.judge.hold(await builds.locked.lock(version.key), rules)


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
        "is_open": call.rights.is_open(*place),
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
    deleted: bool | Literal["only"] = False,
) -> ASGIApp:
    query = call.query
    page = await call.catalog.environments.search(
        call.visible,
        namespace=namespace,
        search=query.search,
        package=query.package,
        version=query.version,
        within=call.rights.own() if is_on(query.mine) else None,
        is_building=is_on(query.building),
        include_deleted=deleted,
        after=query.after,
        limit=query.limit,
    )
    details = await details_of(call, page.items) if is_on(query.details) else {}
    documents = await _documents(call, page.items)

    def document(one: Environment) -> EnvironmentDocument:
        found = documents[one.id]
        if one.id in details:
            found["details"] = details[one.id]
        return found

    return page_answer(call, page, document)


async def _documents(
    call: Call[Any, Any], environments: Sequence[Environment]
) -> Mapping[int, EnvironmentDocument]:
    """Return what is told of environments, by their ids; the database is asked once for all."""
    host = pull_host(call.request)
    proposals = await call.catalog.proposals.open_of([one.id for one in environments])
    managed = await call.catalog.managements.of(environments)
    return {
        one.id: environment_document(
            one, host, proposal=proposals.get(one.id), managed=_seen(call, one, managed)
        )
        for one in environments
    }


def _seen(
    call: Call[Any, Any], environment: Environment, managed: Mapping[int, Management]
) -> Management | None:
    """Return what is told of the file that defines an environment, to whoever asks."""
    found = managed.get(environment.id)
    if found is None or not found.is_of_source:
        return found
    if call.rights.has_role("viewer", environment.namespace):
        return found
    return replace(found, problem=f"the source '{found.source}' cannot be looked at")


async def _document(call: Call[Any, Any], environment: Environment) -> EnvironmentDocument:
    return (await _documents(call, [environment]))[environment.id]


async def _target(call: Call[NoQuery, Target]) -> tuple[str, str]:
    """Return where to: what is not said is as it is."""
    namespace = call.body.namespace or call.field("namespace")
    name = call.body.name
    return namespace, name or (await call.catalog.environments.get(*call.place)).name


async def _told(
    call: Call[NoQuery, NoBody] | Call[NoQuery, EnvironmentChange] | Call[NoQuery, Target],
    environment: Environment,
    status: int = 200,
) -> ASGIApp:
    document = await _document(call, environment)
    return revised(status, document, environment.revision)


async def _made(
    call: Call[NewEnvironmentQuery, bytes], environment: Environment, version: Version | None
) -> ASGIApp:
    host = pull_host(call.request)
    document: NewEnvironmentDocument = {
        **await _document(call, environment),
        "version": None
        if version is None
        else version_document(version, environment.namespace, environment.slug, host),
    }
    return revised(201, document, environment.revision)
