"""A conda-store as it is read by its REST API, and what its servers do."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from registry.cli import conda_store_api
from registry.cli.conda_store_api import CondaStoreApi, open_conda_store
from registry.cli.conda_store_records import Old, OldBuild, Unreadable
from registry.cli.remote import RemoteError
from tests.registry.cli.servers import running

TOKEN = "administrator"
TEAM: Final[dict[str, Any]] = {"id": 1, "name": "team"}
AT = "2025-02-01T10:00:00"


class Shop:
    """What a small conda-store answers; ``before`` may answer instead."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.before: Callable[[Request], Response | None] = lambda _: None
        self.elsewhere = ""
        self.builds = [row(one) for one in range(1, 8)]

    @property
    def app(self) -> Starlette:
        path = "/old/api/v1/{path:path}"
        return Starlette(routes=[Route(path, self.answer), Route("/files/{name}", self.file)])

    async def file(self, request: Request) -> Response:
        assert "authorization" not in request.headers
        return PlainTextResponse(f"lock {request.path_params['name']}")

    async def answer(self, request: Request) -> Response:
        path = str(request.path_params["path"])
        self.seen[path] += 1
        return self.before(request) or self.found(request, path)

    def found(self, request: Request, path: str) -> Response:
        is_known = request.headers.get("authorization") == f"Bearer {TOKEN}"
        if path == "permission/":
            roles = {"*/*": ["admin"]} if is_known else {"default/*": ["viewer"]}
            return data({"authenticated": is_known, "entity_roles": roles})
        lists = self.lists()
        if path in lists:
            return page(request, lists[path] if is_known else [])
        found = self.things().get(path)
        if found is not None:
            return data(found)
        number = path.split("/")[1] if path.startswith("build/") else ""
        if path == f"build/{number}/lockfile/":
            return RedirectResponse(f"{self.elsewhere}/files/{number}")
        if path != f"build/{number}/":
            return JSONResponse({"status": "error", "message": "no such thing"}, 404)
        spec = {"spec": {"name": "fore", "dependencies": []}}
        kinds = [{"artifact_type": "LOCKFILE", "id": 1, "key": "k"}]
        return data({**row(int(number)), "specification": spec, "build_artifacts": kinds})

    def lists(self) -> dict[str, list[dict[str, Any]]]:
        one = {"id": 3, "namespace": TEAM, "name": "fore", "current_build_id": 2}
        return {
            "namespace/": [TEAM],
            "environment/": [{**one, "description": None}],
            "build/": self.builds,
        }

    def things(self) -> dict[str, object]:
        old = {"id": 1, "entity": "team/*", "role": "developer"}
        new = {"id": 1, "namespace": "team", "other_namespace": "ada", "role": "viewer"}
        return {
            "": {"version": "2025.2.2"},
            "namespace/team/": {**TEAM, "metadata_": {}, "role_mappings": [old]},
            "namespace/team/roles": [new],
        }


def row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "environment_id": 3,
        "status": "COMPLETED",
        "status_info": None,
        "scheduled_on": AT,
        "started_on": None,
        "ended_on": None,
    }


def data(document: object) -> Response:
    return JSONResponse({"status": "ok", "data": document})


def page(request: Request, rows: list[dict[str, Any]]) -> Response:
    """Answer a page, of which none has more than three."""
    first = 3 * (int(request.query_params["page"]) - 1)
    answer = {"status": "ok", "data": rows[first : first + 3], "count": len(rows), "size": 3}
    return JSONResponse(answer)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(conda_store_api, "_PAUSE_SECONDS", 0.001)
    return Shop()


@contextmanager
def opened(shop: Shop) -> Iterator[str]:
    """Run it, with its files on another host's port."""
    with running(shop.app, "off") as files, running(shop.app, "off") as port:
        shop.elsewhere = f"http://127.0.0.1:{files}"
        yield f"http://127.0.0.1:{port}/old"


def ask(url: str, work: Callable[[CondaStoreApi], Any], token: str | None = TOKEN) -> Any:
    async def session() -> Any:
        async with open_conda_store(url, token) as conda_store:
            return await work(conda_store)

    return asyncio.run(session())


