"""Programs run in environments on this machine, as ``pullforge env run`` starts them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from conformance.channel.index import index_channel
from conformance.channel.writer import PLACEHOLDER, Entry, Package, write_package
from registry.cli.environment_cache import EnvironmentCache
from registry.cli.remote import RemoteError
from tests.registry.accounts import HASH, write_policy
from tests.registry.cli.servers import MakePerson, Person, Served, serving
from tests.registry.web.api.site import BUILDS, Site
from tests.tiny_channel import IN_2024

KEY = "ab" * 16
#: What is asked of the server for the archive of a package.
PACKAGES = re.compile(r"/packages/[0-9a-f]{64}")

#: How many packages ``tool=2.0`` and ``where`` come to.
OF_BOTH = 3
#: A command that gets a signal right after it has done something of making an environment.
KILLED = """
import os, signal
from registry.cli import environment_cache, environment_making
from registry.prefixes import root, packages
from registry.prefixes.drivers import hardlink
name, moment = "{moment}".split(".")
place = {{"root": root.Root, "packages": packages.PackageDirectory, "unpack": packages,
    "link": hardlink, "put": hardlink.HardlinkDriver, "cache": environment_cache}}[name]
done = getattr(place, moment)
def then_die(*args, **options):
    found = done(*args, **options)
    os.kill(os.getpid(), signal.{signal})
    return found
