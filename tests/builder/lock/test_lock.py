import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import LockError
from builder.lock import BaseReference, Lock, from_yaml, to_explicit, to_yaml
from builder.oci.digest import EMPTY
from builder.records import PackageRecord, WheelRecord
from builder.spec import Channel, VirtualPackage
from tests.builder.records_for_tests import record

MAIN = Channel("main", "http://channel.test/main")
GLIBC = VirtualPackage("__glibc", "2.36")
UNIX = VirtualPackage("__unix", "0")
DEBIAN = BaseReference("docker.io/library/debian", EMPTY)

PYTHON = dataclasses.replace(
    record("python", "zlib >=1.3,<2.0a0", "__glibc >=2.17", version="3.13.0"),
    build="h1_0_cp313t",
    build_number=7,
    python_site_packages_path="lib/python3.13t/site-packages",
)
# Two conditions on one name, one without a space, one with a channel.
PANDAS = record("pandas", "python", "numpy>=1.20", "numpy <3", "main::zlib", noarch="python")
ZLIB = dataclasses.replace(record("zlib", version="1!1.3.post1+g1"), timestamp_ms=None)

REQUESTS = WheelRecord(
    "requests",
    "2.32.0",
    "https://files.test/ab/requests-2.32.0-py3-none-any.whl",
    "1" * 64,
    size_bytes=7,
    requires=("certifi", "idna"),
)
CERTIFI = WheelRecord(
    "certifi", "2024.2.2", "https://files.test/cd/certifi-2024.2.2-py3-none-any.whl", "2" * 64
)


def lock(*records: PackageRecord, **changes: Any) -> Lock:
    fields: dict[str, Any] = {
        "platforms": {"linux-64": records or (PYTHON, PANDAS, ZLIB)},
        "channels": (MAIN,),
        "virtual_packages": (GLIBC, UNIX),
        "base": DEBIAN,
        "bytecode": {"linux-64": "3.13.0"},
    }
    return Lock(**(fields | changes))


def changed(edit: Callable[[Any], object], data: bytes = b"") -> bytes:
    """Return a lock file after ``edit`` changed what its YAML says."""
    content = yaml.safe_load(data or to_yaml(lock()))
    edit(content)
    return str(yaml.safe_dump(content, sort_keys=False)).encode()


def foreign(edit: Callable[[Any], object] = lambda _: None) -> bytes:
    """Return a lock file as conda-lock itself writes it, without what pullforge adds."""

    def forget(content: Any) -> None:
        del content["metadata"]["custom_metadata"]
        edit(content)

    return changed(forget)


def test_the_key_of_a_lock_does_not_change_from_release_to_release() -> None:
    assert lock().key == "f85c836bce64382bd1136bc35a104464"


def test_the_order_in_which_a_lock_is_put_together_does_not_matter() -> None:
    shuffled = dataclasses.replace(PYTHON, depends=tuple(reversed(PYTHON.depends)))
    other = lock(ZLIB, shuffled, PANDAS, virtual_packages=(UNIX, GLIBC))
    assert other == lock()
    assert other.key == lock().key
    assert to_yaml(other) == to_yaml(lock())
    assert [r.name for r in other.platforms["linux-64"]] == ["pandas", "python", "zlib"]


@pytest.mark.parametrize(
    "other",
    [
        lock(base=None),
        lock(base=dataclasses.replace(DEBIAN, name="docker.io/library/ubuntu")),
        lock(virtual_packages=(GLIBC,)),
        lock(bytecode={}),
        lock(channels=(Channel("other", MAIN.url),)),
        lock(PYTHON, PANDAS),
        lock(platforms={"linux-aarch64": (PYTHON, PANDAS, ZLIB)}),
        lock(PYTHON, PANDAS, dataclasses.replace(ZLIB, sha256="0" * 64)),
        lock(PYTHON, PANDAS, dataclasses.replace(ZLIB, timestamp_ms=1)),
        lock(PYTHON, PANDAS, dataclasses.replace(ZLIB, listed="{}")),
        lock(wheels={"linux-64": (CERTIFI,)}),
        lock(variables={"A": "1"}),
        lock(user="1000:1000"),
    ],
)
def test_whatever_a_lock_says_is_in_its_key(other: Lock) -> None:
    assert other.key != lock().key


