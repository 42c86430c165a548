"""Sources: where files are that define environments, and what is wrong with them."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.browser.forms import Fields
from registry.web.pages.fields import required, unknown_form, unless_changed
from registry.web.pages.visit import Visit

HERE: Final = "/ui/sources"
#: What becomes of an environment whose file is gone; text for people.
REMOVED: Final = (
    ("keep", "it stays, and is edited here from then on"),
    ("archive", "it is archived: it can be pulled, and takes no new version"),
    ("delete", "it is deleted, and can be restored"),
)
EDITS: Final = (("refuse", "they are refused"), ("propose", "they wait as proposals"))
ACTIVATE: Final = (("on", "it becomes active"), ("", "it is proposed"))
KINDS: Final = (("git", "a git repository"), ("directory", "a directory of the server"))
#: What the form for a new one begins with.
EMPTY: Final = {
    "name": "",
    "kind": "git",
    "location": "",
    "branch": "",
    "folder": "",
    "patterns": "",
    "removed": "keep",
    "edits": "refuse",
    "activate": "on",
}


async def get_sources(visit: Visit) -> ASGIApp:
    """List the sources that one may see."""
    return await _list(visit)


async def post_sources(visit: Visit) -> ASGIApp:
    """Have the files of a place define environments of any namespace."""
    form = await visit.form()
    try:
        made = await make_source(visit, form, None)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _list(visit, problem, typed_in(form))
    return visit.see_other(f"{HERE}/{made['id']}", "It is looked at from now on.")


async def get_source(visit: Visit) -> ASGIApp:
    """Tell of a source, its files, and what is wrong with them."""
    return await _page(visit)


async def post_source(visit: Visit) -> ASGIApp:
    """Change or delete a source, have it looked at, or let a host tell of pushes."""
    form = await visit.form()
    path = f"/sources/{visit.field('id')}"
    try:
        if form.get("do") == "hook":
            return await _page(visit, hook=(await visit.ask("POST", f"{path}/hook")).document)
        to, said = await _do(visit, path, form)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _page(visit, problem, form)
    return visit.see_other(to, said)


async def make_source(visit: Visit, form: Fields, namespace: str | None) -> Any:
    """Return the new source that a form describes.

    Raises:
        ApiProblem: There can be none like it.
    """
    shape = _shape(form)
    body = {
        "name": required(form, "name", "Give it a name, by which its environments tell of it."),
        "kind": form.get("kind", "git"),
        "namespace": namespace,
        **shape,
        "patterns": shape["patterns"] or None,
    }
    return (await visit.ask("POST", "/sources", json_body=body)).document


def typed_in(form: Fields) -> dict[str, str]:
    """Return what was typed into the form for a new one."""
    return {name: form.get(name, "" if name == "activate" else one) for name, one in EMPTY.items()}


async def _do(visit: Visit, path: str, form: Fields) -> tuple[str, str]:
    """Do what a form about a source says; return where to go, and what was done.

    Raises:
        ApiProblem: It may not be, or cannot.
    """
    here = f"{HERE}/{visit.field('id')}"
    match form.get("do"):
        case "look":
            await visit.ask("POST", f"{path}/look")
            return here, "It is looked at as soon as a server can."
        case "drop_hook":
            await visit.ask("DELETE", f"{path}/hook")
            return here, "No host can tell of pushes any more."
        case "change":
            body = {"name": required(form, "name", "Give it a name."), **_shape(form)}
            await visit.ask("PATCH", path, json_body=body, headers=unless_changed(form))
            return here, "It is changed, and looked at once more."
        case "delete":
            namespace = (await visit.get(path))["namespace"]
            await visit.ask("DELETE", path, headers=unless_changed(form))
            to = f"/{visit.quoted(namespace)}/-/sources" if namespace else HERE
            return to, "It is deleted. Its environments stay, and are edited here from now on."
        case _:
            raise unknown_form()


def _shape(form: Fields) -> dict[str, Any]:
    """Return what of a source can be changed, as the API takes it; what has no field stays."""
    body: dict[str, Any] = {"activate": form.get("activate", "") == "on"}
    for name in ("location", "branch", "folder", "removed", "edits"):
        if name in form:
            body[name] = form.get(name, "").strip()
    lines = (one.strip() for one in form.get("patterns", "").splitlines())
    body["patterns"] = [one for one in lines if one]
    return body


async def _list(
    visit: Visit, problem: ApiProblem | None = None, typed: dict[str, str] | None = None
) -> ASGIApp:
    namespace, after = visit.query.get("namespace") or None, visit.query.get("after") or None
    problems = "1" if visit.query.get("problems") else None
    query = {"namespace": namespace, "problems": problems}
    sources = await visit.get("/sources", **query, limit=50, after=after)
    return visit.render(
        "sources.html",
        status=problem.status if problem is not None else 200,
        sources=sources,
        query={name: value for name, value in query.items() if value},
        here=HERE,
        may_make=visit.service_role == "administrator",
        problem=problem,
        typed=typed or {**EMPTY, "kind": "directory"},
        kinds=KINDS,
        choices=choices(),
    )


def choices() -> dict[str, Any]:
    """Return the choices of the forms."""
    return {"removed": REMOVED, "edits": EDITS, "activate": ACTIVATE}


async def _page(
    visit: Visit,
    problem: ApiProblem | None = None,
    form: Fields | None = None,
    hook: Mapping[str, str] | None = None,
) -> ASGIApp:
    path, after = f"/sources/{visit.field('id')}", visit.query.get("after") or None
    problems = "1" if visit.query.get("problems") else None
    source, files = await asyncio.gather(
        visit.get(path), visit.get(f"{path}/files", problems=problems, limit=100, after=after)
    )
    typed = _typed(source)
    if form is not None and form.get("do") == "change":
        typed |= {name: form.get(name, "") for name in typed}
    role = await _role(visit, source)
    return visit.render(
        "sources/source.html",
        status=problem.status if problem is not None else 200,
        source=source,
        files=files,
        query={"problems": problems} if problems else {},
        may_look=role in {"editor", "admin", "owner"},
        may_change=_may_change(visit, source, role),
        hook=hook,
        problem=problem,
        typed=typed,
        choices=choices(),
    )


async def _role(visit: Visit, source: Mapping[str, Any]) -> str | None:
    """Return what one is where its environments are; to show what is of use: the API decides."""
    if source["namespace"] is None:
        return "admin" if visit.service_role == "administrator" else None
    access = await visit.find(f"/namespaces/{visit.quoted(source['namespace'])}/access")
    role: str | None = access["role"] if access is not None else None
    return role


def _may_change(visit: Visit, source: Mapping[str, Any], role: str | None) -> bool:
    is_hidden = source["kind"] == "directory" or source["location"] is None
    is_of_servers = is_hidden or source["namespace"] is None
    if source["is_declared"] or (is_of_servers and visit.service_role != "administrator"):
        return False
    return role in {"admin", "owner"}


def _typed(source: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields of the form have at first."""
    return {
        "name": source["name"],
        "location": source["location"] or "",
        "branch": source["branch"],
        "folder": source["folder"],
        "patterns": "\n".join(source["patterns"] or ()),
        "removed": source["removed"],
        "edits": source["edits"],
        "activate": "on" if source["activate"] else "",
    }
