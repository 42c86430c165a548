import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import UnsafePackage
from builder.install.prefix.errors import DirectoryUnusable, PrefixTooLong
from builder.install.prefix.link import MARK, LinkOptions, link
from conformance.channel.writer import PLACEHOLDER, Entry, Package
from tests.builder.install.prefix.prefixes import KEY, Root
from tests.tiny_wheels import TinyWheel

HOLDER = PLACEHOLDER.encode()
TOOL = Package(
    "tool",
    "1.0",
    subdir="linux-64",
    noarch=None,
    entries=[
        Entry("bin/tool", b"#!" + HOLDER + b"/bin/sh -e\n", mode=0o755),
        Entry("empty", directory=True),
        Entry("etc/tool.conf", b"root=" + HOLDER + b"\nlib=" + HOLDER + b"/lib\n"),
        Entry("lib/libtool.so", b"\0" + HOLDER + b"/lib:" + HOLDER + b"\0end", mode=0o755),
        Entry("lib/libtool.so.1", link="libtool.so"),
        Entry("share/doc/readme", b"plain"),
        Entry("share/here", link=PLACEHOLDER + "/share"),
    ],
)
PYTHON = Package(
    "python",
    "3.11.7",
    subdir="linux-64",
    noarch=None,
    entries=[Entry("bin/python3.11", link=os.path.realpath(sys.executable))],
)
HELLO = Package(
    "hello",
    "1.0",
    noarch="python",
    entries=[
        Entry("site-packages/hello.py", b"def main():\n    print('hello')\n"),
        Entry(
            "python-scripts/told",
            b"#!" + HOLDER + b"/bin/python3.11 -E\nprint('told')\n",
            mode=0o755,
        ),
    ],
    entry_points=("hello = hello:main",),
)


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_file_without_the_prefix_is_that_of_the_package(root: Root) -> None:
    plan = root.plan(TOOL)
    made = root.link(plan)
    (package,) = root.unpacked(plan)
    assert made.path.joinpath("share/doc/readme").samefile(package / "tree/share/doc/readme")
    assert (made.report.how, made.report.files_shared) in (("hardlink", 1), ("reflink", 1))
    assert made.report.files_written == 3 + 1 + 3, "with a prefix, the record, marks"
    files = [path for path in made.path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert made.report.bytes_written == sum(map(size_of, files)) - len("plain")


def test_a_file_with_the_prefix_says_where_it_is(root: Root) -> None:
    made = root.link(root.plan(TOOL))
    here = str(made.path)
    assert made.text("etc/tool.conf") == f"root={here}\nlib={here}/lib\n"
    assert made.text("bin/tool") == f"#!{here}/bin/sh -e\n"
    content = (made.path / "lib/libtool.so").read_bytes()
    assert content == b"\0" + f"{here}/lib:{here}".encode().ljust(2 * len(HOLDER) + 5, b"\0") + (
        b"\0end"
    )
    assert (made.path / "lib/libtool.so.1").readlink() == Path("libtool.so")
    assert (made.path / "share/here").readlink() == Path(here) / "share"


def test_a_record_has_the_hash_of_what_was_written(root: Root) -> None:
    made = root.link(root.plan(TOOL))
    paths = {path["_path"]: path for path in made.record(TOOL)["paths_data"]["paths"]}
    for name in ("etc/tool.conf", "bin/tool", "lib/libtool.so"):
        digest = hashlib.sha256((made.path / name).read_bytes()).hexdigest()
        assert paths[name]["sha256_in_prefix"] == digest
    assert "sha256_in_prefix" not in paths["share/doc/readme"]


def test_a_wheel_says_of_its_commands_what_was_written(root: Root) -> None:
    wheel = TinyWheel(
        "six",
        files={"six.py": b"def main(): pass\n"},
        entry_points="[console_scripts]\nsix = six:main\n",
    )
    made = root.link(root.plan(PYTHON, wheel))
    script = (made.path / "bin/six").read_bytes()
    assert script.startswith(f"#!{made.path}/bin/python3.11\n".encode())
    rows = made.text("lib/python3.11/site-packages/six-1.0.dist-info/RECORD").splitlines()
    row = next(row for row in rows if row.startswith("../../../bin/six,"))
    assert row.endswith(f",{len(script)}")


def test_files_may_say_another_place_than_where_they_are_made(root: Root) -> None:
    plan = root.plan(TOOL)
    out = root.path / "aside"
    link(plan, root.packages, out, "/srv/envs/builds/1", LinkOptions())
    assert (out / "etc/tool.conf").read_text() == (
        "root=/srv/envs/builds/1\nlib=/srv/envs/builds/1/lib\n"
    )
    assert json.loads((out / MARK).read_text())["prefix"] == "/srv/envs/builds/1"


def test_python_finds_its_prefix_whatever_link_it_is_started_by(root: Root) -> None:
    names = ("bin/python", "bin/python3", "bin/python3-config")
    entries = [Entry(name, link=f"python3.11{name[11:]}") for name in names]
    named = Package("named", "1.0", subdir="linux-64", noarch=None, entries=entries)
    made = root.link(root.plan(PYTHON, named))
    targets = [str((made.path / name).readlink()) for name in names]
    python = f"{made.path}/bin/python3.11"
    assert targets == [python, python, "python3.11-config"]


def test_two_prefixes_differ_in_what_names_them_alone(root: Root) -> None:
    plan = root.plan(TOOL)
    one, other = root.link(plan, "one"), root.link(plan, "a/longer/place")
    for path in one.path.rglob("*"):
        twin = other.path / path.relative_to(one.path)
        if path.is_symlink():
            target = str(twin.readlink()).replace(str(other.path), str(one.path))
            assert target == str(path.readlink())
        elif path.is_file():
            theirs = twin.read_text(errors="replace").replace(str(other.path), str(one.path))
            if path.suffix != ".so" and path.parent.name != "conda-meta":
                assert theirs == path.read_text()
            assert twin.stat().st_mode == path.stat().st_mode
            assert twin.stat().st_mtime == path.stat().st_mtime


@pytest.mark.usefixtures("strict_umask")
def test_modes_are_those_that_are_asked_for_whatever_the_process_has(root: Root) -> None:
    plan = root.plan(TOOL)
    usual = root.link(plan, "usual")
    for directory in (".", "bin", "conda-meta", "empty", "share/doc"):
        assert usual.mode(directory) == "0o755"
    assert (usual.mode("bin/tool"), usual.mode("etc/tool.conf")) == ("0o555", "0o444")
    assert (usual.mode(MARK), usual.mode("conda-meta/history")) == ("0o444", "0o444")
    closed = root.link(plan, "closed", LinkOptions(umask=0o027))
    assert (closed.mode("share/doc"), closed.mode(MARK)) == ("0o750", "0o440")


def test_a_prefix_says_what_it_is(root: Root) -> None:
    plan = root.plan(TOOL, PYTHON)
    made = root.link(plan)
    assert json.loads(made.text("conda-meta/pullforge")) == {
        "format": 1,
        "key": KEY,
        "packages": [plan.name_of(package) for package in plan.packages],
        "platform": "linux-64",
        "prefix": str(made.path),
        "records": 2,
    }
    assert made.text("conda-meta/history") == ""
    assert json.loads(made.text("conda-meta/frozen"))["message"].startswith("pullforge keeps")
    assert not (made.path / "conda-meta/state").exists()


def test_variables_are_where_conda_looks_for_them(root: Root) -> None:
    made = root.link(root.plan(TOOL, variables={"B": "2", "A": "é"}))
    assert json.loads(made.text("conda-meta/state")) == {
        "env_vars": {"A": "é", "B": "2"},
        "version": 1,
    }


def test_a_package_without_room_for_the_prefix_is_refused_before_anything_is_made(
    root: Root,
) -> None:
    short = "/opt/anaconda1anaconda2anaconda3"
    old = Package(
        "old",
        "1.0",
        subdir="linux-64",
        noarch=None,
        entries=[Entry("bin/old", b"\0" + short.encode() + b"/lib\0", placeholder=short)],
    )
    plan = root.plan(TOOL, old)
    out = root.path / "made"
    link(plan, root.packages, out, "/" + "x" * 31, LinkOptions())
    with pytest.raises(PrefixTooLong) as refused:
        link(plan, root.packages, root.path / "other", "/" + "x" * 32, LinkOptions())
    assert refused.value.message == (
        f"package 'old-1.0-0' cannot be installed at /{'x' * 32}, which has 33 characters: its"
        " 'bin/old' has room for 32 at most, so keep environments at a shorter path"
    )
    assert not (root.path / "other").exists()


def test_a_text_has_room_for_any_prefix(root: Root) -> None:
    plan = root.plan(HELLO, PYTHON)
    where = "/" + "x" * 3000
    link(plan, root.packages, root.path / "made", where, LinkOptions())
    assert f'"{where}/bin/python3.11"' in (root.path / "made/bin/hello").read_text()


@pytest.mark.parametrize("place", ["short", "with blank", "l" * 130])
def test_commands_run_in_a_prefix_that_is_long_or_has_a_blank(root: Root, place: str) -> None:
    made = root.link(root.plan(HELLO, PYTHON), place)
    site = made.path / "lib/python3.11/site-packages"
    for command in ("hello", "told"):
        run = subprocess.run(
            [made.path / "bin" / command],
            env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=True,
        )
        assert run.stdout.decode() == f"{command}\n"


def test_a_path_that_two_packages_have_is_refused(root: Root) -> None:
    twin = Package("twin", "1.0", entries=[Entry("share/doc/readme", b"other")])
    with pytest.raises(UnsafePackage) as refused:
        root.link(root.plan(TOOL, twin))
    assert refused.value.message == (
        "path 'share/doc/readme' of package 'twin-1.0-0' is that of another package, too"
    )


@pytest.mark.parametrize("name", ["pullforge", "frozen", "history"])
def test_a_package_with_a_file_that_we_write_is_refused(root: Root, name: str) -> None:
    odd = Package("odd", "1.0", entries=[Entry(f"conda-meta/{name}", b"{}")])
    with pytest.raises(UnsafePackage) as refused:
        root.link(root.plan(TOOL, odd))
    assert refused.value.message == (
        f"a package of this environment has 'conda-meta/{name}', which pullforge writes"
    )


def test_a_symlink_of_one_package_leads_no_file_of_another_out_of_the_prefix(root: Root) -> None:
    outside = root.path / "outside"
    outside.mkdir()
    lure = Package("lure", "1.0", entries=[Entry("share", link=str(outside))])
    victim = Package("victim", "1.0", entries=[Entry("share/file", PLACEHOLDER.encode())])
    for number, packages in enumerate([(lure, victim), (victim, lure)]):
        with pytest.raises(UnsafePackage, match=r"'share' of package 'lure-1\.0-0' is that of"):
            root.link(root.plan(*packages), str(number))
    assert list(outside.iterdir()) == []


def test_what_is_not_unpacked_is_not_linked(root: Root) -> None:
    plan = root.plan(TOOL)
    (package,) = root.unpacked(plan)
    (package / "package.json").unlink()
    with pytest.raises(ValueError, match="is no whole unpacked package"):
        root.link(plan)
    assert not (root.path / "made").exists()


@pytest.mark.parametrize("lost", ["tree/share/doc/readme", "tree", "parts/0", "parts"])
def test_a_package_that_has_lost_something_is_named(root: Root, lost: str) -> None:
    plan = root.plan(TOOL)
    (package,) = root.unpacked(plan)
    (package / lost).rename(root.path / "lost")
    with pytest.raises(ValueError, match=f"{package.name} is no whole unpacked package: "):
        root.link(plan)


def test_a_package_whose_template_is_none_is_named(root: Root) -> None:
    plan = root.plan(TOOL)
    (package,) = root.unpacked(plan)
    for part in (package / "parts").iterdir():
        part.chmod(0o600)
        part.write_bytes(part.read_bytes().replace(b"\0sha256 ", b"\0other "))
    with pytest.raises(ValueError, match=f"{package.name} is no whole unpacked package: "):
        root.link(plan)


def test_what_is_there_is_left_alone(root: Root) -> None:
    (root.path / "made").mkdir()
    (root.path / "made/file").write_text("mine")
    with pytest.raises(DirectoryUnusable, match="File exists"):
        root.link(root.plan(TOOL))
    assert [path.name for path in (root.path / "made").iterdir()] == ["file"]


def test_an_environment_without_packages_is_a_prefix_as_well(root: Root) -> None:
    made = root.link(root.plan())
    assert (made.report.how, made.report.files_shared, made.report.files_written) == ("copy", 0, 3)
    assert json.loads(made.text(MARK))["packages"] == []
