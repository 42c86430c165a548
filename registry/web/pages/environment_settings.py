"""Settings of an environment: describe, test, rename, move, copy, archive, delete, restore it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem, unless
from registry.web.browser.forms import Fields
from registry.web.pages.fields import text_in, unless_changed
from registry.web.pages.places import Place, place_of, shown_of
from registry.web.pages.visit import Visit

#: What says who may not do this, or to whom a part is not told.
_NOT_TOLD: Final = (401, 403, 404)


async def get_settings(visit: Visit) -> ASGIApp:
    """Tell what can be changed of an environment."""
    return await _page(visit)


async def post_settings(visit: Visit) -> ASGIApp:
    """Change, move, copy or delete an environment."""
    form, place = await visit.form(max_bytes=64 * 1024), place_of(visit)
    acts = {
        "describe": _describe,
        "test": _test,
        "move": _move,
        "copy": _copy,
        "archive": _archive,
        "delete": _delete,
    }
    act = acts.get(form.get("do", ""))
    if act is None:
        return visit.see_other(f"{place.here}/-/settings")
    try:
        return await act(visit, place, form)
    except ApiProblem as problem:
        if problem.status == 401:
            raise
        return await _page(visit, problem, form)


async def get_restore(visit: Visit) -> ASGIApp:
    """Tell of an environment that was deleted."""
    return await _restore_page(visit)


async def post_restore(visit: Visit) -> ASGIApp:
    """Restore the environment of that name that was deleted last."""
    await visit.form()
    place = place_of(visit)
    try:
        await visit.ask("POST", f"{place.api}/restore")
    except ApiProblem as problem:
        if problem.status == 401:
            raise
        return await _restore_page(visit, problem)
    return visit.see_other(place.here, "It is there again, with all its versions.")


async def _page(
    visit: Visit, problem: ApiProblem | None = None, form: Fields | None = None
) -> ASGIApp:
    place = place_of(visit)
    shown, usage, mine, retention = await asyncio.gather(
        shown_of(visit),
        unless(visit.get(f"{place.api}/usage", alone=1), *_NOT_TOLD),
        unless(visit.get("/namespaces", mine=1, limit=100), *_NOT_TOLD),
        unless(visit.get(f"/namespaces/{place.namespace}/retention"), *_NOT_TOLD),
    )
    typed = form if form is not None else Fields([])
    namespaces = [one["slug"] for one in mine["items"]] if mine is not None else []
    return visit.render(
        "environment/settings.html",
        status=problem.status if problem is not None else 200,
        **shown.frame("/-/settings"),
        usage=usage,
        namespaces=namespaces,
        copy_to=_copy_to(visit.name, shown.environment, namespaces),
        retention=retention,
        problem=problem,
        failed=typed.get("do", ""),
        typed=typed,
    )


def _copy_to(
    user: str | None, environment: Mapping[str, Any], namespaces: Sequence[str]
) -> tuple[str, str]:
    """Return where somebody most likely wants a copy: where it would be their own."""
    here, name = environment["namespace"], environment["name"]
    others = [one for one in namespaces if one != here]
    if user in others:
        return str(user), name
    return (others[0], name) if others else (here, f"{name}-copy")


async def _describe(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    description = form.get("description", "").replace("\r\n", "\n").strip()
    await visit.ask(
        "PATCH",
        place.api,
        json_body={"description": description},
        headers=unless_changed(form),
    )
    return visit.see_other(f"{place.here}/-/settings", "The description is changed.")


async def _test(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    command = text_in(form, "test_command").strip()
    body = {"test_command": command}
    await visit.ask("PATCH", place.api, json_body=body, headers=unless_changed(form))
    said = "Proposals have to pass the test from now on." if command else "There is no test."
    return visit.see_other(f"{place.here}/-/settings", said)


async def _archive(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    is_archived = form.get("archived") == "on"
    body = {"archived": is_archived}
    await visit.ask("PATCH", place.api, json_body=body, headers=unless_changed(form))
    said = "It is archived." if is_archived else "It takes new versions again."
    return visit.see_other(f"{place.here}/-/settings", said)


async def _move(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    namespace, name = _target(form)
    if quote(namespace or place.namespace, safe="") == place.namespace:
        body: dict[str, Any] = {"name": name}
        moved = await visit.ask("PATCH", place.api, json_body=body, headers=unless_changed(form))
    else:
        body = {"namespace": namespace, "name": name}
        moved = await visit.ask("POST", f"{place.api}/move", json_body=body)
    path = moved.document["path"]
    return visit.see_other(f"/{path}", f"It is pulled as {moved.document['image']} from now on.")


async def _copy(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    namespace, name = _target(form)
    body = {"namespace": namespace or None, "name": name or None}
    copied = await visit.ask("POST", f"{place.api}/copy", json_body=body)
    return visit.see_other(
        f"/{copied.document['path']}", "This is the copy: it is yours to change."
    )


async def _delete(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    await visit.ask("DELETE", place.api, headers=unless_changed(form))
    return visit.see_other(
        f"{place.here}/-/restore", "It is deleted, and cannot be pulled any more."
    )


async def _restore_page(visit: Visit, problem: ApiProblem | None = None) -> ASGIApp:
    place = place_of(visit)
    namespace = await visit.get(f"/namespaces/{place.namespace}")
    deleted = await _deleted(visit, place)
    if deleted is None and problem is None:
        # There is one, nothing of that name was deleted, or it is not told.
        await visit.get(place.api)
        return visit.see_other(place.here)
    return visit.render(
        "environment/restore.html",
        status=problem.status if problem is not None else 200,
        namespace=namespace["slug"],
        name=deleted["name"]
        if deleted is not None
        else str(visit.request.path_params["environment"]),
        deleted=deleted,
        here=place.here,
        problem=problem,
    )


async def _deleted(visit: Visit, place: Place) -> Mapping[str, Any] | None:
    """Return the environment of that name that was deleted last, if there is no other by now."""
    path = f"/namespaces/{place.namespace}/environments"
    slug = str(visit.request.path_params["environment"])
    found = await unless(visit.get(path, deleted=1, search=slug, limit=100), *_NOT_TOLD)
    those = [one for one in found["items"] if one["slug"] == slug] if found is not None else []
    if not those or any(one["deleted_at"] is None for one in those):
        return None
    newest: Mapping[str, Any] = max(those, key=lambda one: one["deleted_at"])
    return newest


def _target(form: Fields) -> tuple[str, str]:
    return form.get("namespace", "").strip(), form.get("name", "").strip()
