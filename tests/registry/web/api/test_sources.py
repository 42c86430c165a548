"""Sources by the API: who sees, makes and changes them, and what is sent to them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ended,
    made,
    make_site,
    refused,
    send,
    write_users,
)
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

SOURCES = "/api/v1/sources"
EVE = basic("eve")
TEXT = b"channels: [main]\ndependencies: [tool=1.0]\n"
OTHER = b"channels: [main]\ndependencies: [tool=2.0]\n"
FILE = "notebook/environment.yml"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path)
    write_users(site, "ada", "bob", "eve")
    return site


async def give(client: Client, user: str, role: str, environment: str = "*") -> None:
    grant = {"subject_kind": "user", "subject": user, "role": role, "environment": environment}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)


async def new(client: Client, who: str = ADA, **body: Any) -> Any:
    """Return a source of ada's to which files are sent, or another one."""
    return await made(
        client, SOURCES, who, {"name": "team", "kind": "remote", "namespace": "ada", **body}
    )


async def put(
    client: Client, source: Any, text: bytes, who: str = ADA, file: str = FILE, query: str = ""
) -> Reply:
    address = f"{SOURCES}/{source['id']}/files/{file}"
    return await send(client, "PUT", f"{address}{query or '?environment=notebook'}", who, text)


async def test_a_file_that_is_sent_defines_its_environment(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    source = await new(client, removed="archive")
    assert (source["files"], source["problem"], source["links"].get("look")) == (0, None, None)
    sent = await put(client, source, TEXT)
    assert sent.status == 200, sent
    file = sent.json()
    assert (file["path"], file["environment"], file["problem"]) == (FILE, "ada/notebook", None)
    assert file["links"]["environment"] == NOTEBOOK
    version = await ended(client, f"{NOTEBOOK}/versions/1", ADA)
    assert (version["state"], version["reason"], version["requested_by"]) == (
        "built",
        "file",
        "ada",
    )
    document = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert document["managed"] == {
        "source": "team",
        "source_id": source["id"],
        "path": FILE,
        "problem": None,
        "edits": "refuse",
    }
    # A text that cannot be read is kept as its problem, on the environment too.
    bad = (await put(client, source, b"dependencies: [a b c d]\n")).json()
    assert bad["problem"]
    document = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert document["managed"]["problem"] == bad["problem"]
    listed = await send(client, "GET", f"{SOURCES}/{source['id']}/files?problems=1", ADA)
    assert [one["problem"] for one in listed.json()["items"]] == [bad["problem"]]
    page = (await send(client, "GET", f"{SOURCES}?problems=1", ADA)).json()
    assert [one["problems"] for one in page["items"]] == [1]
    # So is one that cannot be read where it is.
    said = await put(client, source, b"", query="?problem=it+is+a+link+to+elsewhere")
    assert said.json()["problem"] == "it is a link to elsewhere"
    assert (await put(client, source, TEXT)).json()["problem"] is None
    address = f"{SOURCES}/{source['id']}/files/{FILE}"
    for _ in range(2):
        assert (await send(client, "DELETE", address, ADA)).status == 204
    document = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert document["managed"] is None
    assert document["archived_at"] is not None
    sentence = refused(await ask(client, OTHER), 409, "ENVIRONMENT_ARCHIVED")
    assert "take it out of the archive first" in sentence
    back = await send(client, "PATCH", NOTEBOOK, ADA, {"archived": False})
    assert back.json()["archived_at"] is None


async def ask(client: Client, text: bytes, query: str = "") -> Reply:
    return await send(client, "POST", f"{NOTEBOOK}/versions{query}", ADA, text)


async def test_what_a_file_defines_is_changed_there_alone(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    source = await new(client)
    await put(client, source, TEXT)
    await ended(client, f"{NOTEBOOK}/versions/1", ADA)
    doors: list[tuple[str, str, Any]] = [
        ("POST", f"{NOTEBOOK}/versions", OTHER),
        ("PATCH", NOTEBOOK, {"name": "other"}),
        ("POST", f"{NOTEBOOK}/move", {"name": "other"}),
        ("DELETE", NOTEBOOK, None),
    ]
    for method, url, body in doors:
        sentence = refused(await send(client, method, url, ADA, body), 409, "ENVIRONMENT_MANAGED")
        advice = (
            "change it there"
            if method == "POST" and url.endswith("versions")
            else "rename, move or remove the file, or delete the source first"
        )
        assert sentence == (
            f"'ada/notebook' is defined by notebook/environment.yml of the source 'team': {advice}"
        )
    # Its own text can be solved again, and what says nothing of versions be changed.
    assert (await ask(client, TEXT)).status == 200
    assert (await ask(client, TEXT, "?renew=1")).status == 202
    assert (await send(client, "PATCH", NOTEBOOK, ADA, {"description": "x"})).status == 200
    copy = await send(client, "POST", f"{NOTEBOOK}/copy", ADA, {"name": "copy"})
    assert copy.json()["managed"] is None
    # An edit becomes a proposal, where the source says so.
    here = f"{SOURCES}/{source['id']}"
    changed = await send(client, "PATCH", here, ADA, {"edits": "propose"})
    assert changed.json()["edits"] == "propose"
    asked = await ask(client, OTHER)
    assert asked.status == 202, asked
    number = asked.json()["number"]
    assert (await ended(client, f"{NOTEBOOK}/versions/{number}", ADA))["state"] == "built"
    document = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert (document["active"] == number, document["proposal"] is not None) == (False, True)
    # Going back in an emergency is allowed.
    active = await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": number})
    assert active.status == 200
    assert (await send(client, "DELETE", here, ADA)).status == 204
    assert (await send(client, "DELETE", NOTEBOOK, ADA)).status == 204


async def test_who_may_do_what_with_sources(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    source = await new(client)
    here = f"{SOURCES}/{source['id']}"
    await give(client, "eve", "viewer", "notebook")
    doors: list[tuple[str, str, Any]] = [
        ("GET", here, None),
        ("GET", f"{here}/files", None),
        ("PATCH", here, {"name": "x"}),
        ("DELETE", here, None),
        ("POST", f"{here}/look", None),
        ("POST", f"{here}/hook", None),
        ("DELETE", f"{here}/hook", None),
        ("PUT", f"{here}/files/{FILE}?environment=notebook", TEXT),
        ("DELETE", f"{here}/files/{FILE}", None),
    ]
    # To whoever does not see all of the namespace, there is none: nor a part of it.
    for who in (BOB, EVE):
        for method, url, body in doors:
            sentence = refused(await send(client, method, url, who, body), 404, "SOURCE_UNKNOWN")
            assert sentence == f"there is no source {source['id']} here"
        listed = (await send(client, "GET", SOURCES, who)).json()
        assert listed["items"] == []
        refused(
            await send(client, "POST", SOURCES, who, {**_body("a"), "namespace": "ada"}),
            404,
            "NAMESPACE_UNKNOWN",
        )
    for method, url, body in doors:
        assert (await send(client, method, url, None, body)).status == 401
    # Viewers see, editors send files, admins change.
    await give(client, "eve", "viewer")
    assert (await send(client, "GET", here, EVE)).status == 200
    for method, url, body in doors[2:]:
        assert (await send(client, method, url, EVE, body)).status == 403, url
    await give(client, "eve", "editor")
    assert (await put(client, source, TEXT, EVE)).status == 200
    refused(await send(client, "PATCH", here, EVE, {"name": "x"}), 403, "DENIED")


def _body(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "remote", **more}


async def test_paths_of_servers_are_for_administrators(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    wanted: list[dict[str, Any]] = [
        {"kind": "directory", "location": "/etc", "namespace": "ada"},
        {"kind": "git", "location": "file:///srv/secret.git", "namespace": "ada"},
        {"kind": "remote", "namespace": None},
    ]
    for number, body in enumerate(wanted):
        document = {"name": f"s{number}", **body}
        refused(await send(client, "POST", SOURCES, ADA, document), 403, "DENIED")
        source = await made(client, SOURCES, ROOT, document)
        if body["namespace"] is None:
            refused(
                await send(client, "GET", f"{SOURCES}/{source['id']}", ADA), 404, "SOURCE_UNKNOWN"
            )
            continue
        here = f"{SOURCES}/{source['id']}"
        shown = (await send(client, "GET", here, ADA)).json()
        assert shown["location"] is None
        assert (await send(client, "GET", here, ROOT)).json()["location"] == body["location"]
        other = {"location": f"{body['location']}/x"}
        assert (await send(client, "PATCH", here, ROOT, other)).status == 200
        assert (
            await send(client, "PATCH", here, ROOT, {"location": body["location"]})
        ).status == 200
        for method, sent in (("PATCH", {"name": "y"}), ("DELETE", None)):
            refused(await send(client, method, here, ADA, sent), 403, "DENIED")
    # Nor does a repository of one's own become one of the server.
    own = await new(client, kind="git", location="https://git.example.invalid/a.git")
    here = f"{SOURCES}/{own['id']}"
    moved = await send(client, "PATCH", here, ADA, {"location": "file:///srv/secret.git"})
    refused(moved, 403, "DENIED")
    # What happens to a directory tells nobody where it is.
    page = (await send(client, "GET", f"{NAMESPACES}/ada/events", ADA)).json()
    assert not any(path in str(page) for path in ("/etc", "/srv/secret"))


async def test_why_a_source_fails_is_told_to_who_sees_it(client: Client) -> None:
    """The rest see that it does: a sentence has the address of a repository, perhaps."""
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    source = await new(client)
    await put(client, source, TEXT)
    catalog = client.services.catalog
    assert catalog is not None
    sources = catalog.sources
    assert await sources.claim(source["id"], "server") is not None
    began, problem = datetime.now(UTC), "https://git.corp.example/secret.git cannot be fetched"
    await sources.report(source["id"], "server", began_at=began, problem=problem)
    await give(client, "eve", "viewer", "notebook")
    for who, told in ((ADA, problem), (EVE, "the source 'team' cannot be looked at")):
        document = (await send(client, "GET", NOTEBOOK, who)).json()
        assert document["managed"]["problem"] == told


ODD: Final[list[dict[str, Any]]] = [
    {"kind": "git", "location": "git@github.com:a/b.git"},
    {"kind": "git", "location": "ssh://git@host/a.git"},
    {"kind": "git", "location": "http://host/a.git"},
    {"kind": "git", "location": "ext::sh -c id"},
    {"kind": "git", "location": "https://user:secret@host/a.git"},
    {"kind": "git", "location": "https://"},
    {"kind": "git", "location": "https://[::1/a"},
    {"kind": "git", "location": "https://host:99999/a"},
    {"kind": "git", "location": "file://host/a"},
    {"kind": "git", "location": "https://host/a", "branch": "--upload-pack=id"},
    {"kind": "git", "location": "https://host/a", "branch": "a..b"},
    {"kind": "git", "location": "https://host/a", "folder": "../b"},
    {"kind": "git", "location": "https://host/a", "folder": "/b"},
    {"kind": "directory", "location": "relative"},
    {"kind": "directory", "location": ""},
    {"kind": "directory", "location": "/a", "branch": "main"},
    {"kind": "remote", "location": "a\u0000b"},
    {"kind": "remote", "patterns": []},
    {"kind": "remote", "patterns": ["../{environment}.yml"]},
    {"kind": "remote", "patterns": ["{namespace}/{environment}.yml"]},
    {"kind": "remote", "patterns": ["x"] * 51},
    {"kind": "else"},
    {"kind": "remote", "removed": "burn"},
    {"kind": "remote", "name": ""},
    {"kind": "remote", "name": "x" * 101},
    {"kind": "remote", "is_declared": True},
]


async def test_what_no_source_can_be_is_refused(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    for body in ODD:
        document = {"name": "team", "namespace": "ada", "location": "here", **body}
        reply = await send(client, "POST", SOURCES, ROOT, document)
        assert reply.status == 400, (body, reply)


async def test_a_source_is_changed_by_whoever_has_read_it(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    source = await new(client, patterns=["{environment}.yml"])
    here = f"{SOURCES}/{source['id']}"
    same = await send(client, "POST", SOURCES, ADA, _body("team", namespace="ada", location="x"))
    refused(same, 409, "CATALOG_NAME_TAKEN")
    changed = await send(client, "PATCH", here, ADA, {"patterns": []}, if_match='"1"')
    assert (changed.status, changed.json()["patterns"]) == (200, None)
    assert changed.headers["etag"] == '"2"'
    again = await send(client, "PATCH", here, ADA, {"name": "x"}, if_match='"1"')
    refused(again, 412, "REVISION_CONFLICT")
    bad = await send(client, "PATCH", here, ADA, {"patterns": ["/x"]})
    refused(bad, 400, "SOURCE_INVALID")
    refused(await send(client, "POST", f"{here}/look", ADA), 400, "SOURCE_INVALID")
    refused(await send(client, "POST", f"{here}/hook", ADA), 400, "SOURCE_INVALID")
    refused(await send(client, "DELETE", here, ADA, if_match='"1"'), 412, "REVISION_CONFLICT")
    assert (await send(client, "DELETE", here, ADA)).status == 204
    refused(await send(client, "GET", here, ADA), 404, "SOURCE_UNKNOWN")
    await new(client)


async def test_files_that_nobody_can_have_are_refused(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    source = await new(client)
    for file in ("%2E%2E/x", "a//b", "a%00b", "%0A", "x" * 1001, "a/%2E/b"):
        reply = await put(client, source, TEXT, file=file)
        assert reply.status in {400, 404}, (file, reply)
    # A slash may be written so, or so.
    assert (await put(client, source, TEXT, file="a%2Fb.yml")).json()["path"] == "a/b.yml"
    odd = await put(client, source, TEXT, file="%E2%82%AC/%3F%23.yml", query="?environment=x")
    assert odd.json()["path"] == "€/?#.yml"
    refused(await put(client, source, TEXT, query="?namespace=ada"), 400, "PARAMETER_INVALID")
    both = await put(client, source, TEXT, query="?problem=x")
    refused(both, 400, "PARAMETER_INVALID")
    other = await new(client, ROOT, name="dir", kind="directory", location="/nowhere")
    refused(await put(client, other, TEXT, ROOT), 400, "SOURCE_INVALID")
