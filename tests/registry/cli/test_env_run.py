"""Programs run in environments on this machine, as ``pullforge env run`` starts them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conformance.channel.index import index_channel
from conformance.channel.writer import PLACEHOLDER, Entry, Package, write_package
from registry.cli.environment_cache import EnvironmentCache
from registry.cli.remote import RemoteError
from tests.registry.accounts import HASH, write_policy
from tests.registry.cli.servers import MakePerson, Person, Served, serving
from tests.registry.web.api.site import Site
from tests.tiny_channel import IN_2024

#: What is asked of the server for an archive.
ARCHIVE = "archive.tar.zst"

#: A command that is killed right after it has done something of making an environment.
KILLED = """
import os, pathlib, signal
from registry.cli import environment_cache as cache, unpacking
moment = "{moment}"
place = pathlib.Path if hasattr(pathlib.Path, moment) else cache
done = getattr(place, moment)
def then_die(*args, **options):
    found = done(*args, **options)
    if moment not in ("mkdir", "rename") or "environments" in str(args[0]):
        os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(place, moment, then_die)
from registry.__main__ import main
main()
"""


def start(person: Person, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "registry", "env", "run", *args],
        env={**os.environ, **person.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    person: Person, *args: str, code: int = 0, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    process = start(person, *args)
    out, err = process.communicate(given, timeout=100)
    assert process.returncode == code, err
    return subprocess.CompletedProcess(args, process.returncode, out, err)


@pytest.fixture
def people_site(people_site: Site) -> Site:
    """The site, with a package that has its own prefix in it and is activated."""
    entries = [
        Entry(
            "bin/where",
            f"#!/bin/sh\necho {PLACEHOLDER} $WHERE\n".encode(),
            mode=0o755,
            prefix_mode="text",
        ),
        Entry("etc/conda/activate.d/where.sh", b'export WHERE="$CONDA_PREFIX $#"\n'),
    ]
    where = Package(
        "where",
        "1.0",
        subdir="linux-64",
        noarch=None,
        entries=entries,
        timestamp_ms=IN_2024,
    )
    write_package(where, people_site.channel)
    index_channel(people_site.channel)
    return people_site


@pytest.fixture
def ada(person: MakePerson, specs: Path) -> Person:
    """Ada, with ``ada/notebook`` of two versions, of which the second is active."""
    ada = person("ada")
    (specs / "both.yml").write_text("channels: [main]\ndependencies: [tool=2.0, where]\n")
    ada("env", "create", str(specs / "old.yml"), "--to", "ada/notebook")
    ada("env", "update", "ada/notebook", str(specs / "both.yml"))
    return ada


def key_of(person: Person, number: int = 2) -> str:
    shown = person("env", "show", f"ada/notebook:v{number}", "-o", "json").stdout
    return str(json.loads(shown)["key"])


def prefix_of(person: Person, number: int = 2) -> Path:
    (found,) = (person.home / "cache/pullforge/environments" / key_of(person, number)).glob(
        "linux-*/"
    )
    return found


def fetched(served: Served) -> int:
    return sum(one.endswith(ARCHIVE) for one in served.requests)


def test_a_program_is_run_where_it_finds_its_environment(
    ada: Person, served: Served, people_site: Site
) -> None:
    assert run(ada, "ada/notebook", "--", "tool").stdout == "2.0\n"
    prefix = prefix_of(ada)
    assert run(ada, "ada/notebook", "where", "-x", "--help").stdout == f"{prefix} {prefix} 0\n"
    assert run(ada, "ada/notebook:v1", "--", "tool").stdout == "1.0\n"
    assert fetched(served) == 2
    served.requests.clear()
    assert run(ada, f"http://{served.host}/ada/notebook:latest", "tool").stdout == "2.0\n"
    assert served.requests == ["GET /api/v1/namespaces/ada/environments/notebook/active"]
    served.requests.clear()
    assert run(ada, f"ada/notebook:{key_of(ada, 1)}", "tool").stdout == "1.0\n"
    assert not [one for one in served.requests if "versions/1" not in one]
    today = json.loads(ada("env", "show", "ada/notebook:v2", "-o", "json").stdout)["ended_at"][:10]
    assert run(ada, f"ada/notebook:{today}", "tool").stdout == "2.0\n"
    assert fetched(served) == 0


def test_with_a_key_the_server_is_not_needed(
    people_site: Site, specs: Path, tmp_path: Path
) -> None:
    with serving(people_site.configured()) as served:
        ada = Person("ada", tmp_path / "ada")
        ada.home.mkdir()
        ada.log_in(served.host)
        ada("env", "create", str(specs / "old.yml"), "--to", "ada/notebook")
        key = key_of(ada, 1)
        run(ada, "ada/notebook", "true")
    assert run(ada, f"ada/notebook:{key}", "tool").stdout == "1.0\n"
    down = run(ada, "ada/notebook", "tool", code=1)
    assert "does not answer" in down.stderr
    assert down.stderr.count("\n") == 1


def test_a_viewer_needs_no_right_on_builds(people_site: Site, specs: Path, tmp_path: Path) -> None:
    lines = ['private = ["env/**", "build/**"]']
    for name, rights in (("ada", '["**:build"]'), ("bob", "[]")):
        lines += [f"[users.{name}]", f"hash = '{HASH}'", f"rights = {rights}"]
    write_policy(people_site.root / "auth.toml", *lines)
    with serving(people_site.configured()) as served:
        ada, bob = (Person(name, tmp_path / name) for name in ("ada", "bob"))
        for one in (ada, bob):
            one.home.mkdir()
            one.log_in(served.host)
        ada("env", "create", str(specs / "old.yml"), "--to", "ada/notebook")
        ada("grant", "add", "ada/notebook", "viewer", "--user", "bob")
        key = key_of(ada, 1)
        shown = json.loads(ada("env", "show", "ada/notebook:v1", "-o", "json").stdout)
        for tag in ("", ":v1", f":{key}", f":{shown['ended_at'][:10]}"):
            assert run(bob, "--renew", f"ada/notebook{tag}", "tool").stdout == "1.0\n", tag
        assert not [one for one in served.requests if "/builds/" in one]
        ada("env", "create", "--to", "ada/other")
        refused = run(ada, "--renew", f"ada/other:{key}", "tool", code=1)
        assert f"build/{key}" in refused.stderr


def test_input_output_exit_codes_and_signals_are_the_programs(ada: Person) -> None:
    both = run(
        ada, "ada/notebook", "--", "sh", "-c", "cat; echo no >&2; exit 7", code=7, given="in"
    )
    assert (both.stdout, both.stderr) == ("in", "no\n")
    assert (
        run(ada, "ada/notebook", "sh", "-c", 'echo "$1|$2"', "sh", "a b", "*").stdout == "a b|*\n"
    )
    absent = run(ada, "ada/notebook", "no-such-program", code=127)
    assert "no-such-program" in absent.stderr
    process = start(ada, "ada/notebook", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; read x")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate("\n", timeout=60)
    assert process.returncode == 9
    process = start(ada, "ada/notebook", "--", "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    # What nobody reads any more ends its writer: Python itself ignores that signal.
    process = start(ada, "ada/notebook", "--", "sh", "-c", "yes; echo $? >&2")
    assert process.stdout is not None
    assert process.stdout.readline() == "y\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read().strip() == str(128 + signal.SIGPIPE)
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


def test_of_many_who_start_at_once_one_fetches_it(ada: Person, served: Served) -> None:
    processes = [start(ada, "ada/notebook", "tool") for _ in range(6)]
    outcomes = [process.communicate(timeout=100) for process in processes]
    assert outcomes == [("2.0\n", "")] * 6
    assert fetched(served) == 1


def test_what_is_half_there_damaged_or_was_moved_is_mended(ada: Person, served: Served) -> None:
    run(ada, "ada/notebook", "true")
    prefix = prefix_of(ada)
    (prefix / "pullforge.json").unlink()
    (prefix.parent / f".unpacking-{prefix.name}-left").mkdir()
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    assert sorted(one.name for one in prefix.parent.iterdir()) == [
        prefix.name,
        f"{prefix.name}.lock",
        f"{prefix.name}.used",
    ]
    record = next((prefix / "conda-meta").glob("where-*.json"))
    record.unlink()
    run(ada, "ada/notebook", "tool")
    assert record.is_file()
    shutil.rmtree(prefix / "bin")
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    (prefix / "pullforge.json").write_text("{")
    run(ada, "ada/notebook", "true")
    assert fetched(served) == 5
    (prefix / "lib/library.txt").unlink()
    run(ada, "--renew", "ada/notebook", "true")
    assert (prefix / "lib/library.txt").is_file()
    elsewhere = Person("ada", ada.home.with_name("elsewhere"))
    ada.home.rename(elsewhere.home)
    assert run(elsewhere, "ada/notebook", "where").stdout.startswith(str(elsewhere.home))
    assert fetched(served) == 7


def test_what_was_not_used_for_long_is_removed_when_another_is_made_and_never_what_runs(
    ada: Person, tmp_path: Path
) -> None:
    run(ada, "ada/notebook:v1", "true")
    old = prefix_of(ada, 1)
    used = old.with_name(f"{old.name}.used")
    process = start(ada, "ada/notebook:v1", "--", "sh", "-c", "echo ready; read x; tool")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.utime(used, (0, 0))
    run(ada, "--renew", "ada/notebook:v2", "true")
    assert old.is_dir()
    assert process.communicate("\n", timeout=60)[0] == "1.0\n"
    run(ada, "--renew", "--keep-days", "0", "ada/notebook:v2", "true")
    assert old.is_dir()
    run(ada, "ada/notebook:v1", "true")  # now it was used
    run(ada, "--renew", "ada/notebook:v2", "true")
    assert old.is_dir()
    days = 31 * 86_400
    os.utime(used, (used.stat().st_atime, used.stat().st_mtime - days))
    run(ada, "--renew", "--keep-days", "32", "ada/notebook:v2", "true")
    assert old.is_dir()
    (old.parent / f".unpacking-{old.name}-left").mkdir()
    run(ada, "--renew", "ada/notebook:v2", "true")
    left = {one.name for one in old.parent.iterdir()}
    assert left == {used.name, f"{old.name}.lock"}
    assert run(ada, "ada/notebook:v1", "tool").stdout == "1.0\n"


def test_an_archive_that_was_changed_is_refused(ada: Person, people_site: Site) -> None:
    run(ada, "ada/notebook", "true")
    (archive,) = (path for path in people_site.files("forms") if path.name == ARCHIVE)
    data = bytearray(archive.read_bytes())
    data[-5] ^= 1
    archive.chmod(0o644)
    archive.write_bytes(data)
    refused = run(ada, "--renew", "ada/notebook", "tool", code=1)
    assert "as the server says" in refused.stderr
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"


def test_a_version_that_is_none_or_failed_is_told(ada: Person, specs: Path) -> None:
    ada("env", "update", "ada/notebook", str(specs / "none.yml"), code=1)
    failed = run(ada, "ada/notebook:v3", "tool", code=1).stderr
    assert "nothing to run: " in failed
    assert "nothing-like-this" in failed
    assert "version" in run(ada, "ada/notebook:v9", "tool", code=1).stderr
    assert "1999" in run(ada, "ada/notebook:1999-01-01", "tool", code=1).stderr
    unknown = run(ada, f"ada/notebook:{'0' * 32}", "tool", code=1).stderr
    assert "there is no build" in unknown


def test_what_was_killed_at_any_moment_is_mended(ada: Person) -> None:
    """Killed while it fetches, unpacks and puts in order: the next one makes all of it."""
    moments = ["mkdir", "unpack", "rename", "_put_in_order", "_write"]
    for moment in moments:
        code = KILLED.format(moment=moment)
        killed = subprocess.run(
            [sys.executable, "-c", code, "env", "run", "--renew", "ada/notebook", "true"],
            env={**os.environ, **ada.environ},
            check=False,
            capture_output=True,
            timeout=100,
        )
        assert killed.returncode == -signal.SIGKILL, (moment, killed.stderr)
        assert run(ada, "ada/notebook", "tool").stdout == "2.0\n", moment
        prefix = prefix_of(ada)
        assert run(ada, "ada/notebook", "where").stdout == f"{prefix} {prefix} 0\n"
    run(ada, "--renew", "ada/notebook", "true")
    left = sorted(one.name for one in prefix.parent.iterdir())
    assert left == [prefix.name, f"{prefix.name}.lock", f"{prefix.name}.used"]


def test_what_cannot_be_fetched_leaves_nothing(tmp_path: Path) -> None:
    cache = EnvironmentCache(tmp_path, lambda _: None)

    def fetch(_target: Path) -> str:
        raise RemoteError("not today")

    with pytest.raises(RemoteError, match="not today"):
        cache.make("ab" * 16, "linux-64", fetch)
    assert [path.name for path in (tmp_path / ("ab" * 16)).iterdir()] == ["linux-64.lock"]


def test_whoever_waits_is_told_and_takes_what_the_other_made(tmp_path: Path) -> None:
    told: list[str] = []
    key, gate, waiting = "ab" * 16, threading.Event(), threading.Event()

    def say(text: str) -> None:
        told.append(text)
        waiting.set()

    def fetch(_target: Path) -> str:
        gate.set()
        waiting.wait(60)
        raise RemoteError("the first failed")

    def first() -> None:
        with pytest.raises(RemoteError):
            EnvironmentCache(tmp_path, lambda _: None).make(key, "linux-64", fetch)

    thread = threading.Thread(target=first)
    thread.start()
    gate.wait(60)

    def again(_target: Path) -> str:
        raise RemoteError("the second tries")

    with pytest.raises(RemoteError, match="the second tries"):
        EnvironmentCache(tmp_path, say).make(key, "linux-64", again)
    thread.join()
    assert told == ["waiting for another process that makes it"]


def test_a_path_that_is_too_long_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    def fetch(_target: Path) -> str:
        raise AssertionError

    with pytest.raises(RemoteError, match="set XDG_CACHE_HOME"):
        EnvironmentCache(tmp_path / ("x" * 250), print).make("ab" * 16, "linux-64", fetch)
    (tmp_path / "file").write_text("")
    with pytest.raises(RemoteError, match="cannot be written: Not a directory"):
        EnvironmentCache(tmp_path / "file", print).make("ab" * 16, "linux-64", fetch)
