"""Policies: what holds, what a text would do before it is switched on, and what each said."""

import asyncio
import difflib
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem, unless
from registry.web.pages.fields import text_in, version_in
from registry.web.pages.visit import Visit

HERE: Final = "/ui/policies"
#: Where one is written and tried: no policy is called so.
TRIAL: Final = f"{HERE}/test"
#: Of a form, in which each byte may be written as three; no text of a policy has more.
_MAX_BYTES: Final = 1024 * 1024
_VERSIONS: Final = 10
#: Longer texts are not compared line by line: it takes time with the square of the lines.
_MAX_LINES: Final = 1500
_MAX_DIFF: Final = 400
#: What stands in the editor before there is anything.
_EXAMPLE: Final = """\
description = ""
mode = "warn"                # builds all the same, and says so; "enforce" refuses
contact = ""                 # whom a refusal names
namespaces = ["*"]           # where it holds

[age]
minimum = "7 days"           # since it was published

[licences]
denied = []                  # e.g. "GPL-3.0-*"
"""


async def get_policies(visit: Visit) -> ASGIApp:
    """List the policies that hold, in sentences, and what is wrong with files."""
    policies = await visit.get("/policies")
    return visit.render(
        "policies.html",
        policies=policies["items"],
        problems=policies["problems"],
        is_overview=visit.service_role is not None,
        may_change=visit.service_role == "administrator",
    )


async def get_policy(visit: Visit) -> ASGIApp:
    """Show a policy: what it says in sentences, its text, and what it said before."""
    return await _policy_page(visit)


async def post_policy(visit: Visit) -> ASGIApp:
    """Have a policy hold no more."""
    form = await visit.form()
    name = visit.request.path_params["policy"]
    headers = {"if-match": f'"{version_in(form)}"'}
    try:
        await visit.ask("DELETE", f"/policies/{visit.field('policy')}", headers=headers)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _policy_page(visit, problem)
    return visit.see_other(HERE, f"Policy '{name}' holds no more. What it refused is tried again.")


async def get_trial(visit: Visit) -> ASGIApp:
    """Show the editor, with a policy that there is or an example in it."""
    # Who has not logged in could not try one: they are sent to do so first.
    await visit.get("/policies")
    name = visit.query.get("policy", "")
    policy = await visit.get(f"/policies/{visit.quoted(name)}") if name else None
    text = policy["text"] if policy is not None else _EXAMPLE
    version = policy["version"] if policy is not None else 0
    return _editor(visit, {"name": name, "text": text, "version": str(version)})


async def post_trial(visit: Visit) -> ASGIApp:
    """Tell what a text would do; set it, if it is the one of which that was told.

    So nothing is switched on of which nobody has seen what it does.
    """
    form = await visit.form(_MAX_BYTES)
    typed = {**form, "text": text_in(form, "text"), "specification": text_in(form, "specification")}
    is_seen = hmac.compare_digest(form.get("tried", ""), _digest(typed))
    try:
        if form.get("do") == "set" and is_seen:
            return await _set(visit, typed)
        body: dict[str, Any] = {"text": typed["text"]}
        if name := typed.get("name", "").strip():
            body["name"] = name
        if typed.get("do") != "set" and name and not version_in(typed):
            await _require_new(visit, name)
        if typed["specification"].strip():
            body["specification"] = typed["specification"]
        trial = (await visit.ask("POST", "/policies/test", json_body=body)).document
    except ApiProblem as problem:
        if problem.status == 401:
            raise
        return _editor(visit, typed, problem=problem)
    is_another = form.get("do") == "set"
    return _editor(visit, typed, trial=trial, is_another=is_another)


async def _require_new(visit: Visit, name: str) -> None:
    """Return if there is no policy of a name that is to be a new one's.

    Raises:
        ApiProblem: There is.
    """
    if await visit.find(f"/policies/{visit.quoted(name)}") is not None:
        message = (
            f"There is a policy '{name[:100]}' already: change that one, or choose another name."
        )
        raise ApiProblem(409, {"message": message, "field": "name"})


async def _set(visit: Visit, typed: Mapping[str, str]) -> ASGIApp:
    name = typed.get("name", "").strip()
    if not name:
        raise ApiProblem(400, {"message": "Say what the policy is called.", "field": "name"})
    await visit.ask(
        "PUT",
        f"/policies/{visit.quoted(name)}",
        json_body={"text": typed["text"]},
        headers={"if-match": f'"{version_in(typed)}"'},
    )
    said = f"Policy '{name}' holds from now on. What there is is being judged by it."
    return visit.see_other(f"{HERE}/{visit.quoted(name)}", said)


def _editor(
    visit: Visit,
    typed: Mapping[str, str],
    *,
    trial: Any = None,
    problem: ApiProblem | None = None,
    is_another: bool = False,
) -> ASGIApp:
    return visit.render(
        "policies/editor.html",
        status=problem.status if problem is not None else 200,
        typed={"name": "", "text": "", **typed, "version": str(version_in(typed))},
        trial=trial,
        problem=problem,
        is_another=is_another,
        tried=_digest(typed) if trial is not None else "",
        may_change=visit.service_role == "administrator",
    )


async def _policy_page(visit: Visit, problem: ApiProblem | None = None) -> ASGIApp:
    here = f"/policies/{visit.field('policy')}"
    # Of a policy that is kept in a file, nothing is known but what it says.
    policy, versions = await asyncio.gather(
        visit.get(here),
        unless(
            visit.get(f"{here}/versions", limit=_VERSIONS, after=visit.query.get("after")),
            404,
            409,
        ),
    )
    history = await asyncio.to_thread(_history, versions["items"] if versions else [])
    return visit.render(
        "policies/policy.html",
        status=problem.status if problem is not None else 200,
        policy=policy,
        history=history,
        next=versions["next"] if versions else None,
        problem=problem,
        may_change=visit.service_role == "administrator" and policy["source"] == "database",
    )


def _history(versions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return versions with the lines that differ from the one before, where that is known."""
    return [
        {**one, "diff": list(_diff(old["text"], one["text"])) if old is not None else []}
        for one, old in zip_longest(versions, versions[1:])
    ]


def _diff(old: str, new: str) -> Iterator[tuple[str, str]]:
    """Yield lines with what became of each: ``added``, ``removed``, or nothing."""
    both = old.splitlines(), new.splitlines()
    if max(map(len, both)) > _MAX_LINES:
        return
    lines = difflib.unified_diff(*both, lineterm="", n=2)
    kinds = {"+": "added", "-": "removed"}
    for number, line in enumerate(lines):
        if number >= _MAX_DIFF:
            return
        if not line.startswith(("---", "+++")) or number > 1:
            yield kinds.get(line[:1], ""), line


def _digest(typed: Mapping[str, str]) -> str:
    """Return what stands for a text and the name under which it was tried."""
    whole = "\0".join((typed.get("name", "").strip(), typed.get("text", "")))
    return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:32]
