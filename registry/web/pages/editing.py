"""Writing specifications: a new environment, and a new version of one that there is."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.types import ASGIApp

from builder.errors import InputError
from builder.inputs.editing import Outline
from registry.web.api_client import ApiProblem
from registry.web.asgi.responses import header, json_answer
from registry.web.browser.forms import Fields
from registry.web.pages.drafts import (
    MAX_BYTES,
    MAX_FIELDS,
    MAX_FORM_BYTES,
    Draft,
    Trouble,
    start_of,
)
from registry.web.pages.places import Place, Shown, shown_of
from registry.web.pages.visit import Visit

_FILE: Final = "application/octet-stream"
_FRESH: Final = header("cache-control", "no-store")
#: So many packages an address may begin a text with.
_MOST_PACKAGES: Final = 100
#: What becomes of a version when it is built; text for people.
THENS: Final = (
    ("activate", "it becomes active"),
    ("propose", "it waits as a proposal, and is tested if there is a test"),
    ("keep", "it is kept, and somebody may activate it later"),
)
_MOST_NAMESPACES: Final = 100
_COMPLETIONS: Final = 12
#: Names of what is completed.
_KINDS: Final = frozenset({"packages", "versions", "channels", "platforms"})


@dataclass(frozen=True, slots=True)
class Answered:
    """What is shown below a draft: why it cannot be, or what it comes to."""

    trouble: Trouble | None = None
    solved: Mapping[str, Any] | None = None
    #: Packages whose names have what was looked for; ``None``: nothing was.
    found: Mapping[str, Any] | None = None
    status: int = 200


async def get_new(visit: Visit) -> ASGIApp:
    """Show where an environment is written."""
    text = await _first_text(visit)
    about = {
        "namespace": visit.query.get("namespace", ""),
        "name": visit.query.get("name", ""),
        "description": "",
        "note": "",
    }
    return await _new_page(visit, about, Draft(text), Answered())


async def post_new(visit: Visit) -> ASGIApp:
    """Change, check, or make what is written."""
    fields = await visit.form(MAX_FORM_BYTES, MAX_FIELDS)
    about = {name: fields.get(name, "").strip() for name in _ABOUT_NEW}
    draft, answered = await _worked(visit, fields, about["namespace"])
    if answered is None:
        try:
            return await _make(visit, about, draft)
        except ApiProblem as problem:
            answered = Answered(Trouble.of(problem), status=problem.status)
    return await _new_page(visit, about, draft, answered)


async def get_edit(visit: Visit) -> ASGIApp:
    """Show where a new version of an environment is written."""
    shown = await shown_of(visit)
    newest = await _newest(visit, shown.place)
    begun = await _begun(visit, shown, newest)
    text = await _specification(visit, shown.place, begun) if begun is not None else ""
    return await _edit_page(visit, shown, newest, Draft(text), Answered(), _EMPTY, begun)


async def post_edit(visit: Visit) -> ASGIApp:
    """Change, check, or build what is written."""
    fields = await visit.form(MAX_FORM_BYTES, MAX_FIELDS)
    shown = await shown_of(visit)
    newest = await _newest(visit, shown.place)
    draft, answered = await _worked(visit, fields, *_places(shown.place))
    if answered is None:
        made_since = _made_since(fields, newest)
        if made_since is None:
            try:
                return await _build(visit, shown.place, fields, draft)
            except ApiProblem as problem:
                answered = Answered(Trouble.of(problem), status=problem.status)
        else:
            answered = Answered(Trouble(made_since), status=409)
    return await _edit_page(visit, shown, newest, draft, answered, fields)


async def get_completions(visit: Visit) -> ASGIApp:
    """Answer what may be meant by what is being typed, for the editor's script."""
    kind, text = visit.query.get("kind", "packages"), visit.query.get("q", "")[:200].strip()
    namespace = visit.query.get("namespace") or None
    found: list[dict[str, str]] = []
    if kind in _KINDS:
        try:
            found = await _completions(visit, kind, text, namespace)
        except ApiProblem as problem:
            if namespace is None or problem.status not in {401, 403, 404}:
                raise
            # It is being typed, too, and there is no such namespace yet.
            found = await _completions(visit, kind, text, None)
    return json_answer(200, {"items": found}, [_FRESH])


_ABOUT_NEW: Final = ("namespace", "name", "description", "note")
_EMPTY: Final = Fields([])


