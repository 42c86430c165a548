"""What a conda-store has comes to a real server, once."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from registry.cli.api import ask
from registry.cli.conda_store_moving import Choice, Moving
from registry.cli.conda_store_records import (
    Content,
    Old,
    OldBuild,
    OldEnvironment,
    OldNamespace,
    OldRole,
    Remark,
    Unreadable,
)
from registry.cli.conda_store_report import Report
from registry.cli.remote import RemoteError
from tests.registry.cli.servers import MakePerson, Person, Served
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.timeout(120)

AT = "2025-02-01T10:00:00Z"
SPEC = {"name": "fore", "channels": ["main"], "dependencies": ["tool"]}


@dataclass
class Shelf:
    """A conda-store in memory."""

    old: Old = field(default_factory=Old)
    contents: dict[int, Content] = field(default_factory=dict)
    #: Of which builds the content was asked for.
    asked: list[int] = field(default_factory=list)
    #: After so many answers nothing comes any more.
    patience: int = 1000
    source: str = "https://old.example"

    async def read(self, namespaces: Collection[str]) -> Old:
        chosen = [one for one in self.old.namespaces if not namespaces or one.name in namespaces]
        return replace(self.old, namespaces=chosen)

    async def content(self, build: OldBuild, *, with_lock: bool) -> Content:
        if len(self.asked) == self.patience:
            raise RemoteError("it ended")
        self.asked.append(build.id)
        if build.id not in self.contents:
            raise Unreadable("nobody knows")
        found = self.contents[build.id]
        return found if with_lock else replace(found, lock=None)

    def add(
        self, path: str, *builds: tuple[int, str, str | None], current: int | None = None
    ) -> None:
        """Put an environment into it, with builds: id, status and lock."""
        namespace, name = path.split("/")
        number = len(self.old.environments) + 1
        if namespace not in {one.name for one in self.old.namespaces}:
            self.old.namespaces.append(OldNamespace(namespace))
        self.old.environments.append(OldEnvironment(number, namespace, name, "for all", current))
        for build, status, lock in builds:
            self.old.builds.append(OldBuild(build, number, status, "", AT, AT, AT))
            self.contents[build] = Content(SPEC, lock)


@pytest.fixture
def root(person: MakePerson, monkeypatch: pytest.MonkeyPatch) -> Person:
    """An administrator, whose login is that of this process."""
    somebody = person("root")
    for name, value in somebody.environ.items():
        monkeypatch.setenv(name, value)
    return somebody


@pytest.fixture
def lock(people_site: Site) -> str:
    """A lock of one package of the site's channel."""
    repodata = json.loads((people_site.channel / "noarch" / "repodata.json").read_bytes())
    listed = {**repodata["packages"], **repodata["packages.conda"]}
    file, said = next((file, one) for file, one in listed.items() if one["name"] == "tool")
    package = {
        "name": "tool",
        "version": said["version"],
        "manager": "conda",
        "platform": "linux-64",
        "dependencies": {},
        "url": f"file://{people_site.channel}/noarch/{file}",
        "hash": {"md5": said["md5"], "sha256": said["sha256"]},
        "category": "main",
        "optional": False,
    }
    metadata = {
        "content_hash": {"linux-64": "0" * 64},
        "channels": [{"url": "main", "used_env_vars": []}],
        "platforms": ["linux-64"],
        "sources": ["environment.yaml"],
    }
    return json.dumps({"version": 1, "metadata": metadata, "package": [package]})


def move(served: Served, shelf: Shelf, **choice: Any) -> Report:
    return ask(served.host, lambda api: Moving(shelf, api, Choice(**choice), lambda _: None).run())


def numbers(report: Report) -> dict[str, tuple[int, int, int]]:
    """Return how many of each kind were made, known and refused."""
    return {
        kind: (tally.made, tally.known, len(tally.refused))
        for kind, tally in report.tallies.items()
    }


