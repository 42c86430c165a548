"""``pullforge namespace`` on a real server."""

import json

import pytest

from tests.registry.cli.servers import MakePerson

pytestmark = pytest.mark.timeout(120)


def test_members_are_shown_with_their_roles_and_to_admins_why(person: MakePerson) -> None:
    ada, bob = person("ada"), person("bob")
    ada("namespace", "create", "ada")
    ada("grant", "add", "ada", "viewer", "--user", "bob")
    ada("grant", "add", "ada/fore*", "editor", "--user", "bob")
    ada("grant", "add", "ada", "viewer", "--group", "data")
    lines = ada("namespace", "members", "ada").stdout.splitlines()
    [mine] = [line for line in lines if line.startswith("ada")]
    assert "owns the namespace" in mine
    [his] = [line for line in lines if line.startswith("bob")]
    assert "viewer, editor of fore*" in his
    assert "viewer, by ada" in his
    assert any("(group data, 0)" in line for line in lines)
    assert "by ada" not in bob("namespace", "members", "ada").stdout
    found = json.loads(ada("namespace", "members", "ada", "--output", "json").stdout)
    assert [one["name"] for one in found["items"]] == ["ada", "bob"]
    assert found["shared"][0]["subject"] == "data"