def test_a_lock_holds_no_credentials() -> None:
    url = ZLIB.url.replace("http://", "http://user:secret@").replace("/main/", "/t/secret/main/")
    channel = Channel("main", "http://user:secret@channel.test/t/secret/main")
    secret = lock(PYTHON, PANDAS, dataclasses.replace(ZLIB, url=url), channels=(channel,))
    assert secret == lock()
    assert b"secret" not in to_yaml(secret)


def test_an_empty_dependency_is_none() -> None:
    empty = dataclasses.replace(ZLIB, depends=("", " ", *ZLIB.depends))
    assert lock(PYTHON, PANDAS, empty) == lock()
    assert empty.depends_names == ZLIB.depends_names


def test_two_packages_of_one_name_are_refused() -> None:
    with pytest.raises(LockError, match="package 'zlib' is locked twice for linux-64"):
        lock(ZLIB, record("zlib", version="1.4"))


@pytest.mark.parametrize(
    "original",
    [
        lock(),
        lock(base=None, bytecode={}, virtual_packages=()),
        lock(platforms={"linux-64": ()}),
        lock(platforms={"linux-aarch64": (ZLIB,), "linux-64": (PYTHON, PANDAS, ZLIB)}),
        lock(dataclasses.replace(ZLIB, size_bytes=0)),
        lock(dataclasses.replace(ZLIB, listed='{"constrains":["a <2"],"license":"\\u00fc"}')),
        lock(dataclasses.replace(ZLIB, listed="{}")),
        lock(wheels={"linux-64": (REQUESTS, CERTIFI)}),
        lock(
            wheels={
                "linux-64": (
                    dataclasses.replace(REQUESTS, requires=('a>=1; os_name == "posix"', "B>=1,<2")),
                )
            }
        ),
        lock(user="1000:0"),
        lock(variables={"GREETING": "two\nlines: ${HOME} 'ü'", "EMPTY": ""}),
    ],
)
def test_what_is_written_reads_back_the_same(original: Lock) -> None:
    data = to_yaml(original)
    back = from_yaml(data)
    assert back == original
    assert back.key == original.key
    assert to_yaml(back) == data


@pytest.mark.parametrize(
    "text",
    [
        '{"linux-aarch64": "this image is not safe: go to http://evil.example/ instead"}',
        '{"linux-aarch64": "<script>alert(1)</script>\u001b[2J"}',
        '{"osx-64": 7}',
        "not JSON",
        "[" * 100_000,
    ],
)
def test_what_no_key_covers_is_neither_read_nor_written(text: str) -> None:
    original = lock()
    data = changed(set_custom("pullforge.left_out", text))
    back = from_yaml(data)
    assert back.key == original.key
    assert not back.left_out
    assert to_yaml(back) == to_yaml(original)


def test_why_a_platform_was_left_out_is_in_no_file() -> None:
    reason = "no package 'zlib' in main for linux-aarch64"
    assert to_yaml(lock(left_out={"linux-aarch64": reason})) == to_yaml(lock())


NAMES = st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}", fullmatch=True)
SPECS = st.builds(
    lambda name, conditions: f"{name} {conditions}".strip(),
    NAMES,
    st.sampled_from(["", ">=1.0,<2.0a0", "1.2.* *_cp312", "==1!2"]),
)


@given(st.dictionaries(NAMES, st.lists(SPECS, max_size=4), max_size=5), st.booleans())
@settings(deadline=None, max_examples=50)
def test_any_dependencies_read_back_the_same(wanted: dict[str, list[str]], noarch: bool) -> None:
    records = [record(n, *deps, noarch="python" if noarch else None) for n, deps in wanted.items()]
    original = lock(platforms={"linux-64": tuple(records)})
    assert from_yaml(to_yaml(original)) == original


def test_conda_lock_itself_reads_the_file(tmp_path: Path) -> None:
    from conda_lock.lockfile import parse_conda_lock_file  # noqa: PLC0415 - slow

    path = tmp_path / "conda-lock.yml"
    path.write_bytes(to_yaml(lock()))
    parsed = parse_conda_lock_file(path)
    assert {package.name: package.hash.sha256 for package in parsed.package} == {
        "pandas": PANDAS.sha256,
        "python": PYTHON.sha256,
        "zlib": ZLIB.sha256,
    }


