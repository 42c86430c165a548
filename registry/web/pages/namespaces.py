"""Namespaces: their environments, a new one, and one that is restored."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.namespace_frame import framed, kept, place_of
from registry.web.pages.visit import Visit

_FILTERS: Final = ("search", "package", "building")
#: So many are overlooked without a filter.
_FEW: Final = 8
_UNDER_WAY: Final = frozenset({"queued", "building"})


async def get_namespace(visit: Visit) -> ASGIApp:
    """Show the environments of a namespace; a script asks for their states alone."""
    query = kept(visit.query, *_FILTERS)
    listed = visit.get(
        f"{place_of(visit)}/environments",
        details="1",
        limit=50,
        after=visit.query.get("after"),
        **query,
    )
    if visit.is_fragment:
        environments = await listed
        asks = _asks(visit, environments)
        return visit.fragment("namespace/_states.html", environments=environments, asks=asks)
    frame, environments = await framed(visit, listed)
    return visit.render(
        "namespace/environments.html",
        frame=frame,
        environments=environments,
        query=query,
        is_long=len(environments["items"]) > _FEW or visit.query.get("after") is not None,
        asks=_asks(visit, environments),
    )


def _asks(visit: Visit, environments: Mapping[str, Any]) -> str:
    """Return by which address a script asks for the same again while something is being made."""
    if not any(_is_under_way(one["details"]) for one in environments["items"]):
        return ""
    asked = kept(visit.query, *_FILTERS, "after")
    return f"/{visit.field('namespace')}?{urlencode(asked)}"


def _is_under_way(details: Mapping[str, Any]) -> bool:
    newest = details["newest"]
    return newest is not None and newest["state"] in _UNDER_WAY


async def get_new_namespace(visit: Visit) -> ASGIApp:
    """Show the form for a new namespace: its name is one's own, if nothing else was said."""
    me = await visit.get("/users/me")
    typed = {"name": visit.query.get("name") or me["name"], "description": "", "owner": ""}
    return _new(visit, typed)


async def post_new_namespace(visit: Visit) -> ASGIApp:
    """Make a namespace."""
    form = await visit.form()
    typed = {name: form.get(name, "").strip() for name in ("name", "description", "owner")}
    body = {**typed, "owner": typed["owner"] or None}
    try:
        made = (await visit.ask("POST", "/namespaces", json_body=body)).document
    except ApiProblem as problem:
        return _new(visit, typed, problem)
    return visit.see_other(f"/{made['slug']}", said=f"The namespace {made['slug']} is made.")


def _new(visit: Visit, typed: dict[str, str], problem: ApiProblem | None = None) -> ASGIApp:
    return visit.render(
        "namespace/new.html",
        status=problem.status if problem is not None else 200,
        problem=problem.message if problem is not None else "",
        typed=typed,
        is_administrator=visit.service_role == "administrator",
    )


async def get_restore(visit: Visit) -> ASGIApp:
    """Show where a namespace is restored; it is not told whether there was one."""
    await visit.get("/users/me")
    return _restore(visit)


async def post_restore(visit: Visit) -> ASGIApp:
    """Restore a namespace that was deleted."""
    await visit.form()
    try:
        restored = (await visit.ask("POST", f"{place_of(visit)}/restore")).document
    except ApiProblem as problem:
        return _restore(visit, problem)
    slug = restored["slug"]
    return visit.see_other(f"/{slug}", said=f"{slug} is restored, with what was deleted with it.")


def _restore(visit: Visit, problem: ApiProblem | None = None) -> ASGIApp:
    return visit.render(
        "namespace/restore.html",
        status=problem.status if problem is not None else 200,
        problem=problem.message if problem is not None else "",
        slug=visit.field("namespace"),
    )
