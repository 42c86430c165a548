"""``pullforge solve`` and ``search``, against a real server."""

import json
from pathlib import Path

from tests.registry.cli.servers import MakePerson


def test_packages_and_files_are_solved_and_nothing_is_built(
    person: MakePerson, specs: Path
) -> None:
    ada = person("ada")
    said = ada("solve", "tool=1.0", "library").stdout
    assert "/env/library.tool.1.0:latest" in said
    assert "linux-64: 2 packages" in said
    lines = [line.split() for line in said.splitlines()]
    assert ["tool", "1.0", "0", "main"] in lines
    document = json.loads(ada("solve", str(specs / "new.yml"), "-o", "json").stdout)
    assert document["is_built"] is False
    installed = document["platforms"]["linux-64"]["installed"]
    assert {one["name"]: one["version"] for one in installed}["tool"] == "2.0"
    everything = ada("solve", "tool", "--all").stdout
    assert "library" in everything
    assert "library" not in ada("solve", "tool").stdout.replace("env/library", "")


def test_what_cannot_be_had_is_one_sentence_with_its_line(person: MakePerson, specs: Path) -> None:
    ada = person("ada")
    refused = ada("solve", str(specs / "none.yml"), code=1).stderr
    assert refused.startswith(f"pullforge: {specs / 'none.yml'}, line 2: no package 'nothing-li")
    assert "line 3" in ada("solve", str(specs / "bad.yml"), code=1).stderr
    assert "did you mean 'tool'?" in ada("solve", "toool", code=1).stderr
    there = ada("solve", "tool", "--for", "not/there", code=1).stderr
    assert there.startswith("pullforge: there is no namespace 'not'")


def test_packages_are_found_with_their_versions(person: MakePerson) -> None:
    ada = person("ada")
    assert ["tool", "main"] in [line.split() for line in ada("search", "too").stdout.splitlines()]
    lines = [line.split() for line in ada("search", "tool", "--versions").stdout.splitlines()]
    assert [line[0] for line in lines[1:]] == ["2.0", "1.0"]
    nothing = ada("search", "nothing-like-it", code=1)
    assert nothing.stderr == "there is no package with 'nothing-like-it'\n"
    found = json.loads(ada("search", "tool", "--versions", "-o", "json").stdout)
    assert found["items"][0]["platforms"] == ["linux-64"]
    assert "offers main" in ada("search", "tool", "--channel", "other", code=1).stderr
