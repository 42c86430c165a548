"""What is answered of people, groups, roles, logins of browsers and the queue, as JSON."""

from typing import Annotated, Literal, cast
from urllib.parse import quote

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.auth.known_grants import told
from registry.auth.roles import Role, ServiceRole
from registry.catalog.groups import Group, Member
from registry.catalog.people import Account
from registry.catalog.queue import QueuedVersion, ServerSign
from registry.catalog.records import GrantRecord, Reason, SubjectKind, TokenInfo
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    environment_path,
    time_or_none,
    time_text,
    version_path,
)
from registry.web.api.documents import PREFIX

GroupSource = Annotated[str, Field(description="`local`, or `oidc`: the provider says so")]


class MembershipDocument(TypedDict):
    """A group that somebody is in."""

    group: str
    source: GroupSource


class AccountDocument(TypedDict):
    """A person or a robot."""

    name: str
    kind: Literal["human", "robot"]
    display_name: str
    email: str
    source: Annotated[str, Field(description="`file`, `oidc` or `database`")]
    is_in_file: Annotated[bool, Field(description="whether the auth file has them")]
    rights: Annotated[list[str], Field(description="that the auth file gives them")]
    expires_at: Annotated[Moment | None, Field(description="in the auth file")]
    service_role: ServiceRole | None
    groups: list[MembershipDocument]
    disabled_at: Annotated[Moment | None, Field(description="they are refused since; null: no")]
    created_at: Annotated[Moment | None, Field(description="null: they never logged in")]
    last_seen_at: Annotated[
        Moment | None, Field(description="when they logged in with a browser last")
    ]
    links: Links


class AccountPage(TypedDict):
    """A part of a list, by name."""

    items: list[AccountDocument]
    next: str | None


class RoleDocument(TypedDict):
    """A role that somebody has, and where it comes from."""

    role: Role | ServiceRole
    namespace: Annotated[str, Field(description="`*` stands for any characters")]
    environment: Annotated[str, Field(description="`*` stands for any characters")]
    subject_kind: SubjectKind
    subject: Annotated[str | None, Field(description="the user or group that it was given to")]
    grant: Annotated[int, Field(description="its number")]
    granted_by: str | None
    created_at: Moment
    expires_at: Moment | None
    reason: Annotated[str, Field(description="where it comes from, in words")]


class RolesDocument(TypedDict):
    """What somebody may do, and why: a part of the roles, the oldest first."""

    user: str
    service_role: ServiceRole | None
    groups: list[str]
    rights: Annotated[list[str], Field(description="that the auth file gives them")]
    items: list[RoleDocument]
    next: str | None


class GroupDocument(TypedDict):
    """A group."""

    name: str
    source: GroupSource
    members: int
    grants: Annotated[int, Field(description="how many roles were given to it")]
    links: Links


class GroupPage(TypedDict):
    """A part of a list, by name."""

    items: list[GroupDocument]
    next: str | None


class MemberDocument(TypedDict):
    """Somebody in a group."""

    user: str
    source: GroupSource
    links: Links


class MemberPage(TypedDict):
    """A part of a list, by name."""

    items: list[MemberDocument]
    next: str | None


class SessionDocument(TypedDict):
    """A browser in which somebody has logged in."""

    id: int
    user: str
    created_at: Moment
    expires_at: Moment | None
    address: Annotated[str, Field(description="from where; empty: it is not known any more")]
    is_current: Annotated[bool, Field(description="whether the request came from it")]
    links: Links


class SessionPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[SessionDocument]
    next: str | None


class EndedSessionsDocument(TypedDict):
    """How many logins of browsers were ended."""

    user: str
    ended: int


class QueuedVersionDocument(TypedDict):
    """A version that is made, or waits."""

    environment: str
    number: int
    state: Literal["queued", "building"]
    reason: Reason
    requested_by: str | None
    created_at: Moment
    started_at: Moment | None
    server: Annotated[str | None, Field(description="that makes it")]
    trouble: Annotated[str, Field(description="why it does not go on as it should; or empty")]
    links: Links


class ServerDocument(TypedDict):
    """A server of this service."""

    name: str
    seen_at: Moment
    is_alive: bool


class TasksDocument(TypedDict):
    """What waits for workers: solving, packing, chores."""

    waiting: int
    oldest_seconds: float


