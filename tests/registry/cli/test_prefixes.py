"""``pullforge prefixes``, against a real server with real environments of tiny packages."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from registry.prefixes.status import write_away
from tests.registry.cli.servers import MakePerson, Person, Served, answering


@pytest.fixture
def ada(person: MakePerson, specs: Path) -> Person:
    """Somebody with the environments ``ada/old`` and ``ada/new``."""
    ada = person("ada")
    ada("env", "create", str(specs / "old.yml"), "--to", "ada/old")
    ada("env", "create", str(specs / "new.yml"), "--to", "ada/new")
    return ada


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def sync(person: Person, root: Path, *options: str, code: int = 0) -> list[Any]:
    """Make a pass, and return what is told of it as JSON."""
    result = person("prefixes", "sync", "--root", str(root), "-o", "json", *options, code=code)
    return [json.loads(line) for line in result.stdout.splitlines()]


def changes(told: list[Any]) -> list[str]:
    return sorted(f"{one['change']} {one['about']}" for one in told if "change" in one)


def links(root: Path) -> dict[str, str]:
    """Return the key that each link leads to."""
    return {
        str(path.relative_to(root)): path.readlink().name for path in sorted(root.glob("*/envs/*"))
    }


def test_a_directory_becomes_what_the_server_says(ada: Person, root: Path) -> None:
    would = ada("prefixes", "sync", "--root", str(root), "--dry-run").stdout.splitlines()
    assert not root.exists(), "it only says so"
    made = ada("prefixes", "sync", "--root", str(root))
    done = [re.sub(r", [0-9.]+ \w+\)$", ")", line) for line in made.stdout.splitlines()]
    assert sorted(done) == sorted(
        line.replace("would make", "made").replace("would link", "linked") for line in would
    )
    assert len(done) == 6
    assert "2 prefixes, 4 links" in made.stderr
    assert "all as it is to be" in made.stderr
    for name, says in (("old", "1.0"), ("new", "2.0")):
        tool = root / "ada" / "envs" / name / "bin" / "tool"
        assert f"echo {says}" in tool.read_text()
        assert os.access(tool, os.X_OK)
    again = ada("prefixes", "sync", "--root", str(root))
    assert again.stdout == ""
    (told,) = sync(ada, root)
    assert told["pass"] | {"seconds": 0, "bytes_on_disk": 0} == {
        "is_equal": True,
        "is_cut_short": False,
        "seconds": 0,
        "prefixes": 2,
        "unwanted": 0,
        "links": 4,
        "packages": 3,
        "bytes_on_disk": 0,
        "bytes_written": 0,
        "bytes_freed": 0,
        "problems": [],
    }


def test_a_link_follows_the_active_version_and_goes_with_its_environment(
    ada: Person, root: Path, specs: Path
) -> None:
    sync(ada, root)
    first = links(root)["ada/envs/old"]
    ada("env", "update", "ada/old", str(specs / "new.yml"))
    told = changes(sync(ada, root))
    assert {"linked ada/old v2", f"unwanted {first}"} <= set(told)
    assert not any(one.startswith(("made", "removed")) for one in told)
    assert links(root)["ada/envs/old"] == links(root)["ada/envs/new"], "one prefix for both"
    assert (root / "builds" / first).is_dir(), "something may run from it"
    sync(ada, root, "--versions", "all")
    assert links(root)["ada/envs/old@v1"] == first
    ada("env", "delete", "ada/old")
    sync(ada, root, "--grace", "0")
    assert set(links(root)) == {"ada/envs/new", "ada/envs/new@v1"}
    assert not (root / "builds" / first).exists()


def test_what_is_seen_is_what_is_made(
    ada: Person, person: MakePerson, root: Path, tmp_path: Path, specs: Path, served: Served
) -> None:
    admin, bob = person("root"), person("bob")
    admin("namespace", "create", "team", "--owner", "root")
    admin("env", "create", str(specs / "old.yml"), "--to", "team/shared")
    sync(bob, root)
    assert links(root) == {}, "nobody has given him a right"
    admin("grant", "add", "team", "viewer", "--user", "bob")
    sync(bob, root)
    assert set(links(root)) == {"team/envs/shared", "team/envs/shared@v1"}
    grants = json.loads(admin("grant", "list", "team", "-o", "json").stdout)["items"]
    (number,) = (one["id"] for one in grants if "bob" in json.dumps(one))
    admin("grant", "remove", "team", str(number))
    sync(bob, root, "--grace", "0")
    assert links(root) == {}
    assert list(root.glob("builds/*")) == []
    # A token that sees one of two namespaces.
    token = tmp_path / "token"
    token.write_text(admin("token", "create", "node", "--scope", "team/*:pull").stdout)
    sync(bob, root, "--token-file", str(token), "--server", served.host)
    assert set(links(root)) == {"team/envs/shared", "team/envs/shared@v1"}
    result = admin("prefixes", "sync", "--root", str(root), "--only", "ada/n*", "--only", "adda/*")
    assert "nothing that you may see fits --only 'adda/*'\n" in result.stderr
    assert "ada/n*" not in result.stderr
    assert set(links(root)) == {"ada/envs/new", "ada/envs/new@v1"}
    # One that has ended takes nothing away.
    admin("token", "revoke", "node")
    result = bob(
        *("prefixes", "sync", "--root", str(root), "--server", served.host),
        *("--token-file", str(token)),
        code=1,
    )
    assert f"(with a new token in {token})" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert set(links(root)) == {"ada/envs/new", "ada/envs/new@v1"}


def test_what_is_no_server_changes_nothing(ada: Person, root: Path) -> None:
    sync(ada, root)
    before = links(root)
    for status, body in ((200, b"<html>"), (404, b"{}"), (502, b"bad gateway")):
        with answering(status, body) as host:
            result = ada("prefixes", "sync", "--root", str(root), "--server", host, code=1)
        assert "it is no pullforge server" in result.stderr
        assert "nobody has logged in" in result.stderr
    gone = ada("prefixes", "sync", "--root", str(root), "--server", "http://127.0.0.1:1", code=1)
    assert "does not answer" in gone.stderr
    assert links(root) == before
    assert "away since" in ada("prefixes", "status", "--root", str(root)).stdout
    sync(ada, root)
    assert "away since" not in ada("prefixes", "status", "--root", str(root)).stdout


def test_the_status_says_how_it_stands(ada: Person, root: Path, tmp_path: Path) -> None:
    nothing = ada("prefixes", "status", "--root", str(tmp_path), code=1)
    assert "pullforge: " in nothing.stderr
    sync(ada, root)
    shown = ada("prefixes", "status", "--root", str(root)).stdout
    assert "nothing: all as it is to be" in shown
    assert "2, in 2 versions" in shown
    told = json.loads(ada("prefixes", "status", "--root", str(root), "-o", "json").stdout)
    assert (told["is_equal"], told["lag_seconds"], told["links"]) == (True, 0, 4)
    write_away(root, "it does not answer", time.time() - 90)
    away = ada("prefixes", "status", "--root", str(root)).stdout
    assert "perhaps 1 min 3" in away
    assert "all as it is to be" not in away


def test_what_is_in_the_way_is_told_and_stays(ada: Person, root: Path) -> None:
    sync(ada, root, "--only", "ada/old")
    (root / "ada" / "envs" / "new").mkdir()
    result = ada("prefixes", "sync", "--root", str(root), code=1)
    assert "ada/new" in result.stderr
    assert "1 problem, told above: the next run tries again" in result.stderr
    assert (root / "ada" / "envs" / "new").is_dir()
    shown = ada("prefixes", "status", "--root", str(root), code=1).stdout
    assert "ada/envs/new" in shown


def test_another_layout_is_where_its_users_look(ada: Person, root: Path) -> None:
    sync(ada, root, "--layout", "nebari")
    (link,) = root.glob("ada/envs/ada-old")
    assert str(link.readlink()).startswith("../builds/"), "a pod sees the namespace alone"


def test_variables_stand_for_options(
    ada: Person, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLFORGE_PREFIXES_ROOT", str(root))
    monkeypatch.setenv("PULLFORGE_PREFIXES_ONLY", "ada/new ada/odd*")
    ada("prefixes", "sync")
    assert set(links(root)) == {"ada/envs/new", "ada/envs/new@v1"}
    monkeypatch.setenv("PULLFORGE_PREFIXES_GRACES", "1h")
    wrong = ada("prefixes", "sync", code=2).stderr
    told = re.sub(r"[\s│]+", " ", wrong)
    assert "PULLFORGE_PREFIXES_GRACES is no option: 'pullforge prefixes sync --help' lists" in told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--follow", "--dry-run"], "leave out"),
        (["--mount", "kernel"], "nothing is mounted with --driver hardlink"),
        (["--grace", "soon"], "is no length of time"),
        (["--only", "analytics"], "'analytics' is no name of environments"),
        (["--only", "a*b*c*d*e*f/x", "--follow"], "at most 4 times in each"),
        (["--versions", "-1"], "is no number of versions"),
        (["--umask", "999"], "is no umask"),
        (["--umask", "0722"], "even the owner can use nothing"),
        (["--owner", "no such user"], "has no user"),
        (["--group", "no such group"], "has no group"),
        (["--metrics", "9465"], "is no ADDRESS:PORT"),
        (["--platform", "win-64"], "is none of linux-64"),
        (["--builds", "builds"], "write {key}"),
        (["--link", "{namespace}/{key}"], "environment"),
        (["--version-link", "../{number}"], "is no path in a root"),
        (["--layout", "mine"], "own"),
        (["--root", "/"], "can be no root"),
        (["--root", "/no/such/place"], "is not there"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    root: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    nobody = Person("nobody", tmp_path)
    told = nobody("prefixes", "sync", "--root", str(root), *options, code=2).stderr
    assert sentence in re.sub(r"[\s│]+", " ", told)
    assert not root.exists()


def test_an_address_that_others_have_is_told(ada: Person, root: Path, served: Served) -> None:
    told = ada("prefixes", "sync", "--root", str(root), "--metrics", served.host, code=1).stderr
    assert "metrics cannot be answered" in told
    assert "choose another address" in told
