"""``pullforge proposal``, against a server: what waits is seen, decided, and tested."""

import json
from pathlib import Path

import pytest

from tests.registry.cli.servers import MakePerson, Person

PLACE = "ada/notebook"


@pytest.fixture
def ada(person: MakePerson, specs: Path) -> Person:
    """Somebody with a proposal of ``tool 2.0`` in place of ``tool 1.0``."""
    ada = person("ada")
    ada("env", "create", str(specs / "old.yml"), "--to", PLACE)
    asked = ada("env", "update", PLACE, str(specs / "new.yml"), "--propose", "--note", "newer")
    assert "'pullforge proposal show ada/notebook'" in asked.stderr
    return ada


def test_a_proposal_is_listed_shown_and_activated(ada: Person, person: MakePerson) -> None:
    for where in ((), ("ada",), (PLACE,)):
        listed = ada("proposal", "list", *where).stdout
        assert PLACE in listed
        assert "newer" in listed
    shown = ada("proposal", "show", PLACE).stdout
    assert "2.0 0" in shown
    assert "↑" in shown
    document = json.loads(ada("proposal", "show", "1", "-o", "json").stdout)
    assert (document["state"], document["base"], document["version"]) == ("open", 1, 2)
    assert "1" in ada("env", "show", PLACE).stdout
    assert "there is no proposal 1 here" in person("bob")("proposal", "show", "1", code=1).stderr
    done = ada("proposal", "activate", PLACE, "--reason", "looks good")
    assert "version 2 of ada/notebook is active" in done.stderr
    assert json.loads(ada("env", "show", PLACE, "-o", "json").stdout)["active"] == 2
    gone = ada("proposal", "show", PLACE, code=1)
    assert "no proposal waits in ada/notebook" in gone.stderr
    assert json.loads(ada("proposal", "list", "-o", "json").stdout)["items"] == []
    assert "looks good" in ada("proposal", "list", "--all").stdout
    again = ada("proposal", "reject", "1", code=1)
    assert "proposal 1 is activated" in again.stderr


def test_a_proposal_is_rejected_and_tested(ada: Person) -> None:
    refused = ada("proposal", "test", "1", code=1)
    assert "pullforge env set ada/notebook --test" in refused.stderr
    ada("env", "set", PLACE, "--test", "tool --version")
    shown = ada("env", "show", PLACE).stdout
    assert "tool --version" in shown
    tested = ada("proposal", "test", PLACE).stdout
    assert "tool --version" in tested
    assert "waiting" in tested
    rejected = ada("proposal", "reject", PLACE, "--reason", "breaks plots")
    assert "is rejected; its version stays" in rejected.stderr
    assert "breaks plots" in ada("proposal", "list", "--state", "rejected").stdout


def test_what_makes_no_sense_is_said_before_anything_is_sent(person: MakePerson) -> None:
    ada = person("ada")
    for arguments in (
        ("proposal", "show", "notebook"),
        ("proposal", "list", "--all", "--state", "open"),
        ("proposal", "list", "a/b/c"),
        ("env", "set", PLACE),
    ):
        assert ada(*arguments, code=2).stdout == ""
    missing = ada("proposal", "show", PLACE, code=1)
    assert missing.stderr.startswith("pullforge: there is no environment")
