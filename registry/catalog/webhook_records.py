"""What the catalog tells of webhooks and deliveries: records, without their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Row

#: To whom: an address of HTTP, or of mail.
WebhookKind = Literal["webhook", "mail"]
#: What is sent: as the Standard Webhooks say, or one sentence for a chat service.
WebhookFormat = Literal["standard", "chat"]
#: ``stopped``: by the service, and ``disabled`` by people.
WebhookState = Literal["active", "failing", "stopped", "disabled"]
DeliveryState = Literal["waiting", "delivered", "failed"]

#: What people want to read of, if they do not say what.
FOR_PEOPLE: Final = (
    *("version.failed", "version.activated", "environment.deleted", "namespace.deleted"),
    *("proposal.opened", "proposal.tested", "proposal.rejected"),
    *("waiver.*", "finding.found", "source.failed", "source.recovered", "webhook.stopped"),
)


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """Whom events are sent to."""

    id: int
    #: The slug of the namespace whose events they are; ``None``: of everything.
    namespace: str | None
    environment_glob: str
    kind: WebhookKind
    #: Perhaps with credentials: :func:`.webhook_addresses.shown_address` says what is shown of it.
    address: str = field(repr=False)
    format: WebhookFormat
    #: Globs on actions; ``None``: all.
    actions: tuple[str, ...] | None
    is_enabled: bool
    #: Why the service has stopped it; empty: it has not.
    problem: str
    #: How often the next event was tried, when it is tried again, and since when it fails.
    attempts: int
    next_at: datetime | None
    failing_since: datetime | None
    #: Until when what is sent is signed with the secret before, too.
    old_secret_until: datetime | None
    revision: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def state(self) -> WebhookState:
        """How it is doing."""
        if not self.is_enabled:
            return "stopped" if self.problem else "disabled"
        return "failing" if self.attempts else "active"


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What somebody wants events to be sent to."""

    address: str = field(repr=False)
    #: The slug; ``None``: everything's events.
    namespace: str | None = None
    environment_glob: str = "*"
    kind: WebhookKind = "webhook"
    format: WebhookFormat = "standard"
    #: ``None``: all, and those that people want to read of where people read.
    actions: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What is to be changed of a webhook; ``None``: nothing."""

    address: str | None = field(default=None, repr=False)
    environment_glob: str | None = None
    format: WebhookFormat | None = None
    #: Empty: all.
    actions: Sequence[str] | None = None
    is_enabled: bool | None = None
    #: Whether what waits is forgotten: it goes on with what happens from now on.
    skips: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """Something that was sent, or is to be sent once more."""

    id: int
    webhook: int
    event: int
    #: Of the event; ``None``: it is purged.
    action: str | None
    state: DeliveryState
    #: The first is 1; 0: somebody wanted it once more.
    attempt: int
    #: Of the answer; ``None``: there was none.
    status: int | None
    #: One sentence on a failure; empty otherwise.
    message: str
    #: The beginning of the answer.
    answer: str
    duration_ms: int | None
    created_at: datetime
    ended_at: datetime | None


def webhook_of(row: Row[Any]) -> WebhookRecord:
    """Return the record of a row that has the slug of its namespace."""
    return WebhookRecord(
        row.id,
        row.namespace,
        row.environment_glob,
        row.kind,
        row.url,
        row.format,
        tuple(row.actions) if row.actions is not None else None,
        bool(row.is_enabled),
        row.problem,
        row.attempts,
        row.next_at,
        row.failing_since,
        row.old_secret_until,
        row.revision,
        row.created_by,
        row.created_at,
        row.updated_at,
    )


def delivery_of(row: Row[Any]) -> DeliveryRecord:
    """Return the record of a row that has the action of its event."""
    return DeliveryRecord(
        row.id,
        row.webhook_id,
        row.event_id,
        row.action,
        row.state,
        row.attempt,
        row.status,
        row.message,
        row.answer,
        row.duration_ms,
        row.created_at,
        row.ended_at,
    )
