"""Namespaces, and the roles that are given in them."""

from collections.abc import Sequence

from starlette.types import ASGIApp

from registry.catalog.records import GrantRecord, SubjectKind
from registry.catalog.slugs import slug_of
from registry.errors import CatalogNameTaken
from registry.web.api.answers import (
    answer,
    expected_revision,
    page_answer,
    revised,
)
from registry.web.api.catalog_documents import grant_document, namespace_document
from registry.web.api.endpoints import Call, Further, NeedServiceRole, NewNamespaceThere, RoleThere
from registry.web.api.models import (
    GrantsQuery,
    NamespaceChange,
    NamespacesQuery,
    NewGrant,
    NewNamespace,
    NewServiceGrant,
    NoBody,
    NoQuery,
    NumberPageQuery,
    is_on,
)
from registry.web.asgi.responses import BytesResponse


async def get_namespaces(call: Call[NamespacesQuery, NoBody]) -> ASGIApp:
    """List the namespaces that you may see, by name."""
    page = await call.catalog.namespaces.list(
        call.visible,
        search=call.query.search,
        within=call.rights.own() if is_on(call.query.mine) else None,
        after=call.query.after,
        limit=call.query.limit,
    )
    return page_answer(call, page, namespace_document)


async def post_namespace(call: Call[NoQuery, NewNamespace]) -> ASGIApp:
    """Make a namespace: that of your own name, or as an administrator any."""
    namespace = await call.catalog.namespaces.create(
        call.actor,
        call.body.name,
        description=call.body.description,
        owner=call.body.owner or call.rights.require_login(),
    )
    return revised(201, namespace_document(namespace), namespace.revision)


async def needs_of_new_namespace(call: Call[NoQuery, NewNamespace]) -> Sequence[Further]:
    """Return what making a namespace needs beside; for somebody else, an administrator."""
    needs: list[Further] = await _needs_of_name(call, slug_of(call.body.name))
    if call.body.owner not in {None, call.rights.name}:
        needs.append(NeedServiceRole("administrator"))
    return needs


async def _needs_of_name(
    call: Call[NoQuery, NewNamespace] | Call[NoQuery, NamespaceChange], slug: str
) -> list[Further]:
    """Return what having a namespace of that slug needs.

    Raises:
        CatalogNameTaken: Somebody else is called so in addresses, and may have it or had it.
    """
    is_twin = call.rights.owns_name(slug) and slug != call.rights.name
    if is_twin and call.rights.service_role != "administrator":
        owner = await call.catalog.namespaces.former_owner(slug)
        if call.rights.is_user(slug):
            owner = slug
        if owner not in {None, call.rights.name}:
            raise CatalogNameTaken(
                f"'{slug}' is the namespace of somebody else, whose name is written the same in"
                " addresses: ask an administrator of the service for another one"
            )
    return [NewNamespaceThere(slug)]