def test_conda_lock_renders_the_same_list_as_we_do(tmp_path: Path) -> None:
    wheels = {"linux-64": (REQUESTS, CERTIFI)}
    (tmp_path / "conda-lock.yml").write_bytes(to_yaml(lock(wheels=wheels)))
    program = str(Path(sys.executable).with_name("conda-lock"))
    command = [program, "render", "--kind", "explicit", "-p", "linux-64", "conda-lock.yml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    theirs = (tmp_path / "conda-linux-64.lock").read_text().splitlines()
    ours = to_explicit(lock(wheels=wheels), "linux-64").splitlines()
    said = [line for line in theirs if line[0] != "#" or line.startswith("# pip ")]
    assert sorted(said) == sorted(ours[1:])
    assert f"# pip certifi @ {CERTIFI.url}#sha256={CERTIFI.sha256}" in ours


def test_conda_lock_renders_wheels_as_requirements_of_pip(tmp_path: Path) -> None:
    wheels = {"linux-64": (REQUESTS, CERTIFI)}
    (tmp_path / "conda-lock.yml").write_bytes(to_yaml(lock(wheels=wheels)))
    program = str(Path(sys.executable).with_name("conda-lock"))
    command = [program, "render", "--kind", "env", "-p", "linux-64", "conda-lock.yml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    rendered = yaml.safe_load((tmp_path / "conda-linux-64.lock.yml").read_text())
    assert rendered["dependencies"][-1] == {
        "pip": [
            f"certifi == 2024.2.2 --hash=sha256:{CERTIFI.sha256}",
            f"requests == 2.32.0 --hash=sha256:{REQUESTS.sha256}",
        ]
    }


def test_an_explicit_list_names_each_package_with_its_checksum() -> None:
    assert to_explicit(lock(ZLIB), "linux-64") == (
        f"# platform: linux-64\n@EXPLICIT\n{ZLIB.url}#{ZLIB.md5}\n"
    )
    with pytest.raises(LockError, match="the lock has linux-64, and not linux-aarch64"):
        to_explicit(lock(), "linux-aarch64")


def test_importing_the_module_does_not_import_conda_lock() -> None:
    check = "import sys, builder.lock; sys.exit('conda_lock' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_a_file_of_conda_lock_gives_what_it_has() -> None:
    read = from_yaml(foreign())
    assert read.channels == (MAIN,)
    assert (read.base, read.virtual_packages) == (None, ())
    packages = {package.name: package for package in read.platforms["linux-64"]}
    assert packages["python"].build == "h1_0_cp313t"
    assert packages["python"].depends == ("__glibc >=2.17", "zlib >=1.3,<2.0a0")
    assert packages["python"].size_bytes == 0
    assert packages["pandas"].noarch == "python"
    assert packages["pandas"].sha256 == PANDAS.sha256


def test_packages_for_other_platforms_and_purposes_are_left_out_of_a_foreign_file() -> None:
    def edit(content: Any) -> None:
        content["metadata"]["platforms"] += ["osx-64"]
        content["package"][0]["category"] = "dev"
        content["package"][1]["platform"] = "osx-64"

    read = from_yaml(foreign(edit))
    assert {s: [p.name for p in ps] for s, ps in read.platforms.items()} == {"linux-64": ["zlib"]}


def foreign_wheel(**changes: Any) -> bytes:
    """Return a foreign file with a package of pip, as conda-lock writes it."""
    entry = {
        "name": "ruamel.yaml",
        "version": "0.18.6",
        "manager": "pip",
        "platform": "linux-64",
        "dependencies": {"ruamel.yaml.clib": ">=0.2.7,<0.3", "jinja2": "*", "poetic": "^1.2"},
        "url": "https://files.test/73/ruamel.yaml-0.18.6-py3-none-any.whl",
        "hash": {"sha256": "3" * 64},
        "category": "main",
        "optional": False,
    }
    return foreign(lambda content: content["package"].append(entry | changes))


def test_wheels_of_a_foreign_file_are_read() -> None:
    (wheel,) = from_yaml(foreign_wheel()).wheels["linux-64"]
    assert wheel == WheelRecord(
        "ruamel-yaml",
        "0.18.6",
        "https://files.test/73/ruamel.yaml-0.18.6-py3-none-any.whl",
        "3" * 64,
        requires=("jinja2", "poetic", "ruamel.yaml.clib<0.3,>=0.2.7"),
    )
    assert from_yaml(foreign_wheel(category="dev")).wheels == {}
    assert from_yaml(foreign_wheel(platform="osx-64")).wheels == {}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"url": "https://files.test/docopt-0.6.2.tar.gz"}, "'ruamel-yaml' is locked as source"),
        ({"url": "https://files.test/docopt-0.6.2.zip#x"}, "is locked as source"),
        ({"url": "git+https://host/x.git@abc"}, "has a malformed url"),
        ({"url": "file:///tmp/ruamel.yaml-0.18.6-py3-none-any.whl"}, "has a malformed url"),
        ({"url": "https://files.test/other-0.18.6-py3-none-any.whl"}, "address of another wheel"),
        ({"url": "https://files.test/ruamel.yaml-0.18-py3-none-any.whl"}, "address of another"),
        ({"url": "https://files.test/nonsense.whl"}, "address of another wheel"),
        ({"version": "../x"}, "has a malformed version"),
        ({"version": "1_2_3_4"}, "address of another wheel"),
        ({"name": "../x"}, "has a malformed name"),
        ({"name": "a\n"}, "has a malformed name"),
        ({"hash": {"md5": "0" * 32}}, "has no sha256"),
        ({"hash": {"sha256": "0" * 63}}, "has a malformed sha256"),
        ({"dependencies": {"x @ https://evil.test/x.whl": "*"}}, "is not the name of a project"),
    ],
)
def test_what_is_no_wheel_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(LockError) as caught:
        from_yaml(foreign_wheel(**changes))
    assert fault in caught.value.message


