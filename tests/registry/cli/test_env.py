"""Environments by the command line, through a real server with a database."""

import json
from pathlib import Path

import httpx
import pytest
import typer

from registry.cli.places import environment_place, namespace_place
from tests.registry.accounts import PASSWORD
from tests.registry.cli.servers import MakePerson, Person, Served


def api(served: Served, path: str, who: str = "ada") -> object:
    reply = httpx.get(f"http://{served.host}/api/v1/{path}", auth=(who, PASSWORD), timeout=30)
    assert reply.is_success, reply.text
    return reply.json()


@pytest.fixture
def ada(person: MakePerson, specs: Path) -> Person:
    """Ada, with ``ada/notebook`` of one version."""
    ada = person("ada")
    ada("env", "create", str(specs / "old.yml"), "--to", "ada/notebook", "--note", "first")
    return ada


def test_an_environment_is_made_from_a_file_and_its_line_to_pull_is_printed(
    person: MakePerson, served: Served, specs: Path
) -> None:
    ada, bob = person("ada"), person("bob")
    made = ada("env", "create", str(specs / "old.yml"), "--to", f"{served.host}/ada/Note Book")
    assert made.stdout == f"docker pull {served.host}/ada/note-book:v1\n"
    assert "made the namespace ada" in made.stderr
    text = (specs / "new.yml").read_text()
    again = ada("env", "create", "-", "--to", "ada/second", "--output", "json", given=text)
    document = json.loads(again.stdout)
    version = document.pop("version")
    assert (version["state"], version["number"]) == ("built", 1)
    shown = api(served, "namespaces/ada/environments/second")
    assert isinstance(shown, dict)
    assert document == shown | {"active": 1}
    assert again.stderr == ""
    empty = ada("env", "create", "--to", "ada/empty", "--description", "later")
    assert empty.stdout == "ada/empty\n"
    assert "pullforge env update ada/empty FILE" in empty.stderr
    refused = bob("env", "create", str(specs / "old.yml"), "--to", "ada/mine", code=1)
    assert "there is no namespace 'ada'" in refused.stderr
    taken = ada("env", "create", str(specs / "old.yml"), "--to", "ada/second", code=1)
    assert "pullforge env update ada/second FILE" in taken.stderr
    taken = ada("env", "create", str(specs / "old.yml"), "--to", "ada/Note Book", code=1)
    assert "pullforge env update ada/note-book FILE" in taken.stderr


def test_where_an_image_was_pushed_no_environment_is_told_to_be_updated(
    ada: Person, served: Served, specs: Path
) -> None:
    media_type = "application/vnd.oci.image.index.v1+json"
    pushed = httpx.put(
        f"http://{served.host}/v2/ada/pushed/manifests/v1",
        json={"schemaVersion": 2, "mediaType": media_type, "manifests": []},
        headers={"content-type": media_type},
        auth=("ada", PASSWORD),
    )
    assert pushed.status_code == 201, pushed.text
    taken = ada("env", "create", str(specs / "old.yml"), "--to", "ada/pushed", code=1)
    assert "images were pushed to" in taken.stderr
    assert "env update" not in taken.stderr


