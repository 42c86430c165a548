"""The first page: what is whose, what is being made; and for strangers, what a wish comes to."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.visit import Visit

#: How much the page shows of each list; all of it is on pages of its own.
_NAMESPACES: Final = 8
_ENVIRONMENTS: Final = 12
_BUILDING: Final = 6
#: The newest proposals among which those are that one may decide.
_PROPOSALS: Final = 20
_UNAVAILABLE: Final = 503
#: A longer wish is a file.
_LONGEST_WISH: Final = 2000
#: As the names of images have them.
_FROM_CHANNEL: Final = re.compile(r"^([a-z0-9]+(?:[._-][a-z0-9]+)*)--(?=.)")
_FROM_PYPI: Final = "pypi--"
#: What the API says of one of several packages, by its place among them.
_PLACE: Final = re.compile(r"^(specs|pip)\[([0-9]+)\]:? *")
#: A comma before a comparison is one of conda's: ``numpy >=2,<3``.
_SEPARATOR: Final = re.compile(r"[;\n]|,(?!\s*[<>=!~])")
_OPERATORS: Final = "<>=!~"
#: A version alone: it is what versions begin with, as in the names of images.
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9A-Za-z_]+)*")
#: What belongs to the package before it: a comparison, or a version.
_CONDITION: Final = re.compile(rf"[<>=!~*|]|{_VERSION.pattern}(?:\.?\*)?(?:[|,].*)?$")


async def get_start(visit: Visit) -> ASGIApp:
    """Tell what this is, and what of it is whose."""
    if visit.is_fragment:
        return visit.fragment("start/_building.html", building=await _building(visit))
    if visit.name is None:
        return visit.render("start.html", environments=await _open(visit), wish="", tried=None)
    building, mine, namespaces, proposals = await asyncio.gather(
        _building(visit),
        visit.find("/environments", mine="true", details="true", limit=_ENVIRONMENTS),
        visit.find("/namespaces", mine="true", limit=_NAMESPACES),
        visit.find("/proposals", state="open", limit=_PROPOSALS),
    )
    is_all = not mine or not mine["items"]
    if is_all:
        mine = await visit.find("/environments", details="true", limit=_ENVIRONMENTS)
    return visit.render(
        "home.html",
        building=building,
        environments=mine,
        is_all=is_all,
        namespaces=namespaces,
        proposals=[one for one in (proposals or {"items": []})["items"] if _is_mine(one)],
        wish="",
        tried=None,
    )


def _is_mine(proposal: Mapping[str, Any]) -> bool:
    return "decision" in proposal["links"]


async def post_start(visit: Visit) -> ASGIApp:
    """Tell what packages come to: the answer of the solver, before anything is pulled."""
    wish = (await visit.form()).get("wish", "")
    tried = await _try(visit, wish)
    if visit.is_fragment:
        return visit.fragment("start/_tried.html", tried=tried)
    return visit.render(
        "start.html",
        status=tried["status"],
        environments=await _open(visit),
        wish=wish,
        tried=tried,
    )


async def _open(visit: Visit) -> Any:
    """Return environments for everybody; ``None`` also while there is no database, or it is down.

    How to pull is told all the same.
    """
    try:
        return await visit.find("/environments", details="true", limit=_ENVIRONMENTS)
    except ApiProblem as problem:
        if problem.status == _UNAVAILABLE:
            return None
        raise


async def _building(visit: Visit) -> Any:
    return await visit.find("/environments", building="true", details="true", limit=_BUILDING)


def packages_of(wish: str) -> list[str]:
    """Return the packages of a line as people type it: a version alone is what it begins with.

    >>> packages_of("python=3.12 numpy >=2,<3 pandas")
    ['python=3.12', 'numpy >=2,<3', 'pandas']
    >>> packages_of("python 3.12 numpy >=2 pandas")
    ['python =3.12', 'numpy >=2', 'pandas']
    >>> packages_of("numpy >= 2, conda-forge::pandas")
    ['numpy >=2', 'conda-forge::pandas']
    """
    found: list[str] = []
    for part in _SEPARATOR.split(wish):
        is_first = True
        for word in part.split():
            if not is_first and found and _belongs(word, found[-1]):
                is_alone = _VERSION.fullmatch(word) and found[-1][-1] not in _OPERATORS
                joint = " =" if is_alone else "" if found[-1][-1] in _OPERATORS else " "
                found[-1] += joint + word
            else:
                found.append(word)
            is_first = False
    return found


def _belongs(word: str, before: str) -> bool:
    return bool(_CONDITION.match(word)) or before[-1] in _OPERATORS


def asked_for(packages: list[str]) -> dict[str, list[str]]:
    """Return a request for packages; they may be written as in the names of images, too.

    >>> asked_for(["numpy >=2", "bioconda--samtools", "pypi--flask =3"])
    {'specs': ['numpy >=2', 'bioconda::samtools'], 'pip': ['flask ==3.*']}
    """
    specs = [_FROM_CHANNEL.sub(r"\1::", one) for one in packages if not one.startswith(_FROM_PYPI)]
    wheels = [one.removeprefix(_FROM_PYPI) for one in packages if one.startswith(_FROM_PYPI)]
    pip = [re.sub(r" =([0-9][^ ]*)$", r" ==\1.*", one) for one in wheels]
    return {"specs": specs, **({"pip": pip} if pip else {})}


def _by_name(message: str, asked: dict[str, list[str]]) -> str:
    """Return what the API says of a package, with its name in place of its number."""
    place = _PLACE.match(message)
    if place is None or int(place[2]) >= len(asked.get(place[1], ())):
        return message
    return f"'{asked[place[1]][int(place[2])][:80]}': {message[place.end() :]}"


def _nothing(status: int, problem: str, suggestions: Sequence[str] = ()) -> dict[str, Any]:
    return {"status": status, "solved": None, "problem": problem, "suggestions": suggestions}


async def _try(visit: Visit, wish: str) -> dict[str, Any]:
    """Return what the API says of a wish: ``solved``, or ``problem`` with ``suggestions``."""
    packages = packages_of(wish)
    if not packages:
        return _nothing(400, "Name a package.")
    if len(wish) > _LONGEST_WISH:
        return _nothing(413, "That is more than fits into one line: make an environment of it.")
    asked = asked_for(packages)
    try:
        answer = await visit.ask("POST", "/solve", json_body=asked)
    except ApiProblem as problem:
        suggestions = problem.error.get("suggestions", [])
        return _nothing(problem.status, _by_name(problem.message, asked), suggestions)
    solved = answer.document
    platform = next(iter(solved["platforms"]))
    return {
        "status": 200,
        "solved": solved,
        "platform": platform,
        "found": solved["platforms"][platform],
        "has_python": any(
            one["name"] == "python" for one in solved["platforms"][platform]["installed"]
        ),
        "problem": "",
        "suggestions": [],
    }
