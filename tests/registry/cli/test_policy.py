import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.cli.servers import MakePerson, Served, serving
from tests.registry.web.api.site import Site

NO_TOOL_2 = 'contact = "it@example.org"\n[packages]\ndenied = ["tool 2.0"]\n'
PLACE = "ada/notebook"


@pytest.fixture
def served(people_site: Site) -> Iterator[Served]:
    with serving(people_site.configured()) as served:
        yield served


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "company.toml"
    path.write_text(NO_TOOL_2)
    return str(path)


def test_a_policy_is_tried_set_shown_and_deleted(
    person: MakePerson, policy: str, specs: Path
) -> None:
    ada, root = person("ada"), person("root")
    ada("env", "create", str(specs / "new.yml"), "--to", PLACE)
    tried = root("policy", "test", policy)
    assert "tool ==2.0 is not installed." in tried.stdout
    assert "1 finding in 1 environment, 1 of them in the active version" in tried.stdout
    assert PLACE in tried.stdout
    wanted = ("--specification", str(specs / "new.yml"))
    tried = root("policy", "test", policy, *wanted, code=1)
    assert "it could not be built: " in tried.stdout
    assert "it@example.org" in tried.stdout
    assert root("policy", "list").stdout.count("company") == 0
    said = root("policy", "set", policy)
    assert "it holds from now on, as version 1" in said.stderr
    listed = root("policy", "list").stdout
    assert "company" in listed
    assert "tool ==2.0 is not installed." in listed
    assert root("policy", "show", "company").stdout == NO_TOOL_2
    assert "root" in ada("policy", "show", "--namespace", "ada").stdout
    refused = ada("env", "update", PLACE, str(specs / "new.yml"), "--renew", code=1)
    assert "policy 'company'" in refused.stderr
    assert "1" in root("policy", "versions", "company").stdout
    root("policy", "delete", "company")
    assert "there is no policy 'company'" in root("policy", "show", "company", code=1).stderr


def test_a_namespace_has_a_policy_of_its_own(person: MakePerson, policy: str, specs: Path) -> None:
    ada, root = person("ada"), person("root")
    ada("env", "create", str(specs / "old.yml"), "--to", PLACE)
    assert "version 1" in ada("policy", "set", policy, "--namespace", "ada").stderr
    shown = ada("policy", "show", "--namespace", "ada")
    assert "own" in shown.stdout
    assert "tool ==2.0 is not installed." in shown.stdout
    document = json.loads(ada("policy", "show", "--namespace", "ada", "-o", "json").stdout)
    assert document["own"]["text"] == NO_TOOL_2
    assert "policy 'own'" in ada("env", "update", PLACE, str(specs / "new.yml"), code=1).stderr
    assert json.loads(ada("policy", "findings", "ada", "-o", "json").stdout)["items"] == []
    assert ada("policy", "set", policy, code=1).stderr.startswith("pullforge: 'ada' may not")
    ada("policy", "delete", "--namespace", "ada")
    assert "no policy holds there" in ada("policy", "show", "--namespace", "ada").stderr
    assert root("policy", "findings").stdout.startswith("environment")


def test_what_a_policy_did_is_told_and_shown(
    person: MakePerson, tmp_path: Path, specs: Path
) -> None:
    ada, root = person("ada"), person("root")
    policy = tmp_path / "company.toml"
    policy.write_text(f"{NO_TOOL_2}required = [{{ spec = 'library', reason = 'we need it' }}]\n")
    root("policy", "set", str(policy))
    (specs / "any.yml").write_text("channels: [main]\ndependencies: [tool]\n")
    made = ada("env", "create", str(specs / "any.yml"), "--to", PLACE)
    shown = ada("env", "show", f"{PLACE}:v1")
    for text in (made.stderr, shown.stdout, ada("env", "versions", PLACE).stdout):
        assert "policy: library is added by policy 'company': we need it" in text
        assert "policy: tool 2.0 is left out by policy 'company'" in text


def test_a_build_is_blocked_and_let_go(person: MakePerson, specs: Path) -> None:
    ada, root = person("ada"), person("root")
    ada("env", "create", str(specs / "new.yml"), "--to", PLACE)
    shown = json.loads(ada("env", "show", f"{PLACE}:v1", "-o", "json").stdout)
    key = shown["key"] if "key" in shown else shown["version"]["key"]
    assert "may not do this" in ada("block", key, "--reason", "no", code=1).stderr
    assert key in root("block", key, "--reason", "it has a backdoor").stderr
    listed = root("block").stdout
    assert key in listed
    assert "it has a backdoor" in listed
    assert "had again" in root("unblock", key).stderr
    assert "is not blocked" in root("unblock", key, code=1).stderr


def test_what_cannot_be_meant_is_said_before_anything_is_sent(
    person: MakePerson, policy: str
) -> None:
    root = person("root")
    for arguments in (
        ("policy", "show"),
        ("policy", "show", "company", "--namespace", "ada"),
        ("policy", "set", f"{policy}.missing"),
        ("block", "xyz", "--reason", "why"),
        ("block", "0" * 32),
        ("unblock", "xyz"),
    ):
        assert root(*arguments, code=2).stdout == ""