setattr(place, moment, then_die)
signal.signal(signal.SIGINT, signal.default_int_handler)
from registry.__main__ import main
main()
"""
#: Moments of making, in their order.
MOMENTS = (
    "cache.put_aside",
    "root.open",
    "unpack.unpack_owned",
    "packages.put",
    "link.link",
    "put._put",
    "cache.remove_aside",
)


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
    (found,) = (person.home / "cache/pullforge/prefixes").glob(
        f"linux-*/builds/{key_of(person, number)}"
    )
    return found


def beside(prefix: Path) -> list[str]:
    return sorted(one.name for one in prefix.parent.iterdir())


def packages(root: Path) -> int:
    return len([*root.glob(".packages/*/package.json")])


def build(served: Served, spec: bytes) -> str:
    """Have a file built that is of no environment, and return its key."""
    reply = httpx.Response(202)
    while reply.status_code == 202:
        reply = httpx.post(
            f"http://{served.host}{BUILDS}", content=spec, headers={"prefer": "wait=25"}, timeout=60
        )
    return str(reply.json()["key"])


def fetched(served: Served) -> list[str]:
    """Return the names of the packages whose archives were asked for."""
    return sorted(one.rpartition("/")[2] for one in served.requests if PACKAGES.search(one))


def test_a_program_is_run_where_it_finds_its_environment(
    ada: Person, served: Served, people_site: Site
) -> None:
    assert run(ada, "ada/notebook", "--", "tool").stdout == "2.0\n"
    prefix = prefix_of(ada)
    assert run(ada, "ada/notebook", "where", "-x", "--help").stdout == f"{prefix} {prefix} 0\n"
    assert run(ada, "ada/notebook:v1", "--", "tool").stdout == "1.0\n"
    assert len(fetched(served)) == 4
    served.requests.clear()
    assert run(ada, f"http://{served.host}/ada/notebook:latest", "tool").stdout == "2.0\n"
    assert served.requests == ["GET /api/v1/namespaces/ada/environments/notebook/active"]
    served.requests.clear()
    assert run(ada, f"ada/notebook:{key_of(ada, 1)}", "tool").stdout == "1.0\n"
    assert not [one for one in served.requests if "versions/1" not in one]
    today = json.loads(ada("env", "show", "ada/notebook:v2", "-o", "json").stdout)["ended_at"][:10]
    assert run(ada, f"ada/notebook:{today}", "tool").stdout == "2.0\n"
    assert fetched(served) == []


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
    assert len(fetched(served)) == OF_BOTH


def test_of_another_environment_only_what_is_new_is_fetched_and_kept(
    ada: Person, served: Served, specs: Path
) -> None:
    run(ada, "ada/notebook:v2", "true")
    of_both = set(fetched(served))
    (specs / "third.yml").write_text("channels: [main]\ndependencies: [tool=1.0, where]\n")
    ada("env", "update", "ada/notebook", str(specs / "third.yml"))
    served.requests.clear()
    assert run(ada, "ada/notebook", "tool").stdout == "1.0\n"
    [new] = fetched(served)
    assert new not in of_both
    third = prefix_of(ada, 3)
    assert run(ada, "ada/notebook", "where").stdout == f"{third} {third} 0\n"
    same = "etc/conda/activate.d/where.sh"
    assert third.joinpath(same).samefile(prefix_of(ada) / same)
    root = third.parent.parent
    assert packages(root) == OF_BOTH + 1
    served.requests.clear()
    assert run(ada, "ada/notebook:v1", "tool").stdout == "1.0\n"
    assert fetched(served) == []
    assert not [one for one in served.requests if "bytecode" in one]


def test_what_two_make_at_once_of_the_same_packages_is_fetched_once(
    ada: Person, served: Served, specs: Path
) -> None:
    names = []
    for number in range(3):
        path = specs / f"n{number}.yml"
        path.write_text(
            f"channels: [main]\ndependencies: [tool=2.0, where]\nvariables: {{N: '{number}'}}\n"
        )
        names.append(f"ada/n{number}")
        ada("env", "create", str(path), "--to", names[-1])
    served.requests.clear()
    processes = [start(ada, name, "--", "sh", "-c", "echo $N; tool") for name in names]
    outcomes = [process.communicate(timeout=100) for process in processes]
    assert outcomes == [(f"{number}\n2.0\n", "") for number in range(3)]
    assert len(fetched(served)) == OF_BOTH


def test_what_is_half_there_damaged_or_was_moved_is_mended(ada: Person, served: Served) -> None:
    run(ada, "ada/notebook", "true")
    prefix = prefix_of(ada)
    (prefix / "conda-meta/pullforge").unlink()
    (prefix.parent / f".unmade-{prefix.name}-left").mkdir()
    served.requests.clear()
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    assert beside(prefix) == [prefix.name, f"{prefix.name}.lock", f"{prefix.name}.used"]
    record = next((prefix / "conda-meta").glob("where-*.json"))
    record.unlink()
    run(ada, "ada/notebook", "tool")
    assert record.is_file()
    mark = prefix / "conda-meta/pullforge"
    mark.chmod(0o644)
    mark.write_text("{")
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    shutil.rmtree(prefix)
    prefix.write_text("in the way")
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    assert fetched(served) == []  # its packages were sound
    root = prefix.parent.parent
    for index in root.glob(".packages/*/package.json"):
        index.chmod(0o644)
        index.write_text("{")
    record.unlink()
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    assert len(fetched(served)) == OF_BOTH
    (prefix / "lib/library.txt").unlink()
    run(ada, "--renew", "ada/notebook", "true")
    assert (prefix / "lib/library.txt").is_file()
    assert len(fetched(served)) == 2 * OF_BOTH
    elsewhere = Person("ada", ada.home.with_name("elsewhere"))
    ada.home.rename(elsewhere.home)
    assert run(elsewhere, "ada/notebook", "where").stdout.startswith(str(elsewhere.home))
    assert len(fetched(served)) == 2 * OF_BOTH


def test_what_is_renewed_shares_nothing_with_what_was_there(ada: Person) -> None:
    run(ada, "ada/notebook", "true")
    tool = prefix_of(ada) / "bin/tool"
    tool.chmod(0o755)
    with tool.open("r+") as file:  # that of the package, too
        file.write("#!/bin/false")
    run(ada, "--renew", "ada/notebook", "true")
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"


def test_what_was_not_used_for_long_is_removed_when_another_is_made_and_never_what_runs(
    ada: Person,
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
    root = old.parent.parent
    assert packages(root) == OF_BOTH + 1
    for left in (f"builds/.unmade-{old.name}-left", ".making/left", ".trash/left"):
        (root / left / "inner").mkdir(parents=True)
    run(ada, "--renew", "ada/notebook:v2", "true")
    new = prefix_of(ada)
    both = [new.name, f"{new.name}.lock", f"{new.name}.used", used.name, f"{old.name}.lock"]
    assert beside(new) == sorted(both)
    assert packages(root) == OF_BOTH
    assert [*root.glob(".making/*"), *root.glob(".trash/*")] == []
    assert run(ada, "ada/notebook:v1", "tool").stdout == "1.0\n"


def test_environments_of_an_earlier_release_go_when_they_were_not_used_for_long(
    ada: Person,
) -> None:
    earlier = ada.home / "cache/pullforge/environments"
    for key, age in (("ab" * 16, 40), ("cd" * 16, 20)):
        (earlier / key / "linux-64/bin").mkdir(parents=True)
        (earlier / key / "linux-64.lock").touch()
        (earlier / key / "linux-64.used").touch()
        then = time.time() - age * 86_400
        os.utime(earlier / key / "linux-64.used", (then, then))
    run(ada, "ada/notebook", "true")
    assert [one.parent.name for one in earlier.glob("*/linux-64")] == ["cd" * 16]


def test_a_package_that_was_changed_is_refused(ada: Person, people_site: Site) -> None:
    run(ada, "ada/notebook", "true")
    archives = people_site.files("packages")
    assert archives
    for archive in archives:
        data = bytearray(archive.read_bytes())
        data[-5] ^= 1
        archive.chmod(0o644)
        archive.write_bytes(data)
    refused = run(ada, "--renew", "ada/notebook", "tool", code=1)
    assert "sha256" in refused.stderr
    assert refused.stderr.count("\n") == 1
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


def test_options_after_the_name_are_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    nobody = Person("nobody", tmp_path)
    for words in (["--root", "/srv", "--", "tool"], ["--", "--root"]):
        told = nobody("env", "run", "ada/notebook", *words, code=2).stderr
        assert "'--root' is no program: write options before" in re.sub(r"[\s│]+", " ", told)


def test_what_is_blocked_is_not_run_although_it_is_on_this_machine(
    ada: Person, person: MakePerson
) -> None:
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"
    root = person("root")
    root("block", key_of(ada), "--reason", "it has a backdoor")
    for name in ("ada/notebook", "ada/notebook:v2"):
        assert "it has a backdoor" in run(ada, name, "tool", code=1).stderr
    assert "it has a backdoor" in ada("env", "show", "ada/notebook:v2").stdout
    assert "it has a backdoor" in ada("env", "versions", "ada/notebook").stdout
    root("unblock", key_of(ada))
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"


@pytest.mark.parametrize("renew", [False, True])
def test_what_was_killed_at_any_moment_is_mended(ada: Person, *, renew: bool) -> None:
    for moment in MOMENTS:
        code = KILLED.format(moment=moment, signal="SIGKILL")
        options = ["--renew"] if renew else []
        killed = subprocess.run(
            [sys.executable, "-c", code, "env", "run", *options, "ada/notebook", "true"],
            env={**os.environ, **ada.environ},
            check=False,
            capture_output=True,
            timeout=100,
        )
        assert killed.returncode == -signal.SIGKILL, (moment, killed.stderr)
        said = run(ada, "ada/notebook", "sh", "-c", "where; tool").stdout
        prefix = prefix_of(ada)
        assert said == f"{prefix} {prefix} 0\n2.0\n", moment
        if not renew:
            shutil.rmtree(prefix)
            shutil.rmtree(prefix.parent.parent / ".packages")
    run(ada, "--renew", "ada/notebook", "true")
    assert beside(prefix) == [prefix.name, f"{prefix.name}.lock", f"{prefix.name}.used"]
    root = prefix.parent.parent
    assert [*root.glob(".making/*"), *root.glob(".trash/*")] == []


def test_who_is_interrupted_leaves_nothing_under_way(ada: Person) -> None:
    code = KILLED.format(moment="unpack.unpack_owned", signal="SIGINT")
    ended = subprocess.run(
        [sys.executable, "-c", code, "env", "run", "ada/notebook", "true"],
        env={**os.environ, **ada.environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    [root] = (ada.home / "cache/pullforge/prefixes").iterdir()
    assert list(root.glob(".making/*")) == []
    assert run(ada, "ada/notebook", "tool").stdout == "2.0\n"


def test_a_root_of_the_machine_is_used_without_a_download(
    ada: Person, served: Served, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    ada("prefixes", "sync", "--root", str(root), "--server", served.host)
    key = key_of(ada)
    served.requests.clear()
    place = root / "builds" / key
    name = f"ada/notebook:{key}"
    assert run(ada, "--root", str(root), name, "where").stdout == f"{place} {place} 0\n"
    assert served.requests == []
    said = run(ada, f"--root={root}", "ada/notebook", "tool").stdout
    assert said == "2.0\n"
    assert fetched(served) == []
    assert not (ada.home / "cache/pullforge").exists()
    # Of what the root has not, or not as a whole, there is one in the cache.
    assert run(ada, f"--root={root}", "ada/notebook:v1", "tool").stdout == "1.0\n"
    next((place / "conda-meta").glob("where-*.json")).unlink()
    assert run(ada, f"--root={root}", name, "where").stdout.startswith(str(ada.home))
    assert run(ada, f"--root={tmp_path}/none", name, "tool").stdout == "2.0\n"


def test_a_build_is_run_by_its_key_alone(ada: Person, served: Served, specs: Path) -> None:
    spec = (specs / "both.yml").read_bytes()
    key = build(served, spec)
    assert run(ada, f"build/{key}", "tool").stdout == "2.0\n"
    assert run(ada, f"http://{served.host}/build/{key}:latest", "tool").stdout == "2.0\n"
    assert not [one for one in served.requests if "/environments/build" in one]
    served.requests.clear()
    assert run(ada, f"build/{key}:bare", "where").stdout.endswith(" 0\n")
    assert fetched(served) == []
    unknown = run(ada, f"build/{'0' * 32}", "tool", code=1)
    assert "there is no build" in unknown.stderr
    run(ada, "build/numpy", "tool", code=1)


def test_what_cannot_be_fetched_leaves_nothing(tmp_path: Path) -> None:
    cache = EnvironmentCache(tmp_path, "linux-64", lambda _: None)

    def fill(_at: Path) -> None:
        raise RemoteError("not today")

    with pytest.raises(RemoteError, match="not today"):
        cache.make(KEY, fill)
    assert beside(cache.root / "builds" / KEY) == [f"{KEY}.lock"]


def test_whoever_waits_is_told_and_takes_what_the_other_made(tmp_path: Path) -> None:
    told: list[str] = []
    gate, waiting = threading.Event(), threading.Event()

    def say(text: str) -> None:
        told.append(text)
        waiting.set()

    def fill(_at: Path) -> None:
        gate.set()
        waiting.wait(60)
        raise RemoteError("the first failed")

    def first() -> None:
        with pytest.raises(RemoteError):
            EnvironmentCache(tmp_path, "linux-64", lambda _: None).make(KEY, fill)

    thread = threading.Thread(target=first)
    thread.start()
    gate.wait(60)

    def again(_at: Path) -> None:
        raise RemoteError("the second tries")

    with pytest.raises(RemoteError, match="the second tries"):
        EnvironmentCache(tmp_path, "linux-64", say).make(KEY, again)
    thread.join()
    assert told == ["waiting for another process that makes it"]


def test_a_path_that_is_too_long_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    def fill(_at: Path) -> None:
        raise AssertionError

    with pytest.raises(RemoteError, match="set XDG_CACHE_HOME"):
        EnvironmentCache(tmp_path / ("x" * 250), "linux-64", print).make(KEY, fill)
    (tmp_path / "file").write_text("")
    with pytest.raises(RemoteError, match="cannot be written: Not a directory"):
        EnvironmentCache(tmp_path / "file", "linux-64", print).make(KEY, fill)


def test_a_cache_that_can_be_reached_by_two_names_is_one(ada: Person, served: Served) -> None:
    run(ada, "ada/notebook", "true")
    other = Person("ada", ada.home.with_name("link"))
    other.home.symlink_to(ada.home)
    served.requests.clear()
    assert run(other, "ada/notebook", "where").stdout.startswith(f"{ada.home}/")
    assert fetched(served) == []
