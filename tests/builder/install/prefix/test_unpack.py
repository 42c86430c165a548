"""What is unpacked is, in the prefix of images, what the layer of the same package is."""

import hashlib
import json
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from builder.errors import PackageError, UnsafePackage, UnsupportedPackage
from builder.install.limits import Limits
from builder.install.prefix.unpack import unpack
from builder.install.prefix.unpacked import PARTS, TREE, read_unpacked
from builder.layer import PREFIX, LayerPackage, PythonTarget
from conformance.channel.hostile import HOSTILE
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from tests.builder.install.layers import PYTHON, Changed, assemble_bytes, record_of, store
from tests.builder.install.prefix.unpacking import (
    Node,
    in_image,
    in_prefix,
    require_equal,
    unpacked,
)
from tests.builder.install.test_assemble import DEMO, MODULES
from tests.builder.install.test_hostile_packages import REFUSED
from tests.builder.install.wheel.test_hostile_wheels import ATTACKS
from tests.builder.install.wheel.test_hostile_wheels import SMALL as SMALL_WHEEL
from tests.tiny_wheels import EVERYTHING, TinyWheel, wheel_bytes, wheel_record

_SMALL = Limits(unpacked_bytes=16 * 1024 * 1024)
#: Of another length than that of images.
_PREFIX = "/srv/environments/builds/0123456789abcdef"


def _planned(given: Package | Changed | TinyWheel) -> tuple[LayerPackage, bytes]:
    if isinstance(given, TinyWheel):
        return LayerPackage(wheel_record(given)), wheel_bytes(given)
    changed = given if isinstance(given, Changed) else Changed(given)
    data = package_bytes(changed.package)
    record = record_of(changed.package, data)
    return LayerPackage(record, changed.omit, changed.redirects), data


def _unpacked(directory: Path, given: Package | Changed | TinyWheel) -> Path:
    return unpacked(directory, *_planned(given))


def _arch(*entries: Entry) -> Package:
    return Package("arch", "1.0", subdir="linux-64", noarch=None, entries=entries)


_TREE = "share/big/" + "d/" * 20
_PACKAGES: dict[str, Package | Changed | TinyWheel] = {
    "demo": DEMO,
    "modules": MODULES,
    "everything": EVERYTHING,
    "left-out": Changed(DEMO, omit=("lib/libdemo.so.1", "bin/demo")),
    "redirected": Changed(DEMO, redirects=(("lib", "lib64"), ("share", "usr/share"))),
    "modules-left-out": Changed(MODULES, omit=("bin/modules", "bin/tool")),
    "old": Package("old", "1.0", entries=[Entry("share/x", b"x")], extension=".tar.bz2"),
    "empty": Package("empty", "1.0"),
    "hard-links": _arch(
        Entry("bin/a", b"program", mode=0o755),
        Entry("bin/b", hardlink="bin/a"),
        Entry("lib/c", hardlink="bin/a"),
        Entry("text/a", PLACEHOLDER.encode()),
        Entry("text/b", hardlink="text/a", prefix_mode="text"),
        Entry("text/c", hardlink="text/a", prefix_mode="binary"),
    ),
    "many": _arch(*(Entry(f"{_TREE}{n}", b"%d" % n) for n in range(100))),
    "links": _arch(
        Entry("lib/real/x", b"x"),
        Entry("lib/link", link="real"),
        Entry("lib/out", link="/etc/passwd"),
        Entry("lib/up", link="../../../../etc"),
        Entry("lib/built", link=f"{PLACEHOLDER}/lib/real"),
        Entry("lib/image", link=f"{PREFIX}/lib/real"),
        Entry("lib/like-image", link=f"{PREFIX}-other/lib"),
    ),
    "large": _arch(
        Entry("text", b"#!" + PLACEHOLDER.encode() * 50_000 + b"\n"),
        Entry("binary", b"\1" + (PLACEHOLDER.encode() + b"/x\0") * 50_000, prefix_mode="binary"),
        Entry("zeros", bytes(5 * 1024 * 1024)),
    ),
    "wide": _arch(
        Entry("utf-16", b"\1" + f"{PLACEHOLDER}/x\0z".encode("utf-16-le"), prefix_mode="binary"),
        Entry("utf-32", f"a{PLACEHOLDER}/x".encode("utf-32-be"), prefix_mode="text"),
    ),
    "wheel-commands": TinyWheel(
        "demo",
        files={"demo.py": b"x = 1\n", "{data}/scripts/run": b"#!pythonw -u\nprint('/opt/conda')\n"},
        entry_points="[console_scripts]\ndemo = demo:main\n",
    ),
}


@pytest.mark.parametrize("name", _PACKAGES)
def test_in_the_prefix_of_images_it_is_what_is_in_an_image(tmp_path: Path, name: str) -> None:
    planned = _planned(_PACKAGES[name])
    image = in_image(assemble_bytes(tmp_path / "layer", [planned]))
    require_equal(image, in_prefix(unpacked(tmp_path / "package", *planned)))


