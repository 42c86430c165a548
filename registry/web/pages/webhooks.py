"""Webhooks: whom events are sent to, what was sent, and what was answered."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.browser.forms import Fields
from registry.web.pages.fields import required, unknown_form, unless_changed
from registry.web.pages.tokens import form_key
from registry.web.pages.visit import Visit

HERE: Final = "/ui/webhooks"
#: As what events are sent; text for people.
WAYS: Final = (
    ("standard", "signed JSON, for programs"),
    ("chat", "one sentence, for chat services"),
    ("mail", "mail"),
)
STATES: Final = (
    ("", "All"),
    ("delivered", "Delivered"),
    ("failed", "Failed"),
    ("waiting", "Waiting"),
)
#: What the form for a new one begins with.
EMPTY: Final = {"url": "", "way": "standard", "environment": "*", "actions": ""}


async def get_webhooks(visit: Visit) -> ASGIApp:
    """List the webhooks that one manages."""
    return await _list(visit)


async def post_webhooks(visit: Visit) -> ASGIApp:
    """Have the events of everything sent somewhere; the secret is shown this once."""
    form = await visit.form()
    try:
        made = await make_webhook(visit, form, None)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _list(visit, problem=problem, typed=typed_in(form))
    return await _list(visit, made=made)


async def get_webhook(visit: Visit) -> ASGIApp:
    """Tell of a webhook, and of what it has sent."""
    return await _page(visit)


async def post_webhook(visit: Visit) -> ASGIApp:
    """Change, try, stop or delete a webhook, or have something sent again."""
    form = await visit.form()
    path = f"/webhooks/{visit.field('id')}"
    try:
        if form.get("do") == "rotate":
            return await _page(visit, made=(await visit.ask("POST", f"{path}/rotate")).document)
        to, said = await _do(visit, path, form)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _page(visit, problem=problem, form=form)
    return visit.see_other(to, said)


async def make_webhook(visit: Visit, form: Fields, namespace: str | None) -> Any:
    """Return the new webhook that a form describes, with its secret.

    Raises:
        ApiProblem: There can be none like it.
    """
    way = form.get("way", "standard")
    body: dict[str, Any] = {
        "url": required(form, "url", "Say where to: an address of HTTPS, or of mail."),
        "namespace": namespace,
        "kind": "mail" if way == "mail" else "webhook",
        "format": "standard" if way == "mail" else way,
        "actions": form.get("actions", "").split() or None,
    }
    if namespace is not None:
        body["environment"] = form.get("environment", "").strip() or "*"
    key = form.get("key", "")
    headers = {"idempotency-key": key} if key.isascii() and key.isalnum() else {}
    return (await visit.ask("POST", "/webhooks", json_body=body, headers=headers)).document


def typed_in(form: Fields) -> dict[str, str]:
    """Return what was typed into the form for a new one."""
    return {name: form.get(name, first) for name, first in EMPTY.items()}


async def _do(visit: Visit, path: str, form: Fields) -> tuple[str, str]:
    """Do what a form about a webhook says; return where to go, and what was done.

    Raises:
        ApiProblem: It may not be, or cannot.
    """
    here = f"{HERE}/{visit.field('id')}"
    match form.get("do"):
        case "ping":
            await visit.ask("POST", f"{path}/ping")
            return here, "Something that means nothing is sent: its delivery says what came of it."
        case "resend":
            delivery = visit.quoted(form.get("delivery", ""))
            await visit.ask("POST", f"{path}/deliveries/{delivery}/resend")
            return here, "It is sent once more, with the same id."
        case "enable" | "skip":
            body = {"enabled": True, "skip": form.get("do") == "skip"}
            await visit.ask("PATCH", path, json_body=body, headers=unless_changed(form))
            again = "with what happens from now on" if body["skip"] else "where it was"
            return here, f"It goes on {again}."
        case "disable":
            headers = unless_changed(form)
            await visit.ask("PATCH", path, json_body={"enabled": False}, headers=headers)
            return here, "Nothing is sent any more; what happens meanwhile waits for it."
        case "change":
            headers = unless_changed(form)
            await visit.ask("PATCH", path, json_body=_change(form), headers=headers)
            return here, "It is changed."
        case "delete":
            namespace = (await visit.get(path))["namespace"]
            await visit.ask("DELETE", path, headers=unless_changed(form))
            to = f"/{visit.quoted(namespace)}/-/webhooks" if namespace else HERE
            return to, "It is deleted: nothing is sent there any more."
        case _:
            raise unknown_form()


def _change(form: Fields) -> dict[str, Any]:
    body: dict[str, Any] = {"actions": form.get("actions", "").split()}
    for name in ("url", "environment", "format"):
        if value := form.get(name, "").strip():
            body[name] = value
    return body


async def _list(
    visit: Visit,
    *,
    made: Mapping[str, Any] | None = None,
    problem: ApiProblem | None = None,
    typed: dict[str, str] | None = None,
) -> ASGIApp:
    namespace, after = visit.query.get("namespace") or None, visit.query.get("after") or None
    webhooks = await visit.get("/webhooks", namespace=namespace, limit=50, after=after)
    return visit.render(
        "webhooks.html",
        status=problem.status if problem is not None else 200,
        webhooks=webhooks,
        query={"namespace": namespace} if namespace else {},
        ways=WAYS,
        may_make=visit.service_role == "administrator",
        here=HERE,
        made=made,
        problem=problem,
        typed=typed or EMPTY,
        key=form_key(),
    )


async def _page(
    visit: Visit,
    *,
    made: Mapping[str, Any] | None = None,
    problem: ApiProblem | None = None,
    form: Fields | None = None,
) -> ASGIApp:
    path = f"/webhooks/{visit.field('id')}"
    state, after = visit.query.get("state", ""), visit.query.get("after") or None
    state = state if state in dict(STATES) else ""
    webhook, deliveries = await asyncio.gather(
        visit.get(path),
        visit.get(f"{path}/deliveries", state=state or None, limit=30, after=after),
    )
    typed = {
        "url": "",
        "environment": webhook["environment"],
        "format": webhook["format"],
        "actions": "\n".join(webhook["actions"] or ()),
    }
    if form is not None and form.get("do") == "change":
        typed |= {name: form.get(name, "") for name in typed}
    return visit.render(
        "webhooks/webhook.html",
        status=problem.status if problem is not None else 200,
        webhook=webhook,
        deliveries=deliveries,
        state=state,
        states=STATES,
        made=made,
        problem=problem,
        typed=typed,
    )
