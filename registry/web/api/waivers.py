"""Waivers: exceptions from policies, asked for by those who are refused, decided by IT.

Whoever asked sees a waiver, and whoever may edit its environment, and administrators and auditors
of the service; to all others there is none. Administrators decide, and of a namespace's own policy
its admins.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from registry.catalog.records import WaiverRecord
from registry.catalog.waiver_requests import WaiverRequest
from registry.errors import Denied, WaiverUnknown
from registry.web.api.answers import answer, page_answer
from registry.web.api.endpoints import Call, Further, NeedServiceRole, RoleThere
from registry.web.api.models import (
    NewWaiver,
    NoBody,
    NoQuery,
    WaiverDecision,
    WaiversQuery,
    is_on,
)
from registry.web.api.rights import Rights
from registry.web.api.waiver_documents import (
    WaiverDetails,
    WaiverDocument,
    known_advisories,
    waiver_document,
)
from registry.web.asgi.responses import BytesResponse


async def get_waivers(call: Call[WaiversQuery, NoBody]) -> ASGIApp:
    """List the waivers that you may see, the newest first."""
    rights, is_mine = call.rights, is_on(call.query.mine)
    page = await call.catalog.waivers.list(
        lambda one: _sees(rights, one) and (not is_mine or one.requested_by == rights.name),
        visible=call.visible,
        asker=rights.name,
        state=call.query.state,
        namespace=call.query.namespace,
        before=call.query.number,
        limit=call.query.limit,
    )
    return page_answer(call, page, partial(_document, call))


async def post_waiver(call: Call[NoQuery, NewWaiver]) -> ASGIApp:
    """Ask for what a policy refused: one waiver for each package; those that there are stay."""
    body = call.body
    wanted = WaiverRequest(
        body.reason,
        body.place,
        body.version,
        body.policy or "",
        body.spec or "",
        body.manager,
    )
    found = await call.catalog.waivers.request(call.actor, wanted)
    status = 201 if any(is_new for _, is_new in found) else 200
    return answer(status, {"items": [_document(call, one) for one, _ in found], "next": None})


async def needs_of_new_waiver(call: Call[NoQuery, NewWaiver]) -> Sequence[Further]:
    """Return what asking needs beside: to edit the environment; for everybody, no limited token.

    Raises:
        Denied: A token that may do less than its owner asks for what holds for everybody.
    """
    if call.body.place is not None:
        return [RoleThere("editor", *call.body.place)]
    if call.rights.is_limited:
        raise Denied(
            "a token that is limited to some rights asks for waivers of the environments that it is"
            " good for alone: name one, or log in with a password"
        )
    return []


async def get_waiver(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a waiver, and what is known of what it lets pass."""
    waiver = await _waiver(call)
    known = await asyncio.to_thread(known_advisories, waiver, call.catalog.book.advisories)
    document: WaiverDetails = {**_document(call, waiver), "advisories": known}
    return answer(200, document)


async def post_decision(call: Call[NoQuery, WaiverDecision]) -> ASGIApp:
    """Grant a waiver, also one that holds already, with another end; or refuse it, or end it.

    What was refused for want of it is made again by itself.
    """
    body, number = call.body, call.number("id")
    if body.grant:
        waiver = await call.catalog.waivers.grant(
            call.actor,
            number,
            reason=body.reason,
            scope=body.scope,
            spec=body.spec,
            expires_at=body.expires_at,
        )
    else:
        waiver = await call.catalog.waivers.refuse(call.actor, number, reason=body.reason)
    return answer(200, _document(call, waiver))


async def needs_of_decision(call: Call[NoQuery, WaiverDecision]) -> Sequence[Further]:
    """Return what deciding needs: whoever set the policy decides."""
    waiver = await _waiver(call)
    if waiver.is_own and waiver.namespace is not None:
        return [RoleThere("admin", waiver.namespace)]
    return [NeedServiceRole("administrator")]


async def delete_waiver(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Withdraw a waiver that you asked for, and that is not decided yet."""
    waiver = await _waiver(call)
    if waiver.requested_by != call.rights.name:
        raise Denied(
            f"waiver {waiver.id} is withdrawn by '{waiver.requested_by}', who asked for it; who may"
            " decide refuses it"
        )
    await call.catalog.waivers.withdraw(call.actor, waiver.id)
    return BytesResponse(204, [])


def _document(call: Call[Any, Any], waiver: WaiverRecord) -> WaiverDocument:
    return waiver_document(waiver, call.rights, call.catalog.book)


async def _waiver(call: Call[NoQuery, Any]) -> WaiverRecord:
    """Return the waiver of the address, if whoever asks may see it.

    Raises:
        WaiverUnknown: They may not, or there is none.
    """
    number = call.number("id")
    waiver = await call.catalog.waivers.get(number)
    if not _sees(call.rights, waiver):
        raise WaiverUnknown(number)
    return waiver


def _sees(rights: Rights, waiver: WaiverRecord) -> bool:
    """Tell whether they see a waiver at this moment."""
    if rights.service_role is not None:
        return True
    if waiver.requested_by == rights.name and not rights.is_limited:
        return True
    if waiver.namespace is None:
        return False
    if waiver.is_own and rights.has_role("admin", waiver.namespace):
        return True
    return waiver.environment is not None and rights.has_role(
        "editor", waiver.namespace, waiver.environment
    )