async def get_namespace(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a namespace."""
    namespace = await call.catalog.namespaces.get(call.field("namespace"))
    return revised(200, namespace_document(namespace), namespace.revision)


async def patch_namespace(call: Call[NoQuery, NamespaceChange]) -> ASGIApp:
    """Change a namespace: its name, with all addresses in it, its description, its owner."""
    namespace = await call.catalog.namespaces.update(
        call.actor,
        call.field("namespace"),
        revision=expected_revision(call.request),
        name=call.body.name,
        description=call.body.description,
        owner=call.body.owner,
    )
    return revised(200, namespace_document(namespace), namespace.revision)


async def needs_of_namespace_change(call: Call[NoQuery, NamespaceChange]) -> Sequence[Further]:
    """Return what changing a namespace needs beside: it is given away by its owner alone."""
    slug = call.field("namespace")
    needs: list[Further] = []
    if call.body.owner is not None:
        needs.append(RoleThere("owner", slug))
    if call.body.name is not None and slug_of(call.body.name) != slug:
        needs += await _needs_of_name(call, slug_of(call.body.name))
    return needs


async def delete_namespace(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete a namespace with all that is in it; it can be restored."""
    await call.catalog.namespaces.delete(
        call.actor, call.field("namespace"), revision=expected_revision(call.request)
    )
    return BytesResponse(204, [])


async def post_namespace_restore(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Restore the namespace of that name deleted last, with what was deleted with it."""
    namespace = await call.catalog.namespaces.restore(call.actor, call.field("namespace"))
    return revised(200, namespace_document(namespace), namespace.revision)


async def needs_of_restored_namespace(call: Call[NoQuery, NoBody]) -> Sequence[Further]:
    """Return what restoring needs: its owner does it, for nobody has a role in what is deleted."""
    owner = await call.catalog.namespaces.former_owner(call.field("namespace"))
    is_owner = owner is not None and owner == call.rights.name and not call.rights.is_limited
    return [] if is_owner else [NeedServiceRole("administrator")]


async def get_grants(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """List the roles that hold in a namespace, those given for more than it too."""
    page = await call.catalog.grants.list(
        call.field("namespace"), after=call.query.number, limit=call.query.limit
    )
    return page_answer(call, page, grant_document)


async def post_grant(call: Call[NoQuery, NewGrant]) -> ASGIApp:
    """Give a role in a namespace; one given to the same for the same environments is replaced."""
    slug = call.field("namespace")

    def on_replace(replaced: GrantRecord) -> None:
        if replaced.role == "owner":
            call.rights.require_role("owner", slug)

    grant = await call.catalog.grants.give(
        call.actor,
        subject_kind=call.body.subject_kind,
        subject=call.body.subject,
        namespace_glob=slug,
        environment_glob=call.body.environment,
        role=call.body.role,
        expires_at=call.body.expires_at,
        is_inside=True,
        on_replace=on_replace,
    )
    return answer(201, grant_document(grant))


async def needs_of_new_grant(call: Call[NoQuery, NewGrant]) -> Sequence[Further]:
    """Return what giving a role needs beside: admins make no owners."""
    return [RoleThere("owner", call.field("namespace"))] if call.body.role == "owner" else []


async def get_grant(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a role that was given."""
    return answer(200, grant_document(await _grant(call)))


async def delete_grant(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Take a role back."""
    await call.catalog.grants.take(call.actor, (await _grant(call)).id)
    return BytesResponse(204, [])


async def needs_of_taken_grant(call: Call[NoQuery, NoBody]) -> Sequence[Further]:
    """Return what taking a role needs beside, by what it is and how far it reaches."""
    grant, slug = await _grant(call), call.field("namespace")
    if grant.namespace_glob != slug or grant.source == "owner":
        return [NeedServiceRole("administrator")]
    return [RoleThere("owner", slug)] if grant.role == "owner" else []


async def get_service_grants(call: Call[GrantsQuery, NoBody]) -> ASGIApp:
    """List all roles that were given, or those of a role, a user or a group."""
    query = call.query
    subjects: dict[SubjectKind, list[str]] = {}
    if query.user is not None:
        subjects["user"] = [query.user]
    if query.group is not None:
        subjects["group"] = [query.group]
    page = await call.catalog.grants.list(
        subjects=subjects or None, role=query.role, after=query.number, limit=query.limit
    )
    return page_answer(call, page, grant_document)


async def post_service_grant(call: Call[NoQuery, NewServiceGrant]) -> ASGIApp:
    """Give a role anywhere, or in the service."""
    grant = await call.catalog.grants.give(
        call.actor,
        subject_kind=call.body.subject_kind,
        subject=call.body.subject,
        namespace_glob=call.body.namespace,
        environment_glob=call.body.environment,
        role=call.body.role,
        expires_at=call.body.expires_at,
    )
    return answer(201, grant_document(grant))


async def get_service_grant(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a role that was given."""
    return answer(200, grant_document(await call.catalog.grants.get(call.number("id"))))


async def delete_service_grant(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Take a role back."""
    await call.catalog.grants.take(call.actor, call.number("id"))
    return BytesResponse(204, [])


async def _grant(call: Call[NoQuery, NoBody]) -> GrantRecord:
    """Return the grant of the address, if it holds in its namespace.

    Raises:
        GrantUnknown: There is none.
    """
    return await call.catalog.grants.get(call.number("id"), call.field("namespace"))
