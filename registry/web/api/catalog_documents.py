"""What the catalog's addresses answer, as JSON.

The types are the schemas of the OpenAPI document.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # (pydantic wants this one)
    cast,
)

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.lock import Told
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
from registry.catalog.source_records import Edits, Management
from registry.catalog.told import policies_told
from registry.catalog.waiver_rows import refusal_of
from registry.web.api.documents import PREFIX
from registry.web.api.errors import RefusalDocument, refusal_document

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


class NewestVersion(TypedDict):
    """The newest version of an environment, in short."""

    number: int
    state: State
    percent: Annotated[int | None, Field(description="how far it is; null: it has ended")]
    message: Annotated[str, Field(description="the first line of why it failed, or is unchanged")]
    requested_by: str | None
    created_at: Moment
    ended_at: Moment | None


class EnvironmentDetails(TypedDict):
    """What lists show of an environment beside what it is."""

    versions: Annotated[int, Field(description="how many there were, which is the newest's number")]
    newest: Annotated[NewestVersion | None, Field(description="null: there is no version yet")]
    active_since: Annotated[Moment | None, Field(description="null: none is active")]
    packages: Annotated[
        int | None, Field(description="of the active version, on the platform with most")
    ]
    platforms: Annotated[list[str], Field(description="of the active version")]
    size_bytes: Annotated[
        int | None, Field(description="of the active version's image; null: it is not known")
    ]
    last_used_at: Annotated[Moment | None, Field(description="when it was pulled last, if it was")]
    findings: Annotated[int, Field(description="what policies have against the active version")]
    blocked: Annotated[
        str | None, Field(description="why nobody may have the active version; null: one may")
    ]


class ManagedDocument(TypedDict):
    """The file that defines an environment."""

    source: Annotated[str, Field(description="the name of the source that has it")]
    source_id: int
    path: Annotated[str, Field(description="of the file, in the source")]
    problem: Annotated[
        str | None, Field(description="why the file, or its source, cannot be used; null: it can")
    ]
    edits: Annotated[Edits, Field(description="what becomes of a text that is sent here")]


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
    test_command: Annotated[
        str, Field(description="what its proposals have to pass, for a shell; empty: nothing")
    ]
    proposal: Annotated[int | None, Field(description="the number of the one that is open")]
    managed: Annotated[
        ManagedDocument | None,
        Field(description="the file that defines it; null: it is edited here"),
    ]
    archived_at: Annotated[
        Moment | None, Field(description="from then on it takes no new version; null: it does")
    ]
    details: NotRequired[Annotated[EnvironmentDetails, Field(description="with `details`")]]
    links: Links


class PolicyDocument(TypedDict):
    """What policies did, by one sentence for each thing."""

    added: Annotated[list[str], Field(description="packages that nobody has asked for")]
    left_out: Annotated[list[str], Field(description="packages of which others were taken")]
    warnings: Annotated[list[str], Field(description="what a policy that only warns finds")]


class VersionDocument(TypedDict):
    """The n-th build of an environment."""

    number: int
    environment: str
    state: State
    key: Annotated[str | None, Field(description="of the build")]
    image: Annotated[str | None, Field(description="what it is pulled by; null until it is built")]
    message: Annotated[str, Field(description="one sentence on why it failed, or is unchanged")]
    refusal: Annotated[
        RefusalDocument | None, Field(description="what a policy refused; null: none did")
    ]
    blocked: Annotated[
        str | None, Field(description="why nobody may have its build; null: one may")
    ]
    policy: Annotated[PolicyDocument, Field(description="what policies did to it")]
    reason: Reason
    note: str
    requested_by: str | None
    specification_sha256: str
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    freed_at: Annotated[
        Moment | None,
        Field(description="its files are gone since, and made again when it is pulled"),
    ]
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


class AuditEventDocument(EventDocument):
    """Something that happened, with all that is known of it."""

    via: Annotated[
        str,
        Field(description="`api`, `cli`, `registry`, `login` or `service`; empty: not known"),
    ]


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
    is_open: Annotated[bool, Field(description="whether nobody has to log in to pull it")]


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


class AuditPage(TypedDict):
    """A part of the audit log, the newest first; it may be empty although `next` goes on."""

    items: list[AuditEventDocument]
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
        "created_at": time_text(namespace.created_at),
        "links": {
            "self": here,
            "environments": f"{here}/environments",
            "grants": f"{here}/grants",
            "events": f"{here}/events",
        },
    }


def environment_document(
    environment: Environment,
    host: str,
    *,
    proposal: int | None = None,
    managed: Management | None = None,
) -> EnvironmentDocument:
    """Return what is told of an environment.

    Args:
        environment: Of which.
        host: The host, with its port, from which its images are pulled.
        proposal: The number of its open proposal; ``None``: none is.
        managed: The file that defines it; ``None``: none does.
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
        "created_at": time_text(environment.created_at),
        "updated_at": time_text(environment.updated_at),
        "deleted_at": time_or_none(environment.deleted_at),
        "test_command": environment.test_command,
        "proposal": proposal,
        "managed": None if managed is None else managed_document(managed),
        "archived_at": time_or_none(environment.archived_at),
        "links": {
            "self": here,
            "versions": f"{here}/versions",
            "active": f"{here}/active",
            "events": f"{here}/events",
            "access": f"{here}/access",
        },
    }