def test_versions_are_made_listed_compared_and_activated(
    ada: Person, served: Served, specs: Path
) -> None:
    updated = ada("env", "update", "ada/notebook", str(specs / "new.yml"), "--note", "more")
    assert updated.stdout == f"docker pull {served.host}/ada/notebook:v2\n"
    same = ada("env", "update", "ada/notebook", str(specs / "new.yml"))
    assert "nothing was changed: version 2" in same.stderr
    lines = ada("env", "versions", "ada/notebook").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["*", "v1"]
    listed = json.loads(ada("env", "versions", "ada/notebook", "-o", "json").stdout)
    assert listed == api(served, "namespaces/ada/environments/notebook/versions")
    one = json.loads(ada("env", "versions", "ada/notebook", "-o", "json", "--limit=1").stdout)
    assert ([two["number"] for two in one["items"]], one["next"] is None) == ([2], False)
    diff = ada("env", "diff", "ada/notebook", "v1").stdout
    assert "1.0" in diff
    assert "linux-64: a node fetches" in diff
    document = json.loads(ada("env", "diff", "ada/notebook", "1", "2", "-o", "json").stdout)
    assert [two["name"] for two in document["packages"]["linux-64"]] == ["tool"]
    assert "version 1 of ada/notebook is active" in ada("env", "activate", "ada/notebook:v1").stderr
    active = json.loads(ada("env", "show", "ada/notebook:latest", "-o", "json").stdout)
    assert active == api(served, "namespaces/ada/environments/notebook/active")
    assert active["number"] == 1
    activated = json.loads(ada("env", "activate", "ada/notebook", "2", "-o", "json").stdout)
    assert activated["number"] == 2
    renewed = ada("env", "update", "ada/notebook", "--renew")
    assert "it is the same as version 2" in renewed.stderr
    kept = ada("env", "update", "ada/notebook", str(specs / "old.yml"), "--no-activate")
    assert kept.stdout.endswith(":v4\n")
    assert json.loads(ada("env", "show", "ada/notebook", "-o", "json").stdout)["active"] == 2


def test_a_version_that_cannot_be_built_is_one_sentence(ada: Person, specs: Path) -> None:
    failed = ada("env", "update", "ada/notebook", str(specs / "none.yml"), code=1)
    assert failed.stdout == ""
    assert failed.stderr.startswith("pullforge: version 2 of ada/notebook failed: ")
    assert "nothing-like-this" in failed.stderr
    arguments = ["env", "update", "ada/notebook", str(specs / "none.yml"), "--renew", "-o", "json"]
    assert json.loads(ada(*arguments, code=1).stdout)["state"] == "failed"
    assert ada("env", "wait", "ada/notebook:v2", code=1).stderr == failed.stderr
    assert "nothing-like-this" in ada("env", "log", "ada/notebook:v2").stdout
    lines = json.loads(ada("env", "log", "ada/notebook", "-o", "json").stdout)["lines"]
    assert any("nothing-like-this" in line for line in lines)
    odd = ada("env", "update", "ada/notebook", str(specs / "bad.yml"), code=1)
    assert "line 3" in odd.stderr
    first = ada("env", "create", str(specs / "none.yml"), "--to", "ada/never", code=1)
    assert "nothing-like-this" in first.stderr
    hint = "'ada/never' is there without a version: 'pullforge env update ada/never FILE'\n"
    assert first.stderr.endswith(hint)
    ended = ada("env", "cancel", "ada/notebook", code=1)
    assert "version" in ended.stderr


def test_what_is_not_waited_for_is_waited_for_later(
    ada: Person, served: Served, specs: Path
) -> None:
    asked = ada("env", "update", "ada/notebook", str(specs / "new.yml"), "--no-wait", "-o", "json")
    assert json.loads(asked.stdout)["number"] == 2
    waited = ada("env", "wait", "ada/notebook")
    assert waited.stdout == f"docker pull {served.host}/ada/notebook:v2\n"
    document = json.loads(ada("env", "wait", "ada/notebook:2", "-o", "json").stdout)
    assert document == api(served, "namespaces/ada/environments/notebook/versions/2")