@pytest.mark.parametrize("name", sorted(_PACKAGES.keys() - {"redirected"}))
def test_in_another_prefix_records_tell_the_truth(tmp_path: Path, name: str) -> None:
    nodes = in_prefix(_unpacked(tmp_path, _PACKAGES[name]), _PREFIX)
    content = {path: node.content for path, node in nodes.items() if node.content is not None}
    for path, text in content.items():
        if path.startswith("conda-meta/"):
            record = json.loads(text)
            assert record["link"]["source"] == ""
            for listed in record["paths_data"]["paths"]:
                if said := listed.get("sha256_in_prefix"):
                    assert hashlib.sha256(content[listed["_path"]]).hexdigest() == said
        else:
            assert PLACEHOLDER.encode() not in text, path


def test_the_script_of_a_wheel_has_the_prefix_in_its_first_line_alone(tmp_path: Path) -> None:
    nodes = in_prefix(_unpacked(tmp_path, _PACKAGES["wheel-commands"]), _PREFIX)
    content = f"#!{_PREFIX}/bin/python3.11\nprint('/opt/conda')\n".encode()
    assert nodes["bin/run"].content == content
    command = nodes["bin/demo"].content
    assert command is not None
    assert command.startswith(f"#!{_PREFIX}/bin/python3.11\n".encode())
    record = nodes["lib/python3.11/site-packages/demo-1.0.dist-info/RECORD"].content
    assert record is not None
    assert f",{len(content)}\n".encode() in record
    assert f",{len(command)}\n".encode() in record


def test_a_wheel_without_commands_has_nothing_that_depends_on_the_prefix(tmp_path: Path) -> None:
    package = read_unpacked(_unpacked(tmp_path, TinyWheel("demo", files={"demo.py": b""})))
    assert package.prefixed == ()


def test_hashes_come_after_what_they_are_of(tmp_path: Path) -> None:
    package = read_unpacked(_unpacked(tmp_path, DEMO))
    assert [file.placeholder == "" for file in package.prefixed] == [False, False, False, True]


def test_a_file_said_to_have_a_prefix_and_that_has_none_is_shared(tmp_path: Path) -> None:
    entries = [
        Entry("lib/none", b"\1" * 3_000_000, prefix_mode="binary"),
        Entry("lib/some", b"\1" * 2_999_999 + PLACEHOLDER.encode() + b"\0", prefix_mode="binary"),
        Entry("share/none", b"", prefix_mode="text"),
    ]
    directory = _unpacked(tmp_path, _arch(*entries))
    package = read_unpacked(directory)
    assert package.shared == ("lib/none", "share/none")
    assert [file.path for file in package.prefixed][:1] == ["lib/some"]
    assert package.size_bytes == 3_000_000
    assert len(list((directory / PARTS).iterdir())) == 2


def test_hard_links_share_one_file_and_count_once(tmp_path: Path) -> None:
    directory = _unpacked(tmp_path, _PACKAGES["hard-links"])
    package = read_unpacked(directory)
    assert len({(directory / TREE / path).stat().st_ino for path in package.shared}) == 1
    assert package.size_bytes == len(b"program")
    parts = {file.path: file.part for file in package.prefixed}
    assert parts["text/a"] == parts["text/b"] != parts["text/c"]


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize(("wanted", "modes"), [(0o022, (0o444, 0o555)), (0o027, (0o440, 0o550))])
def test_nobody_may_write_files_whatever_the_umask_of_the_process(
    tmp_path: Path, umask: int, wanted: int, modes: tuple[int, int]
) -> None:
    package, data = _planned(DEMO)
    archive = store(tmp_path, data)
    unpack(package, None, archive, None, tmp_path / "out", wanted)
    found = {
        path.stat().st_mode & 0o7777 for path in (tmp_path / "out").rglob("*/*/*") if path.is_file()
    }
    assert found <= set(modes)
    assert {file.mode for file in read_unpacked(tmp_path / "out").prefixed} == set(modes)


def test_symlinks_are_not_made(tmp_path: Path) -> None:
    directory = _unpacked(tmp_path, _PACKAGES["links"])
    assert not [path for path in directory.rglob("*") if path.is_symlink()]
    assert in_prefix(directory, _PREFIX)["lib/built"] == Node(0, 0, target=f"{_PREFIX}/lib/real")


def test_what_is_returned_is_what_is_read_again(tmp_path: Path) -> None:
    package, data = _planned(DEMO)
    archive = store(tmp_path, data)
    assert unpack(package, None, archive, None, tmp_path / "a") == read_unpacked(tmp_path / "a")


def test_the_same_package_is_unpacked_the_same_way(tmp_path: Path) -> None:
    trees = []
    for name in ("a", "b"):
        directory = _unpacked(tmp_path / name, DEMO)
        files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
        trees.append([(path.relative_to(directory), path.read_bytes()) for path in files])
    assert trees[0] == trees[1]