class QueueDocument(TypedDict):
    """What is made and what waits, and by whom it is made: a part, the oldest first."""

    building: int
    queued: int
    stuck: Annotated[int, Field(description="of both: what takes longer than it should")]
    oldest_at: Annotated[Moment | None, Field(description="since when the oldest waits")]
    tasks: Annotated[
        TasksDocument | None, Field(description="null: servers have no workers, or none is known")
    ]
    servers: list[ServerDocument]
    items: list[QueuedVersionDocument]
    next: str | None


def user_path(name: str) -> str:
    """Return the address of a person or robot."""
    return f"{PREFIX}/users/{quote(name, safe='')}"


def group_path(name: str) -> str:
    """Return the address of a group."""
    return f"{PREFIX}/groups/{quote(name, safe='')}"


def account_document(account: Account, service_role: ServiceRole | None) -> AccountDocument:
    """Return what is told of a person or a robot.

    Args:
        account: Of whom.
        service_role: What they are in the service.
    """
    here, query = user_path(account.name), quote(account.name, safe="")
    return {
        "name": account.name,
        "kind": account.kind,
        "display_name": account.display_name,
        "email": account.email,
        "source": account.source,
        "is_in_file": account.is_in_file,
        "rights": list(map(str, account.rights)),
        "expires_at": time_or_none(account.expires_at),
        "service_role": service_role,
        "groups": [{"group": one.group, "source": one.source} for one in account.groups],
        "disabled_at": time_or_none(account.disabled_at),
        "created_at": time_or_none(account.created_at),
        "last_seen_at": time_or_none(account.last_seen_at),
        "links": {
            "self": here,
            "roles": f"{here}/roles",
            "tokens": f"{PREFIX}/tokens?user={query}",
            "sessions": f"{PREFIX}/sessions?user={query}",
        },
    }


def role_document(grant: GrantRecord) -> RoleDocument:
    """Return what is told of a role that somebody has."""
    return {
        "role": cast("Role | ServiceRole", grant.role),
        "namespace": grant.namespace_glob,
        "environment": grant.environment_glob,
        "subject_kind": grant.subject_kind,
        "subject": grant.subject,
        "grant": grant.id,
        "granted_by": grant.granted_by,
        "created_at": time_text(grant.created_at),
        "expires_at": time_or_none(grant.expires_at),
        "reason": told(grant),
    }


def group_document(group: Group) -> GroupDocument:
    """Return what is told of a group."""
    here = group_path(group.name)
    return {
        "name": group.name,
        "source": group.source,
        "members": group.members,
        "grants": group.grants,
        "links": {
            "self": here,
            "members": f"{here}/members",
            "grants": f"{PREFIX}/grants?group={quote(group.name, safe='')}",
        },
    }


def member_document(member: Member) -> MemberDocument:
    """Return what is told of somebody in a group."""
    return {
        "user": member.name,
        "source": member.source,
        "links": {"user": user_path(member.name)},
    }


def session_document(session: TokenInfo, address: str, current: int | None) -> SessionDocument:
    """Return what is told of a login of a browser.

    Args:
        session: Which.
        address: From where it was.
        current: The number of the one that asks; ``None``: none does.
    """
    return {
        "id": session.id,
        "user": session.principal,
        "created_at": time_text(session.created_at),
        "expires_at": time_or_none(session.expires_at),
        "address": address,
        "is_current": session.id == current,
        "links": {"self": f"{PREFIX}/sessions/{session.id}"},
    }


def queued_document(version: QueuedVersion) -> QueuedVersionDocument:
    """Return what is told of a version that is made, or waits."""
    here = version_path(version.namespace, version.environment, version.number)
    return {
        "environment": f"{version.namespace}/{version.environment}",
        "number": version.number,
        "state": "building" if version.state == "building" else "queued",
        "reason": version.reason,
        "requested_by": version.requested_by,
        "created_at": time_text(version.created_at),
        "started_at": time_or_none(version.started_at),
        "server": version.server,
        "trouble": version.trouble,
        "links": {
            "self": here,
            "environment": environment_path(version.namespace, version.environment),
            "log": f"{here}/log",
            "cancel": f"{here}/cancel",
        },
    }


def server_document(server: ServerSign) -> ServerDocument:
    """Return what is told of a server."""
    return {
        "name": server.name,
        "seen_at": time_text(server.seen_at),
        "is_alive": server.is_alive,
    }