def test_people_see_how_far_it_is_and_programs_get_the_result_alone(
    ada: Person, served: Served, specs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    updated = ada("env", "update", "ada/notebook", str(specs / "new.yml"))
    assert "version 2" in updated.stderr
    assert updated.stdout == f"docker pull {served.host}/ada/notebook:v2\n"


def test_environments_are_listed_by_name_and_by_what_they_have(
    ada: Person, served: Served, specs: Path
) -> None:
    ada("env", "create", str(specs / "new.yml"), "--to", "ada/other", "--description", "of two")
    assert [line.split()[0] for line in ada("env", "list").stdout.splitlines()[1:]] == [
        "ada/notebook",
        "ada/other",
    ]
    assert "of two" in ada("env", "list", "ada").stdout
    assert json.loads(ada("env", "list", "-o", "json").stdout) == api(
        served, "environments?details=true"
    )
    found = ada("env", "list", "--package=tool", "--version=2.0").stdout
    assert "ada/other" in found
    assert "ada/notebook" not in found
    assert "ada/other" not in ada("env", "list", "--search=note").stdout
    assert "ada/other" in ada("env", "list", "--mine").stdout
    assert "ada" in ada("namespace", "list", "--mine").stdout
    assert "ada/other" not in ada("env", "list", "--building").stdout
    some = ada("env", "list", "--limit=1")
    assert "there are more" in some.stderr
    assert "ada/notebook" in ada("env", "show", "ada/notebook").stdout
    shown = json.loads(ada("env", "show", "ada/notebook", "-o", "json").stdout)
    assert shown == api(served, "namespaces/ada/environments/notebook?details=true")
    assert "first" in ada("env", "show", f"http://{served.host}/ada/notebook:v1").stdout


def test_environments_are_moved_copied_deleted_and_restored(
    ada: Person, person: MakePerson, served: Served
) -> None:
    assert ada("env", "copy", "ada/notebook", "ada/copy").stdout == "ada/copy\n"
    moved = ada("env", "move", f"{served.host}/ada/copy", "ada/moved", "--output=json")
    assert json.loads(moved.stdout)["path"] == "ada/moved"
    deleted = ada("env", "delete", "ada/moved")
    assert deleted.stdout == ""
    assert "pullforge env restore ada/moved" in deleted.stderr
    assert "there is no environment 'ada/moved'" in ada("env", "show", "ada/moved", code=1).stderr
    assert "deleted" in ada("env", "list", "ada", "--deleted").stdout
    assert ada("env", "restore", "ada/moved").stdout == "ada/moved\n"
    again = ada("env", "restore", "ada/moved", code=1).stderr
    assert "'ada/moved' is not deleted: there is nothing to restore" in again
    stranger = person("bob")("env", "restore", "ada/moved", code=1).stderr
    assert "there is no namespace 'ada'" in stranger
    changed = ada("env", "update", "ada/moved", "--description", "of [bold]all")
    assert changed.stdout == "ada/moved\n"
    assert "of [bold]all" in ada("env", "show", "ada/moved").stdout


def test_a_role_is_given_explained_and_taken_back(
    ada: Person, person: MakePerson, served: Served
) -> None:
    bob = person("bob")
    assert "there is no environment" in bob("env", "show", "ada/notebook", code=1).stderr
    number = ada(
        "grant", "add", "ada/notebook", "viewer", "--user", "bob", "--days=2"
    ).stdout.strip()
    assert "ada/notebook" in bob("env", "list").stdout
    why = bob("env", "access", "ada/notebook").stdout
    assert "viewer" in why
    assert "by ada" in why
    document = json.loads(bob("env", "access", "ada/notebook", "-o", "json").stdout)
    assert document == api(served, "namespaces/ada/environments/notebook/access", "bob")
    denied = bob("env", "delete", "ada/notebook", code=1)
    assert "this needs the role admin" in denied.stderr
    assert "bob" in ada("grant", "list", "ada").stdout
    listed = json.loads(ada("grant", "list", "ada", "-o", "json").stdout)
    assert listed == api(served, "namespaces/ada/grants")
    ada("grant", "remove", "ada", number)
    assert bob("env", "list").stdout.splitlines()[1:] == []
    root = person("root")
    given = root("grant", "add", "*", "auditor", "--user=bob", "-o", "json")
    assert json.loads(given.stdout)["role"] == "auditor"
    assert "auditor" in root("grant", "list").stdout
    assert "ada/notebook" in bob("env", "list").stdout
    root("grant", "remove", "*", str(json.loads(given.stdout)["id"]))
    assert "auditor" in bob("grant", "list", code=1).stderr


def test_namespaces_are_made_changed_deleted_and_restored(
    person: MakePerson, served: Served
) -> None:
    root, ada = person("root"), person("ada")
    made = root("namespace", "create", "analytics", "--owner=ada", "--description=us")
    assert made.stdout == "analytics\n"
    refused = ada("namespace", "create", "else", code=1)
    assert "ask an administrator" in refused.stderr
    assert "analytics" in ada("namespace", "list").stdout
    shown = json.loads(ada("namespace", "show", "analytics", "-o", "json").stdout)
    assert shown == api(served, "namespaces/analytics")
    assert "us" in ada("namespace", "show", f"{served.host}/analytics").stdout
    ada("namespace", "update", "analytics", "--description=them")
    listed = json.loads(ada("namespace", "list", "-o", "json").stdout)
    assert [one["description"] for one in listed["items"]] == ["them"]
    assert "restore analytics" in ada("namespace", "delete", "analytics").stderr
    assert root("namespace", "restore", "analytics").stdout == "analytics\n"


def test_tokens_are_made_listed_and_revoked(person: MakePerson, served: Served) -> None:
    ada = person("ada")
    secret = ada("token", "create", "ci", "--scope=ada/*:pull", "--days=3").stdout.strip()
    assert secret.startswith("pft_")
    headers = {"authorization": f"Bearer {secret}"}
    me = f"http://{served.host}/api/v1/users/me"
    assert httpx.get(me, headers=headers).json()["name"] == "ada"
    listed = ada("token", "list").stdout
    assert "ci" in listed
    assert secret not in listed
    assert "ada/*:pull" in listed
    assert "is revoked" in ada("token", "revoke", "ci").stderr
    assert httpx.get(me, headers=headers).status_code == 401
    assert "no token called 'ci'" in ada("token", "revoke", "ci", code=1).stderr
    assert "ci" in ada("token", "list", "--ended").stdout
    document = json.loads(ada("token", "create", "two", "-o", "json").stdout)
    ada("token", "revoke", str(document["id"]))
    root = person("root")
    robot = root("token", "create", "nodes", "--robot", "--user=k8s").stdout.strip()
    headers = {"authorization": f"Bearer {robot}"}
    assert httpx.get(me, headers=headers).json()["name"] == "k8s"
    assert "nodes" in root("token", "list", "--user=k8s").stdout


def test_whoever_has_not_logged_in_is_told_how(served: Served, tmp_path: Path) -> None:
    stranger = Person("nobody", tmp_path)
    told = stranger("env", "list", code=1).stderr
    assert "pullforge login HOST" in told
    told = stranger("env", "show", f"{served.host}/ada/notebook", code=1).stderr
    assert f"pullforge login {served.host}" in told
    told = stranger("env", "list", "--server", served.host).stderr
    assert told.startswith("you are not logged in")
    assert f"pullforge login {served.host}" in told
    (tmp_path / ".netrc").write_text(f'machine 127.0.0.1 login ada password "{PASSWORD}"\n')
    assert stranger("env", "list", "--server", served.host).stderr == ""


def test_a_list_of_a_namespace_that_is_not_there_is_an_error(person: MakePerson) -> None:
    ada = person("ada")
    shown = ada("namespace", "show", "nowhere", code=1)
    listed = ada("env", "list", "nowhere", code=1)
    assert (listed.stdout, listed.stderr) == ("", shown.stderr)
    ada("namespace", "create", "ada")
    assert ada("env", "list", "ada").stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["env", "show", "notebook"],
        ["env", "show", "a/b/c/d"],
        ["env", "show", "ada/"],
        ["env", "show", "ada/x:"],
        ["env", "show", "localhost:1/x"],
        ["env", "show", "ada/x:old"],
        ["env", "update", "ada/x"],
        ["env", "update", "ada/x:v1", "--renew"],
        ["env", "create", "missing.yml", "--to", "ada/x"],
        ["env", "create"],
        ["env", "activate", "ada/x"],
        ["env", "activate", "ada/x:v1", "2"],
        ["env", "diff", "ada/x", "latest"],
        ["env", "copy", "ada/x", "one.example/ada/y"],
        ["env", "list", "--version=1"],
        ["env", "list", "--deleted"],
        ["env", "list", "--output=yaml"],
        ["env", "show", "one.example/ada/x", "--server=two.example"],
        ["env", "run", "ada/x"],
        ["env", "run", "ada/x", "--"],
        ["namespace", "update", "ada"],
        ["namespace", "show", "a/b/c"],
        ["grant", "add", "ada", "viewer"],
        ["grant", "add", "ada", "viewer", "--user=a", "--everyone"],
        ["grant", "add", "ada", "auditor", "--user=a"],
        ["grant", "add", "ada", "king", "--user=a"],
        ["grant", "remove", "ada", "x"],
        ["token", "create", "x", "--robot"],
        ["token", "create", "x", "--right=a:push", "--scope=a:push"],
    ],
)
def test_bad_usage_is_told_without_asking_a_server(arguments: list[str], tmp_path: Path) -> None:
    assert "Usage:" in Person("nobody", tmp_path)(*arguments, code=2).stderr