async def _worked(
    visit: Visit, fields: Fields, namespace: str, environment: str | None = None
) -> tuple[Draft, Answered | None]:
    """Return the draft as a form has left it, and what is answered; ``None``: it is to be made."""
    draft, do = Draft.of(fields), fields.get("do", "")
    if len(draft.text.encode()) > MAX_BYTES:
        sentence = f"a text has at most {MAX_BYTES} bytes here: send it with 'pullforge env create'"
        return Draft("", draft.view), Answered(Trouble(sentence), status=413)
    try:
        draft = await draft.applied(fields)
    except InputError as exc:
        return draft, Answered(Trouble(exc.message, exc.line), status=400)
    if do in {"text", "form"}:
        draft = Draft(draft.text, "form" if do == "form" else "text")
    if do == "check":
        return draft, await _checked(visit, draft, namespace, environment)
    if do == "find":
        text = fields.get("find", "").strip()
        found = await visit.get("/packages", search=text, limit=_COMPLETIONS)
        return draft, Answered(found={**found, "text": text})
    return draft, None if do == "save" else Answered()


async def _checked(visit: Visit, draft: Draft, namespace: str, environment: str | None) -> Answered:
    """Return what a draft comes to, by the rules of where it is to be."""
    place = {"namespace": namespace or None, "environment": environment}
    for query in (place, {}):
        try:
            answer = await visit.ask(
                "POST", "/solve", query=query, body=draft.text.encode(), content_type=_FILE
            )
        except ApiProblem as problem:
            if problem.code in {"NAMESPACE_UNKNOWN", "ENVIRONMENT_UNKNOWN"} and query:
                continue  # it is not there yet: what holds for everybody will hold there
            return Answered(Trouble.of(problem), status=problem.status)
        return Answered(solved=answer.document)
    return Answered()


async def _make(visit: Visit, about: Mapping[str, str], draft: Draft) -> ASGIApp:
    """Make an environment, and its namespace if that is whoever writes themselves.

    Raises:
        ApiProblem: It cannot be made.
    """
    namespace = quote(about["namespace"], safe="")
    query = {
        "name": about["name"] or None,
        "description": about["description"] or None,
        "note": about["note"] or None,
    }

    async def make() -> Any:
        path = f"/namespaces/{namespace}/environments"
        body = draft.text.encode()
        return (await visit.ask("POST", path, query=query, body=body, content_type=_FILE)).document

    if not namespace:
        raise ApiProblem(400, {"message": "say in which namespace it is to be"})
    if not about["name"]:
        raise ApiProblem(400, {"message": "give it a name, by which it is pulled"})
    try:
        made = await make()
    except ApiProblem as problem:
        if problem.code != "NAMESPACE_UNKNOWN" or not await _has_made_own(visit, about):
            raise
        made = await make()
    number = made["version"]["number"] if made["version"] else None
    page = f"/{made['namespace']}/{made['slug']}"
    return visit.see_other(f"{page}/-/versions/{number}" if number else page)


async def _has_made_own(visit: Visit, about: Mapping[str, str]) -> bool:
    """Make the namespace of whoever asks; tell whether it was that which is wanted."""
    me = await visit.get("/users/me")
    link = me["links"].get("namespace", "")
    if not link.endswith(f"/{about['namespace']}"):
        return False
    await visit.ask("POST", "/namespaces", json_body={"name": me["name"]})
    return True


async def _build(visit: Visit, place: Place, fields: Fields, draft: Draft) -> ASGIApp:
    """Ask for a version.

    Raises:
        ApiProblem: It cannot be made.
    """
    then = fields.get("then", "activate")
    query = {
        "note": fields.get("note", "").strip() or None,
        "activate": "true" if then == "activate" else "false",
        "propose": "true" if then == "propose" else "false",
    }
    answer = await visit.ask(
        "POST",
        f"{place.api}/versions",
        query=query,
        body=draft.text.encode(),
        content_type=_FILE,
    )
    version = answer.document
    said = ""
    if answer.status == 200:
        said = f"Nothing has changed since v{version['number']}, so no new version was made."
    return visit.see_other(place.version(version["number"]), said)


async def _first_text(visit: Visit) -> str:
    """Return what a new environment begins with: what the address says, or next to nothing.

    Raises:
        ApiProblem: There is no such environment to begin with.
    """
    copied = visit.query.get("copy", "")
    namespace, _, environment = copied.partition("/")
    if namespace and environment:
        place = Place(quote(namespace, safe=""), quote(environment, safe=""))
        newest = await _newest(visit, place)
        if newest is not None:
            return await _specification(visit, place, newest["number"])
    packages = [one.strip() for one in visit.query.getlist("package")[:_MOST_PACKAGES]]
    return start_of([one for one in packages if one], await _channel(visit))


async def _channel(visit: Visit) -> str:
    channels = (await visit.get("/channels"))["items"]
    return next((str(one["name"]) for one in channels if one["is_default"]), "conda-forge")


async def _newest(visit: Visit, place: Place) -> Mapping[str, Any] | None:
    versions = (await visit.get(f"{place.api}/versions", limit=1))["items"]
    return versions[0] if versions else None