def test_packages_are_unpacked_in_other_processes(tmp_path: Path) -> None:
    package, data = _planned(MODULES)
    archive = store(tmp_path, data)
    bad = archive.with_name("bad")
    bad.write_bytes(data[:-40])
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        made = pool.submit(unpack, package, PYTHON, archive, None, tmp_path / "out").result()
        refused = pool.submit(unpack, package, PYTHON, bad, None, tmp_path / "not").exception()
    assert made == read_unpacked(tmp_path / "out")
    assert isinstance(refused, PackageError)
    assert str(pickle.loads(pickle.dumps(refused))) == str(refused)
    assert not (tmp_path / "not").exists()


def test_a_directory_that_is_there_is_left_alone(tmp_path: Path) -> None:
    package, data = _planned(DEMO)
    archive = store(tmp_path, data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(FileExistsError):
        unpack(package, None, archive, None, tmp_path / "out")
    assert (tmp_path / "out/mine").exists()


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"short-placeholder"}))
def test_an_attack_is_refused_as_for_layers_and_leaves_nothing_behind(
    tmp_path: Path, name: str
) -> None:
    package, data = HOSTILE[name](Package(name, "1.0", subdir="linux-64", noarch=None))
    planned = LayerPackage(record_of(package, data))
    with pytest.raises(PackageError) as expected:
        assemble_bytes(tmp_path / "layer", [(planned, data)], limits=_SMALL)
    with pytest.raises(PackageError) as caught:
        unpacked(tmp_path / "package", planned, data, limits=_SMALL)
    assert type(caught.value) is type(expected.value)
    assert str(caught.value) == str(expected.value)
    assert [path.name for path in (tmp_path / "package").iterdir()] == [planned.record.sha256]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_by_a_wheel_is_refused_as_for_layers(tmp_path: Path, name: str) -> None:
    make, error, words = ATTACKS[name]
    data = make()
    planned = LayerPackage(wheel_record(TinyWheel("demo"), data))
    with pytest.raises(PackageError, match=words) as caught:
        unpacked(tmp_path / "package", planned, data, limits=SMALL_WHEEL)
    assert type(caught.value) is error
    assert [path.name for path in (tmp_path / "package").iterdir()] == [planned.record.sha256]


def test_whether_a_placeholder_is_too_short_is_for_the_prefix_to_say(tmp_path: Path) -> None:
    package, data = HOSTILE["short-placeholder"](
        Package("x", "1.0", subdir="linux-64", noarch=None)
    )
    planned = LayerPackage(record_of(package, data))
    with pytest.raises(UnsupportedPackage):
        assemble_bytes(tmp_path / "layer", [(planned, data)])
    assert read_unpacked(unpacked(tmp_path / "package", planned, data)).prefixed


@pytest.mark.parametrize("name", ["device-nodes", "placeholder-in-link", "suid", "unlisted-file"])
def test_what_is_harmless_is_as_in_an_image(tmp_path: Path, name: str) -> None:
    package, data = HOSTILE[name](Package(name, "1.0", subdir="linux-64", noarch=None))
    planned = LayerPackage(record_of(package, data)), data
    image = in_image(assemble_bytes(tmp_path / "layer", [planned]))
    require_equal(image, in_prefix(unpacked(tmp_path / "package", *planned)))


@pytest.mark.parametrize("site_packages", ["../../outside", "/tmp/outside", "lib/../../outside"])
def test_a_place_for_modules_outside_is_refused(tmp_path: Path, site_packages: str) -> None:
    """Installations come from a server, and are checked where they are read, too."""
    with pytest.raises(UnsafePackage):
        unpacked(tmp_path / "a", *_planned(MODULES), python=PythonTarget("3.11.7", site_packages))
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert not Path("/tmp/outside").exists()


def test_entry_points_are_not_written_through_a_symlink_of_the_package(tmp_path: Path) -> None:
    package = Package(
        "modules",
        "1.0",
        noarch="python",
        entries=[Entry("bin", link=str(tmp_path))],
        entry_points=("run = modules:main",),
    )
    with pytest.raises(UnsafePackage):
        _unpacked(tmp_path / "a", package)
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_nothing_is_left_when_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    package, data = _planned(DEMO)
    archive = store(tmp_path, data)
    monkeypatch.setattr("builder.install.prefix.unpacked_sink._write_all", refuse)
    with pytest.raises(OSError, match="No space"):
        unpack(package, None, archive, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"format":1}', b'{"format":2}', b"\xff"])
def test_what_is_no_whole_package_is_not_read(tmp_path: Path, content: bytes | None) -> None:
    directory = _unpacked(tmp_path, DEMO)
    (directory / "package.json").unlink()
    if content is not None:
        (directory / "package.json").write_bytes(content)
    with pytest.raises(ValueError, match="no whole unpacked package"):
        read_unpacked(directory)
