"""What addresses of webhooks answer, as JSON."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.catalog.webhook_addresses import shown_address
from registry.catalog.webhook_records import (
    DeliveryRecord,
    DeliveryState,
    WebhookFormat,
    WebhookKind,
    WebhookRecord,
    WebhookState,
)
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    namespace_path,
    time_or_none,
    time_text,
)
from registry.web.api.documents import PREFIX


class WebhookDocument(TypedDict):
    """Whom events are sent to."""

    id: int
    namespace: Annotated[str | None, Field(description="whose events; null: everybody's")]
    environment: Annotated[str, Field(description="a glob on the environments; `*`: all")]
    kind: WebhookKind
    url: Annotated[str, Field(description="the address, with `***` for what is secret in it")]
    format: WebhookFormat
    actions: Annotated[list[str] | None, Field(description="globs on actions; null: all")]
    enabled: bool
    state: WebhookState
    problem: Annotated[str, Field(description="why the service has stopped it; or empty")]
    attempts: Annotated[int, Field(description="how often the next event was tried in vain")]
    failing_since: Moment | None
    next_at: Annotated[Moment | None, Field(description="when it is tried again")]
    old_secret_until: Annotated[
        Moment | None, Field(description="until when the secret before signs, too")
    ]
    revision: int
    created_by: str | None
    created_at: Moment
    updated_at: Moment
    links: Links


class NewWebhookDocument(WebhookDocument):
    """A webhook with its secret, which is not told again."""

    secret: Annotated[
        str, Field(description="by which what is sent is signed; empty of mail, which is not")
    ]


class WebhookPage(TypedDict):
    """A part of a list, in the order in which they were made."""

    items: list[WebhookDocument]
    next: str | None


class DeliveryDocument(TypedDict):
    """Something that was sent, or is to be sent once more."""

    id: int
    event: Annotated[int, Field(description="its number; `webhook-id` is `evt_` and the number")]
    action: Annotated[str | None, Field(description="null: the event is purged")]
    state: DeliveryState
    attempt: Annotated[int, Field(description="the first is 1; 0: somebody wanted it once more")]
    status: Annotated[int | None, Field(description="of the answer; null: there was none")]
    message: Annotated[str, Field(description="one sentence on a failure; or empty")]
    answer: Annotated[str, Field(description="its beginning")]
    duration_ms: int | None
    created_at: Moment
    ended_at: Moment | None
    links: Links


class DeliveryPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[DeliveryDocument]
    next: str | None


def webhook_document(webhook: WebhookRecord, *, may_change: bool) -> WebhookDocument:
    """Return what is told of a webhook.

    Args:
        webhook: Which.
        may_change: Whether whoever asks may.
    """
    here = f"{PREFIX}/webhooks/{webhook.id}"
    links = {"self": here, "deliveries": f"{here}/deliveries"}
    if may_change:
        links["ping"] = f"{here}/ping"
        if webhook.kind == "webhook":
            links["rotate"] = f"{here}/rotate"
    if webhook.namespace is not None:
        links["namespace"] = namespace_path(webhook.namespace)
    return {
        "id": webhook.id,
        "namespace": webhook.namespace,
        "environment": webhook.environment_glob,
        "kind": webhook.kind,
        "url": shown_address(webhook.kind, webhook.format, webhook.address),
        "format": webhook.format,
        "actions": list(webhook.actions) if webhook.actions is not None else None,
        "enabled": webhook.is_enabled,
        "state": webhook.state,
        "problem": webhook.problem,
        "attempts": webhook.attempts,
        "failing_since": time_or_none(webhook.failing_since),
        "next_at": time_or_none(webhook.next_at),
        "old_secret_until": time_or_none(webhook.old_secret_until),
        "revision": webhook.revision,
        "created_by": webhook.created_by,
        "created_at": time_text(webhook.created_at),
        "updated_at": time_text(webhook.updated_at),
        "links": links,
    }


def delivery_document(delivery: DeliveryRecord, *, may_change: bool) -> DeliveryDocument:
    """Return what is told of a delivery.

    Args:
        delivery: Which.
        may_change: Whether whoever asks may have it sent again.
    """
    webhook = f"{PREFIX}/webhooks/{delivery.webhook}"
    here = f"{webhook}/deliveries/{delivery.id}"
    links = {"self": here, "webhook": webhook}
    if may_change and delivery.action is not None:
        links["resend"] = f"{here}/resend"
    return {
        "id": delivery.id,
        "event": delivery.event,
        "action": delivery.action,
        "state": delivery.state,
        "attempt": delivery.attempt,
        "status": delivery.status,
        "message": delivery.message,
        "answer": delivery.answer,
        "duration_ms": delivery.duration_ms,
        "created_at": time_text(delivery.created_at),
        "ended_at": time_or_none(delivery.ended_at),
        "links": links,
    }