def test_names_are_read_with_and_without_a_host() -> None:
    assert environment_place("a/b").host is None
    assert environment_place("host:1/a/b:v1").written == "host:1/a/b"
    assert environment_place("localhost/a/b").host == "localhost"
    assert environment_place("https://host:1/a/b").host == "https://host:1"
    assert environment_place("a b/ü").address == "namespaces/a%20b/environments/%C3%BC"
    assert namespace_place("http://host/a").host == "http://host"


def test_too_many_slashes_make_no_host_of_a_name() -> None:
    with pytest.raises(typer.BadParameter, match="a namespace has no '/'"):
        namespace_place("analytics/x")
    for text in ("bob/a/b", "bob/a/b:v1", "bob/a/b/c"):
        with pytest.raises(typer.BadParameter, match="is written NAMESPACE/ENVIRONMENT"):
            environment_place(text)


def test_what_a_version_consists_of_is_listed(ada: Person, served: Served, specs: Path) -> None:
    ada("env", "update", "ada/notebook", str(specs / "new.yml"))
    lines = ada("env", "packages", "ada/notebook").stdout.splitlines()
    assert lines[0].split()[:3] == ["package", "version", "build"]
    assert any(line.startswith("*") for line in lines[1:])
    asked = ada("env", "packages", "ada/notebook:v1", "--requested").stdout.splitlines()
    assert all(line.startswith("*") for line in asked[1:])
    document = json.loads(ada("env", "packages", "ada/notebook", "-o", "json").stdout)
    assert document["packages"] == len(document["items"])
    name = document["requested"][0]["name"]
    layers = ada("env", "layers", "ada/notebook").stdout
    assert "a node that has v1 fetches" in layers
    assert name in layers
    having = ada("env", "having", name).stdout.splitlines()
    assert having[1].split()[:2] == ["ada/notebook", "v2"]
    assert ada("env", "having", name, "--version", ">=9999").stdout.splitlines()[1:] == []
    refused = ada("env", "having", name, "--version", ">==", code=1)
    assert "condition on a version" in refused.stderr
    shown = ada("env", "show", "ada/notebook").stdout
    assert "v2 built" in shown
    assert "findings" in shown
    listed = ada("env", "list").stdout.splitlines()
    assert listed[0].split() == [
        "environment",
        "active",
        "newest",
        "size",
        "last",
        "used",
        "description",
    ]
