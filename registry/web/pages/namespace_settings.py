"""The settings of a namespace: what it is called, whose it is, what is kept of it, and its end."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.browser.forms import Fields
from registry.web.pages.fields import unless_changed
from registry.web.pages.namespace_frame import framed, place_of
from registry.web.pages.visit import Visit

_FIELDS: Final = ("name", "description", "owner", "days", "keep", "sure")


async def get_settings(visit: Visit) -> ASGIApp:
    """Show the settings."""
    return await _settings(visit)


async def post_settings(visit: Visit) -> ASGIApp:
    """Change one of them."""
    form = await visit.form()
    what = form.get("do", "")
    try:
        if what == "preview":
            return await _settings(visit, form, preview=await _preview(visit, form))
        _require(what if what in _CHANGES else "", "do", "say what is to be changed")
        changed = await _CHANGES[what](visit, form)
    except ApiProblem as problem:
        return await _settings(visit, form, problem)
    return changed


async def _describe(visit: Visit, form: Fields) -> ASGIApp:
    """Rename it, or describe it anew."""
    name, description = form.get("name", "").strip(), form.get("description", "")
    body = {"name": name or None, "description": description.replace("\r\n", "\n").strip()}
    headers = unless_changed(form)
    changed = (await visit.ask("PATCH", place_of(visit), json_body=body, headers=headers)).document
    return visit.see_other(f"/{changed['slug']}/-/settings", said="The namespace is changed.")


async def _give_away(visit: Visit, form: Fields) -> ASGIApp:
    owner = form.get("owner", "").strip()
    _require(owner, "owner", "say by their name to whom it is to belong")
    await visit.ask("PATCH", place_of(visit), json_body={"owner": owner})
    here = f"/{visit.field('namespace')}"
    # Whoever gave it away may have no role in it any more.
    access = await visit.find(f"{place_of(visit)}/access")
    return visit.see_other(here if access is not None else "/", said=f"{owner} owns it now.")


async def _keep(visit: Visit, form: Fields) -> ASGIApp:
    headers = unless_changed(form, "retention")
    path = f"{place_of(visit)}/retention"
    await visit.ask("PUT", path, json_body=_retention(form), headers=headers)
    return _changed(visit, "What is kept is set; nothing went at once.")


async def _free(visit: Visit, form: Fields) -> ASGIApp:
    _ = form
    freed = (await visit.ask("POST", f"{place_of(visit)}/retention/free")).document
    if freed["state"] == "running":
        return _changed(visit, "The files are going; this takes a while.")
    count = len(freed["versions"])
    return _changed(visit, f"The files of {count} version{'' if count == 1 else 's'} are gone.")


async def _bring_back(visit: Visit, form: Fields) -> ASGIApp:
    """Restore an environment that was deleted."""
    environment = form.get("environment", "")
    path = f"{place_of(visit)}/environments/{quote(environment, safe='')}/restore"
    restored = (await visit.ask("POST", path)).document
    return visit.see_other(f"/{restored['path']}", said=f"{restored['path']} is restored.")


async def _delete(visit: Visit, form: Fields) -> ASGIApp:
    slug = str(visit.request.path_params["namespace"])
    if form.get("sure", "").strip() != slug:
        raise ApiProblem(400, {"message": f"to delete it, write its name: {slug}", "field": "sure"})
    await visit.ask("DELETE", place_of(visit))
    return visit.see_other(f"/{visit.field('namespace')}/-/restore", said=f"{slug} is deleted.")


_CHANGES: Final = {
    "describe": _describe,
    "give": _give_away,
    "keep": _keep,
    "free": _free,
    "restore": _bring_back,
    "delete": _delete,
}


async def _preview(visit: Visit, form: Fields) -> Any:
    path = f"{place_of(visit)}/retention/preview"
    return (await visit.ask("POST", path, json_body=_retention(form))).document


async def _settings(
    visit: Visit, form: Fields | None = None, problem: ApiProblem | None = None, preview: Any = None
) -> ASGIApp:
    place = place_of(visit)
    deleted = visit.get(f"{place}/environments", deleted="only", limit=50)
    frame, retention, gone = await framed(visit, visit.get(f"{place}/retention"), deleted)
    typed = _typed(frame.document, retention)
    revisions = {"revision": frame.document["revision"], "retention": retention["revision"]}
    if form is not None:
        typed |= {name: form[name] for name in _FIELDS if name in form}
        revisions |= {name: form[name] for name in revisions if name in form}
    return visit.render(
        "namespace/settings.html",
        status=problem.status if problem is not None else 200,
        frame=frame,
        retention=retention,
        gone=gone,
        typed=typed,
        revisions=revisions,
        problem=problem,
        preview=preview,
    )


def _typed(document: Mapping[str, Any], retention: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields of the forms have at first."""
    kept = retention["retention"]
    return {
        "name": document["name"],
        "description": document["description"],
        "owner": "",
        "days": "" if kept["days"] is None else str(kept["days"]),
        "keep": "" if kept["keep"] is None else str(kept["keep"]),
        "sure": "",
    }


def _retention(form: Fields) -> dict[str, Any]:
    days, keep = form.get("days", "").strip(), form.get("keep", "").strip()
    return {"days": _number(days), "keep": _number(keep)}


def _number(text: str) -> int | str | None:
    """Return what was typed as the API takes it, which says what is wrong with it."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else text


def _require(text: str, field: str, sentence: str) -> None:
    if not text:
        raise ApiProblem(400, {"message": sentence, "field": field})


def _changed(visit: Visit, said: str) -> ASGIApp:
    return visit.see_other(f"/{visit.field('namespace')}/-/settings", said=said)