def read(url: str, *only: str, token: str | None = TOKEN) -> Old:
    def work(conda_store: CondaStoreApi) -> Any:
        return conda_store.read(only)

    found: Old = ask(url, work, token)
    return found


def content(url: str, build: OldBuild) -> Any:
    return ask(url, lambda one: one.content(build, with_lock=True))


def test_all_pages_are_read_with_roles_of_both_generations(shop: Shop) -> None:
    with opened(shop) as url:
        found = read(f"{url}/api/v1/")
    assert [one.id for one in found.builds] == list(range(1, 8))
    assert shop.seen["build/"] == 3
    assert [one.path for one in found.environments] == ["team/fore"]
    assert [(one.version, one.subject, one.entity) for one in found.roles] == [
        ("v1", "team", "team/*"),
        ("v2", "ada", "team/*"),
    ]
    assert found.builds[0].scheduled_on == f"{AT}Z"
    (remark,) = found.remarks
    assert remark.what == "viewer on default/* for whoever has not logged in"


def test_a_lock_is_fetched_elsewhere_without_the_token(shop: Shop) -> None:
    with opened(shop) as url:
        found = content(url, read(url).builds[1])
    assert found.lock == "lock 2"
    assert found.specification == {"name": "fore", "dependencies": []}


def test_a_lock_that_is_gone_leaves_the_specification(shop: Shop) -> None:
    shop.before = lambda request: (
        Response(status_code=410) if request.url.path.endswith("/lockfile/") else None
    )
    with opened(shop) as url:
        found = content(url, read(url).builds[1])
    assert found.specification is not None
    assert found.lock is None
    assert "answers 410" in found.problem


def test_what_fails_for_a_while_is_asked_again(shop: Shop) -> None:
    shop.before = lambda request: (
        Response(status_code=503, headers={"retry-after": "0"})
        if shop.seen[request.path_params["path"]] < 3
        else None
    )
    with opened(shop) as url:
        assert len(read(url).builds) == 7


def test_what_fails_for_ever_is_told_of_that_build_alone(shop: Shop) -> None:
    shop.before = lambda request: (
        JSONResponse({"status": "error", "message": "oh"}, 500)
        if request.url.path.endswith("/build/2/")
        else None
    )
    with opened(shop) as url, pytest.raises(Unreadable, match="answers 500: oh"):
        content(url, read(url).builds[1])


def test_a_list_that_changes_while_it_is_read_is_read_again(shop: Shop) -> None:
    def before(request: Request) -> Response | None:
        if request.path_params["path"] == "build/" and shop.seen["build/"] == 2:
            shop.builds.pop(0)  # all the others move by one
        return None

    shop.before = before
    with opened(shop) as url:
        assert {one.id for one in read(url).builds} == set(range(2, 8))


def test_a_list_that_gives_one_page_again_and_again_has_an_end(shop: Shop) -> None:
    def before(request: Request) -> Response | None:
        if request.path_params["path"] != "build/":
            return None
        return JSONResponse({"status": "ok", "data": shop.builds[:3], "count": 9, "size": 3})

    shop.before = before
    with opened(shop) as url:
        assert len(read(url).builds) == 3


def instead(shop: Shop, path: str, odd: object) -> None:
    """Have one address answer something else."""
    text = json.dumps({"status": "ok", "data": odd, "count": 1})
    shop.before = lambda request: (
        Response(text, media_type="application/json")
        if request.path_params["path"] == path
        else None
    )


@pytest.mark.parametrize(
    ("path", "odd", "why"),
    [
        ("namespace/team/", {**TEAM, "role_mappings": 5}, "no list 'role_mappings'"),
        ("namespace/team/", [], "does not answer as conda-store does"),
        ("namespace/team/roles", True, "no list 'data'"),
        ("namespace/team/roles", [{"namespace": "team"}], "no text 'other_namespace'"),
    ],
)
def test_roles_that_cannot_be_read_are_told_and_keep_nothing_else(
    shop: Shop, path: str, odd: object, why: str
) -> None:
    instead(shop, path, odd)
    with opened(shop) as url:
        found = read(url)
    assert not found.roles
    assert [why in one.why for one in found.remarks if one.what == "the roles of team"] == [True]
    assert len(found.builds) == 7


