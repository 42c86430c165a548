"""``pullforge quota``, ``retention`` and ``usage``, against a real server."""

import json

import pytest
import typer

from registry.cli.quota import counted, sized
from tests.registry.cli.servers import MakePerson


def test_quotas_are_set_by_administrators_and_shown_to_admins(person: MakePerson) -> None:
    root, ada = person("root"), person("ada")
    ada("namespace", "create", "ada")
    said = root("quota", "set", "ada", "--bytes", "5GB", "--environments", "1").stdout
    assert [line.split() for line in said.splitlines()] == [
        ["ada", "has", "may", "have"],
        ["bytes", "of", "images", "0", "bytes", "5.0", "GB", "set"],
        ["environments", "0", "1", "set"],
        ["builds", "a", "day", "0", "any", "default"],
        ["builds", "at", "once", "0", "any", "default"],
    ]
    # What is not said stays, and what is taken back is the default again.
    root("quota", "set", "ada", "--builds-a-day", "0", "--bytes", "default")
    document = json.loads(ada("quota", "show", "ada", "-o", "json").stdout)
    assert document["quota"] == {
        "size_bytes": None,
        "environments": 1,
        "builds_a_day": 0,
        "builds_at_once": None,
    }
    refused = ada("quota", "set", "ada", "--environments", "9", code=1).stderr
    assert refused == (
        "pullforge: 'ada' may not do this: it is for the administrator of the service\n"
    )
    ada("env", "create", "--to", "ada/one")
    refused = ada("env", "create", "--to", "ada/two", code=1).stderr
    assert refused.startswith("pullforge: 'ada' may have 1 environment, and would have 2: ")
    said = root("quota", "set", "ada", code=2).stderr
    assert "--builds-at-once" in said


def test_retention_is_set_tried_and_carried_out_by_admins(person: MakePerson) -> None:
    ada = person("ada")
    ada("namespace", "create", "ada")
    assert "never (default)" in ada("retention", "show", "ada").stdout
    said = ada("retention", "set", "ada", "--days", "30").stdout
    assert ("30" in said, "3 (default)" in said) == (True, True)
    ada("retention", "set", "ada", "--keep", "2")
    document = json.loads(ada("retention", "show", "ada", "--output", "json").stdout)
    assert document["retention"] == {"days": 30, "keep": 2}
    tried = ada("retention", "preview", "ada", "--days", "0", "--keep", "0")
    assert tried.stderr == "0 versions, 0 bytes would be freed\n"
    assert ada("retention", "free", "ada").stderr == "0 versions, 0 bytes freed\n"
    freed = json.loads(ada("retention", "free", "ada", "-o", "json").stdout)
    assert (freed["state"], freed["versions"], freed["size_bytes"]) == ("done", [], 0)
    for wrong in (("--days", "none"), ("--days", "-1"), ("--keep", "never"), ("--keep", "1.5")):
        assert "is not a number" in ada("retention", "set", "ada", *wrong, code=2).stderr
    refused = ada("retention", "set", "ada", "--days", "99999", code=1).stderr
    assert refused == (
        "pullforge: field 'days': is a whole number from 0 to 36500, \"never\", or null for the"
        " default\n"
    )
    refused = person("bob")("retention", "free", "ada", code=1).stderr
    assert refused == "pullforge: there is no namespace 'ada' here\n"


def test_usage_is_of_all_of_a_namespace_or_of_an_environment(person: MakePerson) -> None:
    root, ada = person("root"), person("ada")
    ada("env", "create", "--to", "ada/one")
    ada("env", "create", "--to", "ada/two")
    names = [line.split()[0] for line in ada("usage", "ada").stdout.splitlines()[1:]]
    assert names == ["ada", "ada/one", "ada/two"]
    lines = ada("usage", "ada/one", "--by-day", "--days", "3").stdout.splitlines()
    assert len(lines) == 4
    found = json.loads(ada("usage", "ada/one", "-o", "json").stdout)
    assert (found["environment"], found["pulls"], len(found["days"])) == ("ada/one", 0, 30)
    assert [line.split()[0] for line in root("usage").stdout.splitlines()[1:]] == ["ada"]
    assert "it is for the auditor of the service" in ada("usage", code=1).stderr
    assert "--by-day is of one" in root("usage", "--by-day", code=2).stderr


@pytest.mark.parametrize("text", ["-1", "1.5", "", "true", "²", "9" * 20, "None", " 5"])
def test_what_is_no_number_is_no_limit(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        counted(text)


@pytest.mark.parametrize("text", ["-1", "", "5 apples", "1e400", "nan", "-5GB", "None"])
def test_what_is_no_size_is_no_limit(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        sized(text)
