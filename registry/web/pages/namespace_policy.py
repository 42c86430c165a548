"""What holds in a namespace, in sentences, and the rules that it adds itself."""

from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.browser.forms import Fields
from registry.web.pages.fields import text_in, version_in
from registry.web.pages.namespace_frame import framed, place_of
from registry.web.pages.visit import Visit

#: Of a form, in which each byte may be written as three; no text of a policy has more.
_MAX_BYTES: Final = 1024 * 1024
#: What stands in the editor before there is anything.
_EXAMPLE: Final = """\
# Rules that this namespace adds to those that hold here anyway: it can be stricter, never looser.
description = ""
mode = "warn"                # builds all the same, and says so; "enforce" refuses

[packages]
denied = []                  # e.g. "openssl <3.0.8"
required = []                # e.g. { spec = "pip", if = "python", reason = "people expect it" }
"""


async def get_policy(visit: Visit) -> ASGIApp:
    """Show what holds, who has set it, and the namespace's own rules."""
    return await _policy(visit)


async def post_policy(visit: Visit) -> ASGIApp:
    """Try the namespace's own rules, set them, or take them away."""
    form = await visit.form(_MAX_BYTES)
    here = f"/{visit.field('namespace')}/-/policy"
    try:
        if form.get("do") == "try":
            return await _policy(visit, form, trial=await _try(visit, form))
        headers = {"if-match": f'"{version_in(form)}"'}
        path = f"{place_of(visit)}/policy"
        if form.get("do") == "delete":
            await visit.ask("DELETE", path, headers=headers)
            return visit.see_other(here, said="This namespace adds no rules of its own any more.")
        await visit.ask("PUT", path, json_body={"text": text_in(form, "text")}, headers=headers)
    except ApiProblem as problem:
        return await _policy(visit, form, problem)
    said = "The rules hold for what is built from now on; what there is is being judged by them."
    return visit.see_other(here, said=said)


async def _try(visit: Visit, form: Fields) -> Any:
    specification = text_in(form, "specification")
    body = {
        "text": text_in(form, "text"),
        "namespace": visit.field("namespace"),
        **({"specification": specification} if specification.strip() else {}),
    }
    return (await visit.ask("POST", "/policies/test", json_body=body)).document


async def _policy(
    visit: Visit, form: Fields | None = None, problem: ApiProblem | None = None, trial: Any = None
) -> ASGIApp:
    frame, policy = await framed(visit, visit.get(f"{place_of(visit)}/policy"))
    own = policy["own"]
    version = own["version"] if own is not None else 0
    text = own["text"] if own is not None else _EXAMPLE
    if form is not None:
        text, version = text_in(form, "text"), version_in(form)
    return visit.render(
        "namespace/policy.html",
        status=problem.status if problem is not None else 200,
        frame=frame,
        policy=policy,
        others=[one for one in policy["holds"] if one["source"] != "namespace"],
        ours=next((one for one in policy["holds"] if one["source"] == "namespace"), None),
        problem=problem,
        text=text,
        version=version,
        specification=form.get("specification", "") if form is not None else "",
        trial=trial,
        is_open=form is not None or visit.query.get("edit") is not None,
    )