def versions(root: Person, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        root("env", "versions", path, "--output", "json").stdout
    )["items"]
    return sorted(found, key=lambda one: int(one["number"]))


def test_builds_come_with_their_locks_and_what_is_active_stays_so(
    served: Served, root: Person, lock: str
) -> None:
    shelf = Shelf()
    shelf.add("Team/Fore_1", (7, "COMPLETED", lock), (9, "FAILED", None), current=7)
    shelf.old.builds.append(OldBuild(11, 1, "QUEUED", "", AT, None, None))
    report = move(served, shelf)
    assert numbers(report) == {
        "namespaces": (1, 0, 0),
        "environments": (1, 0, 0),
        "builds": (2, 0, 0),
        "roles": (0, 0, 0),
    }
    assert report.other_ids == 0
    (left,) = report.not_taken
    assert left.what == "1 builds of Team/Fore_1"
    first, second = versions(root, "team/fore_1")
    assert (first["state"], second["state"]) == ("built", "failed")
    assert first["created_at"] == AT
    shown = json.loads(root("env", "show", "team/fore_1", "-o", "json").stdout)
    assert (shown["name"], shown["description"], shown["active"]) == ("Fore_1", "for all", 1)


def test_what_is_here_is_not_read_again(served: Served, root: Person, lock: str) -> None:
    shelf = Shelf()
    shelf.add("team/one", (1, "COMPLETED", lock), (2, "COMPLETED", lock), current=2)
    shelf.add("team/two", (3, "COMPLETED", lock), current=3)
    assert numbers(move(served, shelf))["builds"] == (3, 0, 0)
    shelf.asked.clear()
    shelf.add("team/three", (4, "CANCELED", None))
    report = move(served, shelf)
    assert shelf.asked == [4]
    assert numbers(report)["environments"] == (1, 2, 0)
    assert numbers(report)["builds"] == (1, 3, 0)
    assert [one["number"] for one in versions(root, "team/one")] == [1, 2]


def test_a_run_that_is_cut_off_is_gone_on_with(served: Served, root: Person, lock: str) -> None:
    shelf = Shelf(patience=70)
    builds = [(one, "COMPLETED" if one % 2 else "FAILED", lock) for one in range(1, 101)]
    shelf.add("team/many", *builds, current=99)
    with pytest.raises(RemoteError, match="it ended; what was imported stays"):
        move(served, shelf)
    assert [one["number"] for one in versions(root, "team/many")] == list(range(1, 51))
    shelf.patience = 1000
    assert numbers(move(served, shelf))["builds"] == (50, 50, 0)
    found = versions(root, "team/many")
    assert [one["number"] for one in found] == list(range(1, 101))
    shown = json.loads(root("env", "show", "team/many", "-o", "json").stdout)
    assert shown["active"] == 99


def test_a_dry_run_changes_nothing(served: Served, root: Person, lock: str) -> None:
    shelf = Shelf()
    shelf.add("team/one", (1, "COMPLETED", lock), current=1)
    shelf.old.roles.append(OldRole("v1", "ada", "team/*", "developer"))
    before = len(served.requests)
    report = move(served, shelf, is_dry_run=True)
    assert {line.split()[0] for line in served.requests[before:]} == {"GET"}
    assert numbers(report) == {
        "namespaces": (1, 0, 0),
        "environments": (1, 0, 0),
        "builds": (1, 0, 0),
        "roles": (1, 0, 0),
    }
    assert report.document()["dry_run"]
    assert not json.loads(root("namespace", "list", "-o", "json").stdout)["items"]
    shelf.asked.clear()
    shelf.patience = 0
    with pytest.raises(RemoteError, match=r"^it ended$"):
        move(served, shelf, is_dry_run=True)