def test_the_build_of_a_foreign_package_is_found_in_its_file_name() -> None:
    read = from_yaml(foreign(lambda content: content["package"][2].pop("build")))
    assert read.platforms["linux-64"][2].build == "0"


def test_a_file_that_was_changed_by_hand_is_refused() -> None:
    def edit(content: Any) -> None:
        content["package"][2]["hash"]["sha256"] = "0" * 64

    with pytest.raises(LockError, match="the lock file was changed after it was written"):
        from_yaml(changed(edit))


def set_custom(name: str, value: str) -> Callable[[Any], object]:
    return lambda content: content["metadata"]["custom_metadata"].update({name: value})


def set_package(field: str, value: Any) -> Callable[[Any], object]:
    return lambda content: content["package"][2].update({field: value})


PACKAGE = "pullforge.package.linux-64.zlib"
WHEEL = "pullforge.wheel.linux-64.certifi"


def with_wheel(edit: Callable[[Any], object]) -> bytes:
    return changed(edit, to_yaml(lock(wheels={"linux-64": (CERTIFI,)})))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"- 1",
        b"a: [1",
        b"version: 1",
        b"version: 1\npackage: 7\nmetadata: []\n",
        b"version: 1\npackage: []\nmetadata: {channels: [main]}\n",
        b"a: &a [1]\nb: *a\n",
        b"[" * 100_000,
        b"{a: " * 1000,
        b"!!python/object/apply:os.system ['true']",
        b"a: 2001-99-99",
        partial(changed, lambda content: content.update(version=2)),
        partial(changed, lambda content: content.update(more=1)),
        partial(changed, lambda content: content["metadata"].update(platforms=["osx-64"])),
        partial(changed, set_custom("pullforge.format", "99")),
        partial(changed, set_custom("pullforge.base", "no digest")),
        partial(changed, set_custom("pullforge.base", "@" + EMPTY)),
        partial(changed, set_custom("pullforge.channels", "[")),
        partial(changed, set_custom("pullforge.channels", "[1]")),
        partial(changed, set_custom("pullforge.channels", "{}")),
        partial(changed, set_custom("pullforge.bytecode", '{"osx-64": "3"}')),
        partial(changed, set_custom("pullforge.bytecode", "[]")),
        partial(changed, set_custom("pullforge.virtual_packages", '[["a"]]')),
        partial(changed, set_custom(PACKAGE, "[" * 100_000)),
        partial(changed, set_custom(PACKAGE, '{"size_bytes": -1}')),
        partial(changed, set_custom(PACKAGE, '{"size_bytes": true}')),
        partial(changed, set_custom(PACKAGE, '{"size_bytes": 1e400}')),
        partial(changed, set_custom(PACKAGE, '{"noarch": "yes"}')),
        partial(changed, set_custom(PACKAGE, '{"noarch": ["python"]}')),
        partial(changed, set_custom(PACKAGE, '{"listed": []}')),
        partial(changed, set_custom(PACKAGE, '{"listed": {"fn": "a"}}')),
        partial(changed, set_custom(PACKAGE, '{"depends": [""]}')),
        partial(changed, set_custom(PACKAGE, '{"depends": 7}')),
        partial(changed, set_custom(PACKAGE, '{"subdir": "../x"}')),
        partial(changed, set_custom(PACKAGE, '{"python_site_packages_path": "../../etc"}')),
        partial(changed, set_custom(PACKAGE, '{"python_site_packages_path": "/etc"}')),
        partial(changed, set_custom("pullforge.variables", '{"A B": ""}')),
        partial(changed, set_custom("pullforge.variables", '{"A": 7}')),
        partial(changed, set_custom("pullforge.user", "root")),
        partial(changed, set_custom("pullforge.variables", '{"A": "\\u0000"}')),
        partial(changed, set_custom("pullforge.variables", '{"A": "1"}')),
        partial(with_wheel, set_custom(WHEEL, '{"size_bytes": -1}')),
        partial(with_wheel, set_custom(WHEEL, '{"requires": "x"}')),
        partial(with_wheel, set_custom(WHEEL, '{"requires": ["x @ http://evil"]}')),
        partial(with_wheel, set_custom(WHEEL, '{"requires": [7]}')),
        partial(with_wheel, set_custom(WHEEL, '{"requires": ["' + "x" * 200 + '"]}')),
        partial(foreign, set_package("url", "http://h/main/linux-64/../../../etc/passwd")),
        partial(foreign, set_package("url", "http://h/main/linux-64/zlib.conda\nX: y")),
        partial(foreign, set_package("url", "javascript:alert(1)//linux-64/zlib-1-0.conda")),
        partial(foreign, set_package("name", "../zlib")),
        partial(foreign, set_package("dependencies", {"": ""})),
        b"%TAG !e! tag:example:\n" * 100_000,
        b"---\n" * 100_000,
        b"a: [" + b"[]," * 1_000_000 + b"]",
        partial(foreign, set_package("version", "1 2")),
        partial(foreign, set_package("manager", "pip")),
        partial(foreign, set_package("hash", {"md5": "0" * 32})),
        partial(foreign, set_package("hash", {"md5": "0" * 32, "sha256": "0" * 63 + "\n"})),
        partial(foreign, lambda content: content["package"].append(content["package"][0] | {})),
    ],
)
def test_what_is_no_lock_file_is_refused_with_a_sentence(
    data: bytes | Callable[[], bytes],
) -> None:
    with pytest.raises(LockError) as caught:
        from_yaml(data() if callable(data) else data)
    assert caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#\n 1", max_size=100))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused(data: bytes | str) -> None:
    with pytest.raises(LockError):
        from_yaml(data.encode() if isinstance(data, str) else data)


@given(st.data())
@settings(deadline=None, max_examples=50)
def test_a_damaged_file_is_refused_or_reads_as_what_it_was(data: st.DataObject) -> None:
    original = to_yaml(lock())
    at = data.draw(st.integers(0, len(original) - 1))
    damaged = original[:at] + data.draw(st.binary(max_size=3)) + original[at + 1 :]
    with contextlib.suppress(LockError):
        assert from_yaml(damaged) == lock()


def test_metadata_of_others_is_ignored() -> None:
    assert from_yaml(changed(set_custom("other.tool", json.dumps({"a": 1})))) == lock()


def test_a_package_without_a_manager_is_refused_like_any_other_damage() -> None:
    damaged = to_yaml(lock()).replace(b"  manager: conda\n", b"", 1)
    with pytest.raises(LockError, match="not a conda-lock file"):
        from_yaml(damaged)
