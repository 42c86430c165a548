"""``pullforge source``, against a real server that looks at a real directory."""

import json
from pathlib import Path
from typing import Any

from tests.registry.cli.servers import MakePerson, Person

TEXT = "channels: [main]\ndependencies: [tool=1.0]\n"


def looked(root: Person, number: int, files: int) -> Any:
    """Return the document of a source as soon as so many files of it were read."""
    for _ in range(200):
        document = json.loads(root("source", "show", str(number), "-o", "json").stdout)
        if document["files"] == files:
            return document
    raise AssertionError(document)


def test_files_of_a_directory_define_environments_until_the_source_is_deleted(
    person: MakePerson, tmp_path: Path
) -> None:
    root, ada, bob = person("root"), person("ada"), person("bob")
    ada("namespace", "create", "ada")
    envs = tmp_path / "envs"
    for name, text in (("good", TEXT), ("bad", "dependencies: [a b c d]\n")):
        (envs / name).mkdir(parents=True)
        (envs / name / "environment.yml").write_text(text)
    refused = ada("source", "create", "team", str(envs), "--namespace", "ada", code=1).stderr
    assert "administrator" in refused
    made = root(
        *("source", "create", "team", str(envs), "--namespace", "ada", "--removed", "archive"),
        *("-o", "json"),
    )
    number = json.loads(made.stdout)["id"]
    assert looked(root, number, 2)["problems"] == 1
    listed = ada("source", "list", "ada", "--problems").stdout
    assert "team" in listed
    assert str(envs) not in listed, "where it is, is its admins' alone"
    files = json.loads(ada("source", "files", str(number), "--problems", "-o", "json").stdout)
    (bad,) = files["items"]
    assert bad["path"] == "bad/environment.yml"
    assert "bad/environment.yml" in ada("source", "files", str(number)).stdout
    shown = ada("env", "show", "ada/good").stdout
    assert "good/environment.yml of the source 'team'" in shown
    (tmp_path / "new.yml").write_text(TEXT.replace("1.0", "2.0"))
    edited = ada("env", "update", "ada/good", str(tmp_path / "new.yml"), code=1).stderr
    assert "is defined by good/environment.yml of the source 'team': change it there" in edited
    assert "is defined by" in ada("env", "move", "ada/good", "ada/other", code=1).stderr
    root("source", "update", str(number), "--name", "others", "--edits", "propose")
    assert "say what" in root("source", "update", str(number), code=2).stderr
    assert "is looked at" in root("source", "look", str(number)).stderr
    assert "pfh_" in root("source", "hook", str(number)).stdout
    assert "no host" in root("source", "hook", str(number), "--drop").stderr
    assert json.loads(bob("source", "list", "-o", "json").stdout)["items"] == []
    assert f"there is no source {number}" in bob("source", "show", str(number), code=1).stderr
    assert "is deleted" in root("source", "delete", str(number)).stderr
    assert "of the source" not in ada("env", "show", "ada/good").stdout
    ada("env", "set", "ada/good", "--archive")
    assert "archived" in ada("env", "show", "ada/good").stdout
    ada("env", "set", "ada/good", "--unarchive")
    wrong = ada("source", "create", "x", "ssh://git@host/x", "--namespace", "ada", code=1).stderr
    assert "https://HOST/PATH" in wrong