def test_what_was_imported_and_is_deleted_here_stays_so_and_is_counted_as_known(
    served: Served, root: Person, lock: str
) -> None:
    shelf = Shelf()
    shelf.add("team/one", (1, "COMPLETED", lock), current=1)
    move(served, shelf)
    root("env", "create", "--to", "team/two")
    for path in ("team/one", "team/two"):
        root("env", "delete", path)
    shelf.old.builds.append(OldBuild(2, 1, "COMPLETED", "", AT, AT, AT))
    shelf.contents[2] = Content(SPEC, lock)
    shelf.add("team/two", (3, "COMPLETED", lock), current=3)  # of that name, another was deleted
    for is_dry_run in (True, False):
        report = move(served, shelf, is_dry_run=is_dry_run)
        assert numbers(report) == {
            "namespaces": (0, 1, 0),
            "environments": (1, 1, 0),
            "builds": (1, 0, 0),
            "roles": (0, 0, 0),
        }
        (left,) = report.not_taken
        assert left.what == "team/one, with 2 builds"
        assert "'pullforge env restore team/one'" in left.why
    root("env", "restore", "team/one")
    assert numbers(move(served, shelf))["builds"] == (1, 2, 0)


def test_an_environment_of_which_no_build_is_taken_is_not_made(
    served: Served, root: Person
) -> None:
    shelf = Shelf()
    shelf.add("team/one", (1, "COMPLETED", "no lock at all"))
    report = move(served, shelf)
    assert numbers(report)["environments"] == (0, 0, 0)
    assert numbers(report)["builds"] == (0, 0, 1)


def test_what_is_not_seen_there_is_told_at_once_and_in_the_report(
    served: Served, root: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = Shelf()
    shelf.old.unseen = Remark("this token sees only team/*", "the others are not imported")
    report = move(served, shelf)
    assert report.not_taken == [shelf.old.unseen]
    told = "pullforge: this token sees only team/*: the others are not imported\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ("foo", "has no namespace 'foo' that can be seen: leave out --rename foo=bar"),
        ("team/foo", "has no environment 'team/foo' that can be seen"),
    ],
)
def test_another_name_for_what_is_not_there_is_refused(
    served: Served, root: Person, old: str, why: str
) -> None:
    shelf = Shelf()
    shelf.add("team/one", (1, "FAILED", None))
    with pytest.raises(RemoteError, match=why):
        move(served, shelf, renamed={"team": "group", old: "bar"})
    assert not json.loads(root("namespace", "list", "-o", "json").stdout)["items"]


def test_two_names_with_one_address_are_not_mixed_up(
    served: Served, root: Person, lock: str
) -> None:
    root("namespace", "create", "lab")
    shelf = Shelf()
    shelf.add("Lab/one", (1, "COMPLETED", lock))
    shelf.add("team/Two", (2, "COMPLETED", lock))
    shelf.add("team/two", (3, "COMPLETED", lock))
    shelf.add("api/one", (4, "COMPLETED", lock))
    report = move(served, shelf)
    assert numbers(report)["namespaces"] == (1, 0, 2)
    refused = [one.what for one in report.tallies["environments"].refused]
    assert refused == ["Lab/one", "team/two", "api/one"]
    renamed = {"Lab": "lab", "team/two": "two-small", "api": "interfaces"}
    report = move(served, shelf, renamed=renamed)
    assert report.is_complete
    assert numbers(report)["environments"] == (3, 1, 0)
    assert len(versions(root, "lab/one")) == len(versions(root, "team/two-small")) == 1


def test_one_build_that_cannot_be_taken_keeps_no_other(
    served: Served, root: Person, lock: str
) -> None:
    shelf = Shelf()
    shelf.add("team/one", *((one, "COMPLETED", lock) for one in range(1, 5)), current=4)
    del shelf.contents[1]
    shelf.contents[2] = Content(SPEC, "no lock at all")
    shelf.contents[3] = Content(SPEC, None, "its lock cannot be had: 404")
    shelf.old.builds[3] = replace(shelf.old.builds[3], message="\x1b[31m" + "x" * 5000)
    report = move(served, shelf)
    refused = {one.what: one.why for one in report.tallies["builds"].refused}
    assert set(refused) == {"team/one, build 1", "team/one, build 2"}
    assert refused["team/one, build 1"] == "nobody knows"
    assert "the lock of team/one, build 3" in {one.what for one in report.not_taken}
    assert [one["state"] for one in versions(root, "team/one")] == ["failed", "built"]


