"""Webhooks: whom events are sent to, what was sent, and what was answered.

Admins of a namespace see and manage those of its events, administrators those of everything;
auditors see all. To others there is none.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from registry.catalog.records import Page, Visibility
from registry.catalog.webhook_records import DeliveryRecord, WebhookRecord
from registry.catalog.webhook_records import NewWebhook as Wanted
from registry.catalog.webhook_records import WebhookChange as Wish
from registry.errors import WebhookUnknown
from registry.web.api.answers import answer, expected_revision, page_answer, revised
from registry.web.api.endpoints import Call, Further, NeedServiceRole, RoleThere
from registry.web.api.models import (
    DeliveriesQuery,
    NewWebhook,
    NoBody,
    NoQuery,
    WebhookChange,
    WebhooksQuery,
)
from registry.web.api.rights import Rights
from registry.web.api.webhook_documents import (
    NewWebhookDocument,
    WebhookDocument,
    delivery_document,
    webhook_document,
)
from registry.web.asgi.responses import BytesResponse

#: So many pages of what is perhaps not seen are read for one that is.
_MAX_SCANS = 10


async def get_webhooks(call: Call[WebhooksQuery, NoBody]) -> ASGIApp:
    """List the webhooks that you manage, in the order in which they were made."""
    rights, query = call.rights, call.query
    found: list[WebhookRecord] = []
    after = query.number
    for _ in range(_MAX_SCANS):
        page = await call.catalog.webhooks.list(
            visible=_visible(rights),
            namespace=query.namespace,
            is_service_shown=rights.service_role is not None,
            after=after,
            limit=query.limit,
        )
        for one in page.items:
            after = one.id
            found += [one] if _sees(rights, one) else []
            if len(found) == query.limit:
                break
        is_more = page.next is not None or (bool(page.items) and page.items[-1].id != after)
        if not is_more or len(found) == query.limit:
            break
    cursor = str(after) if is_more else None
    return page_answer(call, Page(found, cursor), partial(_document, call))


async def post_webhook(call: Call[NoQuery, NewWebhook]) -> ASGIApp:
    """Have events sent somewhere from now on; the answer alone has the secret."""
    body = call.body
    wanted = Wanted(
        body.url, body.namespace, body.environment, body.kind, body.format, body.actions
    )
    webhook, secret = await call.catalog.webhooks.create(call.actor, wanted)
    document: NewWebhookDocument = {**_document(call, webhook), "secret": secret}
    return revised(201, document, webhook.revision)


async def needs_of_new_webhook(call: Call[NoQuery, NewWebhook]) -> Sequence[Further]:
    """Return what a new webhook needs: to be admin of the namespace, or administrator."""
    if call.body.namespace is not None:
        return [RoleThere("admin", call.body.namespace)]
    return [NeedServiceRole("administrator")]


async def get_webhook(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a webhook."""
    webhook = await _webhook(call)
    return revised(200, _document(call, webhook), webhook.revision)


async def patch_webhook(call: Call[NoQuery, WebhookChange]) -> ASGIApp:
    """Change a webhook, disable or enable it: then it goes on where it was."""
    body = call.body
    wish = Wish(body.url, body.environment, body.format, body.actions, body.enabled, body.skip)
    number, revision = call.number("id"), expected_revision(call.request)
    webhook = await call.catalog.webhooks.update(call.actor, number, wish, revision)
    return revised(200, _document(call, webhook), webhook.revision)


async def delete_webhook(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete a webhook, and what is known of what it has sent."""
    number, revision = call.number("id"), expected_revision(call.request)
    await call.catalog.webhooks.delete(call.actor, number, revision)
    return BytesResponse(204, [])


async def post_rotate(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Make a new secret, which the answer alone has; the one before signs as well for a day."""
    webhook, secret = await call.catalog.webhooks.rotate(call.actor, call.number("id"))
    document: NewWebhookDocument = {**_document(call, webhook), "secret": secret}
    return revised(200, document, webhook.revision)


async def post_ping(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Send an event that means nothing, also if it is disabled; the delivery says what came."""
    delivery = await call.catalog.deliveries.ping(call.actor, call.number("id"))
    return answer(202, delivery_document(delivery, may_change=True))


async def get_deliveries(call: Call[DeliveriesQuery, NoBody]) -> ASGIApp:
    """List what was sent within thirty days, and what was answered, the newest first."""
    webhook = await _webhook(call)
    page = await call.catalog.deliveries.list(
        webhook.id, state=call.query.state, before=call.query.number, limit=call.query.limit
    )
    may_change = _may_change(call.rights, webhook)
    return page_answer(call, page, partial(delivery_document, may_change=may_change))


async def get_delivery(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of something that was sent."""
    webhook = await _webhook(call)
    delivery = await call.catalog.deliveries.get(webhook.id, call.number("delivery"))
    return answer(200, delivery_document(delivery, may_change=_may_change(call.rights, webhook)))


async def post_resend(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Send once more what was sent, with the same `webhook-id`."""
    delivery: DeliveryRecord = await call.catalog.deliveries.resend(
        call.actor, call.number("id"), call.number("delivery")
    )
    return answer(202, delivery_document(delivery, may_change=True))


async def needs_of_webhook(call: Call[NoQuery, Any]) -> Sequence[Further]:
    """Return what changing a webhook needs."""
    webhook = await _webhook(call)
    if webhook.namespace is not None:
        return [RoleThere("admin", webhook.namespace)]
    return [NeedServiceRole("administrator")]


def _document(call: Call[Any, Any], webhook: WebhookRecord) -> WebhookDocument:
    return webhook_document(webhook, may_change=_may_change(call.rights, webhook))


async def _webhook(call: Call[Any, Any]) -> WebhookRecord:
    """Return the webhook of the address, if whoever asks may see it.

    Raises:
        WebhookUnknown: They may not, or there is none.
    """
    number = call.number("id")
    webhook = await call.catalog.webhooks.get(number)
    if not _sees(call.rights, webhook):
        raise WebhookUnknown(number)
    return webhook


def _visible(rights: Rights) -> Visibility:
    return Visibility(rights.visible().globs, is_everything=rights.service_role is not None)


def _sees(rights: Rights, webhook: WebhookRecord) -> bool:
    return rights.service_role is not None or _may_change(rights, webhook)


def _may_change(rights: Rights, webhook: WebhookRecord) -> bool:
    if webhook.namespace is None:
        return rights.service_role == "administrator"
    return rights.has_role("admin", webhook.namespace)
