import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.cli.servers import MakePerson, Served, serving
from tests.registry.web.api.site import Site

COMPANY = 'contact = "it@example.org"\n[packages]\ndenied = ["tool 2.0"]\n'
PLACE = "ada/notebook"


@pytest.fixture
def served(people_site: Site) -> Iterator[Served]:
    """A server whose IT denies ``tool 2.0``."""
    policies = people_site.root / "policies"
    policies.mkdir()
    (policies / "company.toml").write_text(COMPANY)
    with serving(people_site.configured(policies=policies)) as served:
        yield served


def test_the_command_that_a_refusal_says_is_all_that_it_takes(
    person: MakePerson, specs: Path
) -> None:
    ada, root = person("ada"), person("root")
    refused = ada("env", "create", str(specs / "new.yml"), "--to", PLACE, code=1)
    command = re.search(r"or: pullforge (waiver request \S+) --reason WHY", refused.stderr)
    assert command is not None, refused.stderr
    assert "it@example.org" in refused.stderr
    reason = "a bug is fixed in it"
    asked = ada(*command[1].split(), "--reason", reason)
    assert asked.stdout == "1\n"
    assert "waiver 1 is to let tool ==2.0 pass for 'ada/notebook'" in asked.stderr
    assert ada(*command[1].split(), "--reason", "again").stdout == "1\n"
    listed = root("waiver", "list", "--state", "waiting").stdout
    assert "company" in listed
    assert "tool ==2.0" in listed
    assert reason in listed
    assert ada("waiver", "grant", "1", code=1).stderr.startswith("pullforge: 'ada' may not do this")
    granted = root("waiver", "grant", "1", "--days", "30", "--reason", "until June").stdout
    assert "granted" in granted
    assert "until June" in granted
    done = ada("env", "wait", PLACE)
    assert done.stdout.endswith(f"{PLACE}:v2\n")
    shown = json.loads(ada("waiver", "show", "1", "-o", "json").stdout)
    assert (shown["state"], shown["decided_by"]) == ("granted", "root")
    assert shown["expires_at"] is not None
    again = ada(*command[1].split(), "--reason", "again")
    assert "already" in again.stderr
    root("waiver", "refuse", "1", "--reason", "no more")
    assert json.loads(ada("waiver", "show", "1", "-o", "json").stdout)["state"] == "ended"


def test_for_everybody_policy_and_package_are_said(person: MakePerson) -> None:
    ada, bob, root = person("ada"), person("bob"), person("root")
    ask = ("waiver", "request", "--policy", "company", "--spec", "tool ==2.0", "--reason", "why")
    asked = ada(*ask, "-o", "json")
    (document,) = json.loads(asked.stdout)["items"]
    assert document["scope"] == "everything"
    assert "for everybody" in ada(*ask).stderr
    assert json.loads(bob("waiver", "list", "-o", "json").stdout)["items"] == []
    assert "there is no waiver 1 here" in bob("waiver", "show", "1", code=1).stderr
    ada("waiver", "withdraw", "1")
    assert "is withdrawn" in root("waiver", "grant", "1", code=1).stderr
    assert "withdrawn" in ada("waiver", "list", "--mine").stdout


def test_what_cannot_be_asked_for_is_said_before_anything_is_sent(person: MakePerson) -> None:
    ada = person("ada")
    for arguments in (
        ("--reason", "why"),
        ("--reason", "why", "--policy", "company"),
        ("env/numpy", "--reason", "why"),
        (f"{PLACE}:x", "--reason", "why"),
        (PLACE,),
    ):
        assert ada("waiver", "request", *arguments, code=2).stdout == ""
    missing = ada("waiver", "request", PLACE, "--reason", "why", code=1)
    assert missing.stderr.startswith("pullforge: there is no environment")
