"""What the catalog's addresses answer, as JSON.

The types are the schemas of the OpenAPI document.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.auth.roles import Role, ServiceRole
from registry.catalog.records import (
    Environment,
    Event,
    GrantRecord,
    Namespace,
    Reason,
    State,
    SubjectKind,
    TokenInfo,
    TokenKind,
    Version,
)
from registry.web.api.documents import PREFIX

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Links = dict[str, str]


class NamespaceDocument(TypedDict):
    """What a person or a team owns."""

    name: str
    slug: str
    description: str
    owner: str | None
    revision: int
    created_at: Moment
    links: Links


class EnvironmentDocument(TypedDict):
    """A named thing in a namespace, with numbered versions of which one is active."""

    path: str
    namespace: str
    name: str
    slug: str
    description: str
    active: Annotated[int | None, Field(description="the number of the active version")]
    image: Annotated[str, Field(description="what it is pulled by")]
    revision: int
    created_by: str | None
    created_at: Moment
    updated_at: Moment
    deleted_at: Moment | None
    links: Links


class VersionDocument(TypedDict):
    """The n-th build of an environment."""

    number: int
    environment: str
    state: State
    key: Annotated[str | None, Field(description="of the build")]
    image: Annotated[str | None, Field(description="what it is pulled by; null until it is built")]
    message: Annotated[str, Field(description="one sentence on why it failed, or is unchanged")]
    reason: Reason
    note: str
    requested_by: str | None
    specification_sha256: str
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    links: Links


class NewEnvironmentDocument(EnvironmentDocument):
    """A new environment, with its first version if a file was sent."""

    version: VersionDocument | None


class EventDocument(TypedDict):
    """Something that happened."""

    id: int
    at: Moment
    action: str
    actor: Annotated[str | None, Field(description="null: the service itself")]
    token: Annotated[int | None, Field(description="that was used; for admins alone")]
    address: Annotated[str | None, Field(description="it came from; for admins alone")]
    namespace: str | None
    environment: str | None
    version: int | None
    detail: dict[str, Any]


class GrantDocument(TypedDict):
    """A role that somebody gave."""

    id: int
    subject_kind: SubjectKind
    subject: str | None
    namespace: str
    environment: str
    role: Role | ServiceRole
    source: str
    granted_by: str | None
    created_at: Moment
    expires_at: Moment | None


class TokenDocument(TypedDict):
    """What a program logs in with, without its secret."""

    id: int
    user: str
    name: str
    kind: TokenKind
    hint: Annotated[str, Field(description="the last characters of the secret")]
    scopes: list[str] | None
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None
    revoked_at: Moment | None
    links: Links


class NewTokenDocument(TokenDocument):
    """A new token, with its secret, which is not told again."""

    secret: str


class UserDocument(TypedDict):
    """Whoever asks."""

    name: str
    display_name: str
    email: str
    kind: Literal["human", "robot"]
    groups: list[str]
    service_role: ServiceRole | None
    token: Annotated[int | None, Field(description="the number of the token that was sent")]
    links: Links


class AccessDocument(TypedDict):
    """What whoever asks may do with an environment, and why."""

    environment: str
    user: str | None
    role: Role | None
    may: dict[str, bool]
    reasons: list[str]


class NamespacePage(TypedDict):
    """A part of a list."""

    items: list[NamespaceDocument]
    next: str | None


class EnvironmentPage(TypedDict):
    """A part of a list."""

    items: list[EnvironmentDocument]
    next: str | None


class VersionPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[VersionDocument]
    next: str | None


class EventPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[EventDocument]
    next: str | None


class GrantPage(TypedDict):
    """A part of a list."""

    items: list[GrantDocument]
    next: str | None


class TokenPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[TokenDocument]
    next: str | None


def namespace_path(slug: str) -> str:
    """Return the address of a namespace."""
    return f"{PREFIX}/namespaces/{slug}"


def environment_path(namespace: str, slug: str) -> str:
    """Return the address of an environment."""
    return f"{PREFIX}/namespaces/{namespace}/environments/{slug}"


def version_path(namespace: str, slug: str, number: int) -> str:
    """Return the address of a version."""
    return f"{environment_path(namespace, slug)}/versions/{number}"


def namespace_document(namespace: Namespace) -> NamespaceDocument:
    """Return what is told of a namespace."""
    here = namespace_path(namespace.slug)
    return {
        "name": namespace.name,
        "slug": namespace.slug,
        "description": namespace.description,
        "owner": namespace.owner,
        "revision": namespace.revision,
        "created_at": _time(namespace.created_at),
        "links": {
            "self": here,
            "environments": f"{here}/environments",
            "grants": f"{here}/grants",
            "events": f"{here}/events",
        },
    }


def environment_document(environment: Environment, host: str) -> EnvironmentDocument:
    """Return what is told of an environment.

    Args:
        environment: Of which.
        host: The host, with its port, from which its images are pulled.
    """
    here = environment_path(environment.namespace, environment.slug)
    return {
        "path": environment.path,
        "namespace": environment.namespace,
        "name": environment.name,
        "slug": environment.slug,
        "description": environment.description,
        "active": environment.active,
        "image": f"{host}/{environment.path}",
        "revision": environment.revision,
        "created_by": environment.created_by,
        "created_at": _time(environment.created_at),
        "updated_at": _time(environment.updated_at),
        "deleted_at": _time_or_none(environment.deleted_at),
        "links": {
            "self": here,
            "versions": f"{here}/versions",
            "active": f"{here}/active",
            "events": f"{here}/events",
            "access": f"{here}/access",
        },
    }


def version_document(version: Version, namespace: str, slug: str, host: str) -> VersionDocument:
    """Return what is told of a version."""
    here = version_path(namespace, slug, version.number)
    links = {
        "self": here,
        "environment": environment_path(namespace, slug),
        "specification": f"{here}/specification",
        "log": f"{here}/log",
    }
    if not version.has_ended:
        links["cancel"] = f"{here}/cancel"
    return {
        "number": version.number,
        "environment": f"{namespace}/{slug}",
        "state": version.state,
        "key": version.key,
        "image": f"{host}/{namespace}/{slug}:v{version.number}"
        if version.state == "built"
        else None,
        "message": version.message,
        "reason": version.reason,
        "note": version.note,
        "requested_by": version.requested_by,
        "specification_sha256": version.specification,
        "created_at": _time(version.created_at),
        "started_at": _time_or_none(version.started_at),
        "ended_at": _time_or_none(version.ended_at),
        "links": links,
    }


def event_document(event: Event, *, is_whole: bool) -> EventDocument:
    """Return what is told of an event.

    Args:
        event: Which.
        is_whole: Whether also from where it was done, by which token, and who was given which role:
            what admins of the namespace may know.
    """
    is_told = is_whole or not event.action.startswith("grant.")
    detail: Mapping[str, Any] = event.detail if is_told else {}
    return {
        "id": event.id,
        "at": _time(event.at),
        "action": event.action,
        "actor": event.actor,
        "token": event.token if is_whole else None,
        "address": event.address if is_whole else None,
        "namespace": event.namespace,
        "environment": event.environment,
        "version": event.number,
        "detail": dict(detail),
    }


def grant_document(grant: GrantRecord) -> GrantDocument:
    """Return what is told of a grant."""
    return {
        "id": grant.id,
        "subject_kind": grant.subject_kind,
        "subject": grant.subject,
        "namespace": grant.namespace_glob,
        "environment": grant.environment_glob,
        "role": cast("Role | ServiceRole", grant.role),
        "source": grant.source,
        "granted_by": grant.granted_by,
        "created_at": _time(grant.created_at),
        "expires_at": _time_or_none(grant.expires_at),
    }


def token_document(token: TokenInfo) -> TokenDocument:
    """Return what is told of a token."""
    return {
        "id": token.id,
        "user": token.principal,
        "name": token.name,
        "kind": token.kind,
        "hint": token.hint,
        "scopes": list(token.scopes) if token.scopes is not None else None,
        "created_at": _time(token.created_at),
        "expires_at": _time_or_none(token.expires_at),
        "last_used_at": _time_or_none(token.last_used_at),
        "revoked_at": _time_or_none(token.revoked_at),
        "links": {"self": f"{PREFIX}/tokens/{token.id}"},
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time_or_none(moment: datetime | None) -> str | None:
    return _time(moment) if moment is not None else None
