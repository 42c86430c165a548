import json

from tests.registry.cli.servers import MakePerson


def test_somebody_is_found_disabled_and_let_in_again(person: MakePerson) -> None:
    ada, root = person("ada"), person("root")
    listed = root("account", "list", "--search", "ad").stdout
    assert "ada" in listed
    assert "root" not in listed
    assert "administrator" in root("account", "list").stdout
    root("account", "disable", "ada")
    assert ada("namespace", "list", code=1).stderr.startswith("pullforge: ")
    assert "disabled" in root("account", "list", "--disabled").stdout
    root("account", "enable", "ada")
    ada("namespace", "list")
    root("account", "disable", "ada", "--end-tokens")
    root("account", "enable", "ada")
    ada("namespace", "list", code=1)
    told = root("account", "disable", "root", code=1).stderr
    assert "nobody disables themselves" in told
    assert "'bob' may not do this" in person("bob")("account", "list", code=1).stderr


def test_groups_give_roles_and_show_them(person: MakePerson) -> None:
    ada, root = person("ada"), person("root")
    ada("namespace", "create", "ada")
    root("group", "add", "/staff/data", "bob")
    assert "bob" in root("group", "members", "/staff/data").stdout
    ada("grant", "add", "ada", "editor", "--group", "/staff/data")
    shown = root("account", "show", "bob").stdout
    assert "editor through group '/staff/data', by ada" in shown
    assert "/staff/data" in root("group", "list").stdout
    told = root("group", "delete", "/staff/data", code=1).stderr
    assert "take them back first" in told
    found = json.loads(root("account", "show", "bob", "-o", "json").stdout)
    assert [one["role"] for one in found["roles"]] == ["editor"]
    root("grant", "remove", "ada", str(found["roles"][0]["grant"]))
    root("group", "remove", "/staff/data", "bob")
    root("group", "delete", "/staff/data")
    assert "/staff/data" not in root("group", "list").stdout


def test_the_queue_is_told(person: MakePerson) -> None:
    root = person("root")
    assert "0 are made, 0 wait, 0 are stuck" in root("queue").stderr
    found = json.loads(root("queue", "--state", "stuck", "-o", "json").stdout)
    assert (found["items"], len(found["servers"])) == ([], 1)
    assert "may not do this" in person("ada")("queue", code=1).stderr