def managed_document(managed: Management) -> ManagedDocument:
    """Return what is told of the file that defines an environment."""
    return {
        "source": managed.source,
        "source_id": managed.source_id,
        "path": managed.path,
        "problem": managed.problem or None,
        "edits": managed.edits,
    }


def policy_document(told: Told) -> PolicyDocument:
    """Return what is told of what policies did."""
    return {
        "added": list(told.added),
        "left_out": list(told.left_out),
        "warnings": list(told.warnings),
    }


def version_document(
    version: Version, namespace: str, slug: str, host: str, blocked: str | None = None
) -> VersionDocument:
    """Return what is told of a version.

    Args:
        version: Which.
        namespace: The slug of its environment's namespace.
        slug: Its environment's.
        host: What images are pulled from.
        blocked: Why nobody may have its build; ``None``: one may.
    """
    here = version_path(namespace, slug, version.number)
    links = {
        "self": here,
        "environment": environment_path(namespace, slug),
        "specification": f"{here}/specification",
        "log": f"{here}/log",
    }
    if not version.has_ended:
        links["cancel"] = f"{here}/cancel"
    refusal = refusal_of(version.told)
    if refusal is not None and refusal.packages:
        links["waivers"] = f"{PREFIX}/waivers"
    return {
        "number": version.number,
        "environment": f"{namespace}/{slug}",
        "state": version.state,
        "key": version.key,
        "image": f"{host}/{namespace}/{slug}:v{version.number}"
        if version.state == "built"
        else None,
        "message": version.message,
        "refusal": None if refusal is None else refusal_document(refusal),
        "blocked": blocked,
        "policy": policy_document(policies_told(version.told)),
        "reason": version.reason,
        "note": version.note,
        "requested_by": version.requested_by,
        "specification_sha256": version.specification,
        "created_at": time_text(version.created_at),
        "started_at": time_or_none(version.started_at),
        "ended_at": time_or_none(version.ended_at),
        "freed_at": time_or_none(version.freed_at),
        "links": links,
    }


def event_document(event: Event, *, is_whole: bool) -> EventDocument:
    """Return what is told of an event.

    Args:
        event: Which.
        is_whole: Whether also from where it was done, by which token, who was given which role, and
            why somebody asks for a waiver: what admins of the namespace may know.
    """
    is_told = is_whole or not event.action.startswith(("grant.", "waiver."))
    detail: Mapping[str, Any] = event.detail if is_told else {}
    return {
        "id": event.id,
        "at": time_text(event.at),
        "action": event.action,
        "actor": event.actor,
        "token": event.token if is_whole else None,
        "address": event.address if is_whole else None,
        "namespace": event.namespace,
        "environment": event.environment,
        "version": event.number,
        "detail": dict(detail),
    }


def audit_document(event: Event) -> AuditEventDocument:
    """Return all that is known of an event."""
    return {**event_document(event, is_whole=True), "via": event.via}


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
        "created_at": time_text(grant.created_at),
        "expires_at": time_or_none(grant.expires_at),
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
        "created_at": time_text(token.created_at),
        "expires_at": time_or_none(token.expires_at),
        "last_used_at": time_or_none(token.last_used_at),
        "revoked_at": time_or_none(token.revoked_at),
        "links": {"self": f"{PREFIX}/tokens/{token.id}"},
    }


def time_text(moment: datetime) -> str:
    """Return a moment as the API writes it: in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def time_or_none(moment: datetime | None) -> str | None:
    """Return a moment as the API writes it, if there is one."""
    return time_text(moment) if moment is not None else None
