"""People, robots and groups, as administrators see and change them."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.types import ASGIApp

from registry.auth.roles import ServiceRole
from registry.catalog.groups import Member
from registry.catalog.people import Account
from registry.catalog.records import SubjectKind
from registry.errors import Denied
from registry.web.api.answers import answer, page_answer
from registry.web.api.endpoints import Call, Further, NeedWhole
from registry.web.api.models import (
    GroupsQuery,
    NoBody,
    NoQuery,
    NumberPageQuery,
    PageQuery,
    UserChange,
    UsersQuery,
    is_on,
)
from registry.web.api.people_documents import (
    AccountDocument,
    RolesDocument,
    account_document,
    group_document,
    member_document,
    role_document,
)
from registry.web.api.rights import Rights
from registry.web.asgi.responses import BytesResponse

#: What limited tokens do not do here.
_PEOPLE: Final = NeedWhole("changes nothing of people and groups")
_ROLES: Final = NeedWhole("reads nothing of all that its owner may")


async def needs_of_people_change(_call: object) -> Sequence[Further]:
    """Return what changing people and groups needs beside: no limited token."""
    return [_PEOPLE]


async def needs_of_own_roles(_call: object) -> Sequence[Further]:
    """Return what reading one's own roles needs beside: a limited token is told of no others."""
    return [_ROLES]


async def get_users(call: Call[UsersQuery, NoBody]) -> ASGIApp:
    """List people and robots by name, those of the auth file too."""
    disabled = call.query.disabled
    page = await call.catalog.people.list(
        search=call.query.search,
        kind=call.query.kind,
        is_disabled=is_on(disabled) if disabled is not None else None,
        after=call.query.after,
        limit=call.query.limit,
    )
    return page_answer(call, page, lambda one: _document(call.rights, one))


async def get_user(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a person or a robot."""
    account = await call.catalog.people.get(call.field("user"))
    return answer(200, _document(call.rights, account))


async def patch_user(call: Call[NoQuery, UserChange]) -> ASGIApp:
    """Refuse somebody at every door from now on, or let them in again; browsers are logged out."""
    name = call.field("user")
    if call.body.disabled and name == call.actor.name:
        raise Denied("nobody disables themselves: ask another administrator to")
    account = await call.catalog.people.set_disabled(
        call.actor, name, is_disabled=call.body.disabled, ends_tokens=call.body.end_tokens
    )
    return answer(200, _document(call.rights, account))


async def get_user_roles(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """Tell what somebody may do, and why: all roles that were given to them."""
    return await _roles(call, await call.catalog.people.get(call.field("user")))


async def get_own_roles(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """Tell what you may do, and why: all roles that were given to you."""
    name = call.rights.require_login()
    return await _roles(call, await call.catalog.people.find(name))


async def get_groups(call: Call[GroupsQuery, NoBody]) -> ASGIApp:
    """List groups by name."""
    page = await call.catalog.groups.list(
        search=call.query.search, after=call.query.after, limit=call.query.limit
    )
    return page_answer(call, page, group_document)


async def get_group(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a group."""
    return answer(200, group_document(await call.catalog.groups.get(call.field("group"))))


async def put_group(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Make a group, if there is none of that name."""
    group = await call.catalog.groups.create(call.actor, call.field("group"))
    return answer(200, group_document(group))


async def delete_group(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete a group that no roles were given to; nobody is in it any more."""
    await call.catalog.groups.delete(call.actor, call.field("group"))
    return BytesResponse(204, [])


async def get_members(call: Call[PageQuery, NoBody]) -> ASGIApp:
    """List who is in a group, by name."""
    page = await call.catalog.groups.members(
        call.field("group"), after=call.query.after, limit=call.query.limit
    )
    return page_answer(call, page, member_document)


async def put_member(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Put somebody into a group, which is made if there is none."""
    group, user = call.field("group"), call.field("user")
    source = await call.catalog.principals.add_member(call.actor, group, user)
    return answer(200, member_document(Member(user, source)))


async def delete_member(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Take somebody out of a group; who is in it at the provider comes back with their login."""
    await call.catalog.principals.remove_member(call.actor, call.field("group"), call.field("user"))
    return BytesResponse(204, [])


async def _roles(call: Call[NumberPageQuery, NoBody], account: Account) -> ASGIApp:
    groups = [one.group for one in account.groups]
    subjects: Mapping[SubjectKind, Sequence[str]] = {
        "user": [account.name],
        "group": groups,
        "authenticated": [""],
        "everyone": [""],
    }
    page = await call.catalog.grants.list(
        subjects=subjects, is_valid=True, after=call.query.number, limit=call.query.limit
    )
    document: RolesDocument = {
        "user": account.name,
        "service_role": _service_role(call.rights, account),
        "groups": groups,
        "rights": list(map(str, account.rights)),
        "items": [role_document(one) for one in page.items],
        "next": page.next,
    }
    return answer(200, document)


def _document(rights: Rights, account: Account) -> AccountDocument:
    return account_document(account, _service_role(rights, account))


def _service_role(rights: Rights, account: Account) -> ServiceRole | None:
    """Return what somebody is in the service, unless they are refused."""
    return rights.access.service_role(rights.access.named(account.name))