async def _begun(visit: Visit, shown: Shown, newest: Mapping[str, Any] | None) -> int | None:
    """Return the version with whose text one begins: the one that is asked for, else what runs.

    What was tried since and has failed is what one mends.

    Raises:
        ApiProblem: There is no such version.
    """
    if asked := visit.query.get("version"):
        version = await visit.get(shown.place.version_api(visit.quoted(asked)))
        return int(version["number"])
    if newest is None:
        return None
    active: int | None = shown.environment["active"]
    return active if active is not None and newest["state"] == "built" else newest["number"]


async def _specification(visit: Visit, place: Place, number: int) -> str:
    answer = await visit.ask("GET", f"{place.version_api(number)}/specification")
    return answer.text


def _made_since(fields: Fields, newest: Mapping[str, Any] | None) -> str | None:
    """Return that somebody has made a version since the page was opened, once."""
    number = newest["number"] if newest is not None else 0
    if newest is None or fields.get("base", "") in {str(number), ""}:
        return None
    who = newest["requested_by"] or "the service"
    return (
        f"v{number} was made by {who} since you opened this page, of another text: look at it,"
        " or press the button again to go on with yours"
    )


def _places(place: Place) -> tuple[str, str]:
    return place.namespace, place.environment


async def _new_page(
    visit: Visit, about: Mapping[str, str], draft: Draft, answered: Answered
) -> ASGIApp:
    """Return the page, or of a check that a script asks for, what it comes to alone."""
    if visit.is_fragment:
        return _checked_fragment(visit, draft, answered)
    me, namespaces = await asyncio.gather(
        visit.get("/users/me"), visit.get("/namespaces", mine="true", limit=_MOST_NAMESPACES)
    )
    own = me["links"].get("namespace", "").rpartition("/")[2]
    slugs = [str(one["slug"]) for one in namespaces["items"]]
    return visit.render(
        "editing/new.html",
        status=answered.status,
        about={**about, "namespace": about["namespace"] or own},
        namespaces=list(dict.fromkeys([*filter(None, [own]), *slugs])),
        **await _shown(draft, answered, is_worked=visit.request.method == "POST"),
    )


async def _edit_page(
    visit: Visit,
    shown: Shown,
    newest: Mapping[str, Any] | None,
    draft: Draft,
    answered: Answered,
    fields: Fields,
    begun: int | None = None,
) -> ASGIApp:
    if visit.is_fragment:
        return _checked_fragment(visit, draft, answered)
    return visit.render(
        "editing/edit.html",
        status=answered.status,
        newest=newest,
        begun=begun,
        note=fields.get("note", ""),
        thens=THENS,
        then=fields.get("then", "activate"),
        **shown.frame(),
        **await _shown(draft, answered, is_worked=visit.request.method == "POST"),
    )


def _checked_fragment(visit: Visit, draft: Draft, answered: Answered) -> ASGIApp:
    trouble = answered.trouble
    return visit.fragment(
        "editing/_checked.html",
        trouble=trouble,
        solved=answered.solved,
        excerpt=draft.excerpt(trouble.line if trouble else None),
    )


async def _shown(draft: Draft, answered: Answered, *, is_worked: bool) -> dict[str, Any]:
    """Return what templates have of a draft.

    Args:
        draft: It.
        answered: What is shown below.
        is_worked: Whether somebody has written in it, so that it is newer than what they wrote
            here before.
    """
    outline: Outline | None = None
    trouble = answered.trouble
    view = draft.view
    if view == "form":
        try:
            outline = await draft.outline()
        except InputError as exc:
            view = "text"
            trouble = trouble or Trouble(exc.message, exc.line)
    return {
        "text": draft.text,
        "view": view,
        "outline": outline,
        "trouble": trouble,
        "solved": answered.solved,
        "found": answered.found,
        "is_worked": is_worked,
        "excerpt": draft.excerpt(trouble.line if trouble else None),
    }


async def _completions(
    visit: Visit, kind: str, text: str, namespace: str | None
) -> list[dict[str, str]]:
    if kind == "packages":
        found = await visit.get("/packages", search=text, namespace=namespace, limit=_COMPLETIONS)
        return [_completion(one["name"], one["channels"][:1]) for one in found["items"]]
    if kind == "versions":
        name = quote(text.lower() or "-", safe="")
        found = await visit.get(
            f"/packages/{name}/versions", namespace=namespace, limit=_COMPLETIONS * 4
        )
        first: dict[str, str] = {}
        for one in found["items"]:
            first.setdefault(one["version"], one["channel"])
        return [_completion(version, [channel]) for version, channel in first.items()]
    channels = await visit.get("/channels", namespace=namespace)
    if kind == "platforms":
        return [_completion(one, []) for one in channels["platforms"] if text in one]
    return [_completion(one["name"], []) for one in channels["items"] if text in one["name"]]


def _completion(text: str, about: Sequence[str]) -> dict[str, str]:
    return {"text": text, "about": ", ".join(about)}