@pytest.mark.parametrize(
    "odd",
    [
        5,
        {"specification": 5},
        {"specification": {"spec": "x"}},
        {"specification": {"spec": {}}, "build_artifacts": 5},
        {"specification": {"spec": {}}, "build_artifacts": [5]},
        {"specification": {"spec": {}}, "build_artifacts": [{}]},
    ],
)
def test_a_build_that_cannot_be_read_is_told_alone(shop: Shop, odd: object) -> None:
    instead(shop, "build/2/", odd)
    with opened(shop) as url:
        builds = read(url).builds
        with pytest.raises(Unreadable):
            content(url, builds[1])
        assert content(url, builds[2]).lock == "lock 3"


def test_rights_that_cannot_be_read_end_it(shop: Shop) -> None:
    instead(shop, "permission/", {"authenticated": True, "entity_roles": {"x": 5}})
    with opened(shop) as url, pytest.raises(RemoteError, match="no list 'x'"):
        read(url)


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("namespace/", [{"id": 1, "name": "\ud800"}]),
        ("build/", [{**row(1), "started_on": 5, "ended_on": True}]),
    ],
)
def test_what_says_nothing_is_left(shop: Shop, path: str, odd: object) -> None:
    instead(shop, path, odd)
    with opened(shop) as url:
        assert all(one.started_on is None for one in read(url).builds)


@pytest.mark.parametrize("token", ["of yesterday", ""])
def test_a_token_that_is_not_taken_is_told_and_no_empty_lists(shop: Shop, token: str) -> None:
    with opened(shop) as url:
        if token:
            with pytest.raises(RemoteError, match="does not take the token"):
                read(url, token=token)
        else:
            found = read(url, token=None)
            assert not found.namespaces
            assert found.unseen is not None
            assert found.unseen.what == "without a token, whoever asks sees only default/*"


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ({"*/*": ["admin"], "default/*": ["viewer"]}, None),
        ({"*/*": ["viewer"]}, None),
        ({"*/*": []}, "this token sees only nothing"),
        ({"team/*": ["admin"], "lab/*": ["viewer"]}, "this token sees only lab/* and team/*"),
        ({f"n{one}/*": ["admin"] for one in range(9)}, "n0/*, n1/*, n2/*, n3/*, n4/* and 4 more"),
        (None, None),
    ],
)
def test_a_token_that_does_not_see_everything_is_told(
    shop: Shop, roles: dict[str, list[str]] | None, told: str | None
) -> None:
    def before(request: Request) -> Response | None:
        if request.path_params["path"] != "permission/":
            return None
        if roles is None:
            return Response(status_code=404)
        return data({"authenticated": True, "entity_roles": roles})

    shop.before = before
    with opened(shop) as url:
        unseen = read(url).unseen
    assert (unseen is None) == (told is None)
    if unseen is not None and told is not None:
        assert told in unseen.what
        assert unseen.why == "what it does not see is not imported"


def test_what_is_no_conda_store_is_told(shop: Shop) -> None:
    with opened(shop) as url:
        for odd in (url.removesuffix("/old"), f"{url}/other"):
            with pytest.raises(RemoteError, match="is no conda-store"):
                read(odd)
    with pytest.raises(RemoteError, match="does not answer") as error:
        read(url)
    assert "imported" not in str(error.value)


def test_only_what_is_asked_for_is_asked_of_it(shop: Shop) -> None:
    asked: list[Collection[str]] = []

    def before(request: Request) -> Response | None:
        if request.path_params["path"] in {"build/", "environment/"}:
            asked.append(request.query_params["namespace"])
        return None

    shop.before = before
    with opened(shop) as url:
        found = read(url, "team")
    assert [one.name for one in found.namespaces] == ["team"]
    assert set(asked) == {"team"}
