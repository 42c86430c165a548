"""Who may do what in a namespace, and why."""

from bisect import bisect_right
from typing import Annotated, Literal

from pydantic import Field
from starlette.types import ASGIApp
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.auth.known_grants import told
from registry.auth.members import Member, Members, Reason, SharedRole
from registry.auth.roles import Role
from registry.catalog.lookup import cursor, page_after
from registry.catalog.records import SubjectKind
from registry.web.api.answers import answer
from registry.web.api.catalog_documents import Links, Moment, namespace_path, time_or_none
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NoQuery, PageQuery

Glob = Annotated[str, Field(description="of environments: `*` stands for any characters")]


class NamespaceAccessDocument(TypedDict):
    """What whoever asks may do in a namespace, and why."""

    namespace: str
    user: str | None
    role: Annotated[Role | None, Field(description="in all of it; null: in parts of it alone")]
    may: dict[str, bool]
    reasons: list[str]


class RoleReasonDocument(TypedDict):
    """Where a role comes from."""

    role: Role
    environment: Glob
    kind: Annotated[
        Literal["grant", "group", "owner", "file"],
        Field(description="`owner`: by owning the namespace; `file`: by the auth file"),
    ]
    sentence: str
    grant: Annotated[int | None, Field(description="the number of what gives it")]
    is_wide: Annotated[bool, Field(description="whether it is given for other namespaces, too")]
    expires_at: Moment | None


class RolePartDocument(TypedDict):
    """A role on a part of a namespace."""

    environment: Glob
    role: Role


class NamespaceMemberDocument(TypedDict):
    """Somebody who may do something in a namespace."""

    name: str
    role: Annotated[Role | None, Field(description="in all of it; null: in parts alone, or none")]
    parts: Annotated[
        list[RolePartDocument], Field(description="where the role is higher than that")
    ]
    is_refused: Annotated[bool, Field(description="whether they are refused at every door")]
    reasons: Annotated[list[RoleReasonDocument] | None, Field(description="for admins")]


class SharedRoleDocument(TypedDict):
    """A role that was given to many: to a group, to whoever has logged in, or to everyone."""

    subject_kind: SubjectKind
    subject: Annotated[str | None, Field(description="the group")]
    role: Role
    environment: Glob
    members: Annotated[int | None, Field(description="how many are in the group")]
    reason: RoleReasonDocument | None


class NamespaceMembersDocument(TypedDict):
    """Who may do what in a namespace: those who were given a role, a part of them by name.

    Administrators and auditors of the service are none by that.
    """

    namespace: str
    owner: str | None
    shared: Annotated[list[SharedRoleDocument], Field(description="what was given to many")]
    items: list[NamespaceMemberDocument]
    next: str | None
    links: Links


async def get_namespace_access(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell what you may do in a namespace, and why."""
    slug, rights = call.field("namespace"), call.rights
    namespace = await call.catalog.namespaces.get(slug)
    document: NamespaceAccessDocument = {
        "namespace": namespace.slug,
        "user": rights.name,
        "role": rights.role(slug),
        "may": {
            "see all of it": rights.has_role("viewer", slug),
            "make environments": rights.has_role("editor", slug),
            "give roles, change it": rights.has_role("admin", slug),
            "give it away": rights.has_role("owner", slug),
        },
        "reasons": rights.why(slug, None),
    }
    return answer(200, document)


async def get_namespace_members(call: Call[PageQuery, NoBody]) -> ASGIApp:
    """List who may do what in a namespace by name; its admins are also told why."""
    call.rights.require_login()  # names of people are nothing for strangers, whatever is public
    slug = call.field("namespace")
    namespace = await call.catalog.namespaces.get(slug)
    members, is_whole = Members(call.rights.access), call.rights.has_role("admin", slug)
    names = members.names(slug)
    begin = bisect_right(names, page_after(call.query.after))
    page = names[begin : begin + call.query.limit]
    here = namespace_path(slug)
    document: NamespaceMembersDocument = {
        "namespace": slug,
        "owner": namespace.owner,
        "shared": [_shared(one, is_whole=is_whole) for one in members.shared(slug)],
        "items": [_member(members.get(slug, name), is_whole=is_whole) for name in page],
        "next": cursor(page[-1]) if begin + len(page) < len(names) else None,
        "links": {"self": f"{here}/members", "namespace": here, "grants": f"{here}/grants"},
    }
    return answer(200, document)


def _member(member: Member, *, is_whole: bool) -> NamespaceMemberDocument:
    return {
        "name": member.name,
        "role": member.role,
        "parts": [{"environment": one.environment, "role": one.role} for one in member.parts],
        "is_refused": member.is_refused,
        "reasons": [_reason(one) for one in member.reasons] if is_whole else None,
    }


def _shared(given: SharedRole, *, is_whole: bool) -> SharedRoleDocument:
    grant = given.grant
    reason = Reason(given.role, grant.environment_glob, "grant", told(grant), grant)
    return {
        "subject_kind": grant.subject_kind,
        "subject": grant.subject,
        "role": given.role,
        "environment": grant.environment_glob,
        "members": given.members,
        "reason": _reason(reason) if is_whole else None,
    }


def _reason(reason: Reason) -> RoleReasonDocument:
    grant = reason.grant
    return {
        "role": reason.role,
        "environment": reason.environment,
        "kind": reason.kind,
        "sentence": reason.sentence,
        "grant": grant.id if grant is not None else None,
        "is_wide": grant is not None and "*" in grant.namespace_glob,
        "expires_at": time_or_none(grant.expires_at) if grant is not None else None,
    }