def test_roles_are_given_to_whom_they_were_and_replace_none(served: Served, root: Person) -> None:
    shelf = Shelf()
    shelf.old.namespaces.append(OldNamespace("Team"))
    root("grant", "add", "*/*", "viewer", "--user", "carl")
    shelf.old.roles += [
        OldRole("v1", "ada", "Team/*", "developer"),
        OldRole("v1", "ada", "Team/*", "viewer"),
        OldRole("v1", "bob", "Te*/Fore*", "admin"),
        OldRole("v1", "bob", "nowhere/*", "admin"),
        OldRole("v1", "bob", "te+am*/*", "viewer"),
        OldRole("v1", "carl", "*/*", "admin"),
        OldRole("v1", "dora", "Team/*", "king"),
    ]
    report = move(served, shelf)
    assert numbers(report)["roles"] == (2, 1, 0)
    assert [one.what for one in report.no_equal] == [
        "admin on nowhere/* for bob",
        "viewer on te+am*/* for bob",
        "king on Team/* for dora",
    ]
    (left,) = report.not_taken
    assert (left.what, left.why) == ("admin on */* for carl", "it is viewer here, which stays")
    given = json.loads(root("grant", "list", "-o", "json").stdout)["items"]
    assert {
        (one["subject"], one["namespace"], one["environment"], one["role"]) for one in given
    } >= {
        ("ada", "team", "*", "editor"),
        ("bob", "te*", "fore*", "admin"),
        ("carl", "*", "*", "viewer"),
    }
    assert numbers(move(served, shelf))["roles"] == (0, 3, 0)


def test_roles_of_two_generations_are_taken_when_it_is_said_which(
    served: Served, root: Person
) -> None:
    shelf = Shelf()
    shelf.old.namespaces.append(OldNamespace("team"))
    shelf.old.roles += [
        OldRole("v1", "ada", "team/*", "viewer"),
        OldRole("v2", "ada", "team/*", "admin"),
    ]
    report = move(served, shelf)
    assert numbers(report)["roles"] == (0, 0, 0)
    assert "--roles v1" in report.not_taken[0].why
    left = [f"{one.what}: {one.why}" for one in move(served, shelf, roles="none").not_taken]
    assert left == [f"1 roles of {one}: left out, as --roles none was said" for one in ("v1", "v2")]
    report = move(served, shelf, roles="v2")
    assert numbers(report)["roles"] == (1, 0, 0)
    (remark,) = report.not_taken
    assert remark == Remark("1 roles of v1", "left out, as --roles v2 was said")


def test_only_what_is_asked_for_is_moved(served: Served, root: Person, lock: str) -> None:
    shelf = Shelf()
    shelf.add("team/one", (1, "COMPLETED", lock))
    shelf.old.namespaces.append(OldNamespace("lab"))
    shelf.old.roles += [
        OldRole("v1", "ada", "team/*", "viewer"),
        OldRole("v1", "ada", "lab/*", "viewer"),
        OldRole("v1", "ada", "*/*", "admin"),
    ]
    report = move(served, shelf, namespaces=("team",))
    assert numbers(report)["namespaces"] == (1, 0, 0)
    assert numbers(report)["roles"] == (1, 0, 0)
    with pytest.raises(RemoteError, match="has no namespace 'nothing'"):
        move(served, shelf, namespaces=("team", "nothing"))


def test_who_is_no_administrator_is_told_at_once(
    served: Served, root: Person, person: MakePerson, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in person("ada").environ.items():
        monkeypatch.setenv(name, value)
    shelf = Shelf()
    shelf.add("team/one", (1, "COMPLETED", lock))
    with pytest.raises(RemoteError, match="administrator"):
        move(served, shelf)
