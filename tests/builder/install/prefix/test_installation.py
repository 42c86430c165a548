import json
from collections.abc import Callable
from typing import Any

import pytest

from builder.install.prefix.installation import (
    InstallationPlan,
    dump_installation,
    parse_installation,
)
from builder.layer import LayerPackage, PythonTarget
from builder.records import PackageRecord, WheelRecord

_SITE = "lib/python3.11/site-packages"
_CONDA = PackageRecord(
    name="zlib",
    version="1.3",
    build="h0_0",
    build_number=3,
    subdir="linux-64",
    url="https://channel.test/main/linux-64/zlib-1.3-h0_0.conda",
    sha256="a" * 64,
    md5="b" * 32,
    size_bytes=1234,
    depends=("libc >=2", "python_abi 3.11.* *_cp311"),
)
_NOARCH = PackageRecord(
    name="modules",
    version="2.0",
    build="pyh_0",
    build_number=0,
    subdir="noarch",
    url="https://channel.test/main/noarch/modules-2.0-pyh_0.conda",
    sha256="c" * 64,
    md5="d" * 32,
    size_bytes=5,
    noarch="python",
    timestamp_ms=1_600_000_000_000,
    listed='{"license":"MIT"}',
    channel="https://other.test/main",
)
_WHEEL = WheelRecord(
    "ruamel-yaml",
    "0.18.12",
    "https://files.test/ruamel.yaml-0.18.12-py3-none-any.whl",
    "e" * 64,
    99,
    ("ruamel.yaml.clib>=0.2.7; python_version < '3.14'",),
)
PLAN = InstallationPlan(
    "0123456789abcdef" * 2,
    "linux-64",
    (
        LayerPackage(_CONDA, ("lib/a", "lib/ü"), (("lib64", "lib"), ("usr", "."))),
        LayerPackage(_NOARCH),
        LayerPackage(_WHEEL),
    ),
    PythonTarget("3.11.7", _SITE),
    {"A": "1", "B": "two\n"},
)


@pytest.mark.parametrize("plan", [PLAN, InstallationPlan("0" * 32, "linux-aarch64", ())])
def test_an_installation_is_read_as_it_was_written(plan: InstallationPlan) -> None:
    data = dump_installation(plan)
    assert parse_installation(data) == plan
    assert dump_installation(parse_installation(data)) == data


def test_unpacked_packages_have_the_same_names_here_and_there() -> None:
    read = parse_installation(dump_installation(PLAN))
    names = [PLAN.name_of(package) for package in PLAN.packages]
    assert [read.name_of(package) for package in read.packages] == names
    assert len(set(names)) == len(names)


def test_packages_without_modules_are_shared_between_pythons() -> None:
    other = InstallationPlan(PLAN.key, "linux-64", PLAN.packages, PythonTarget("3.12.1", _SITE))
    same = [PLAN.name_of(package) == other.name_of(package) for package in PLAN.packages]
    assert same == [True, False, False]


def _set(value: object, *path: str | int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        *above, last = path
        for step in above:
            content = content[step]
        content[last] = value

    return change


_CHANGES: dict[str, Callable[[Any], None]] = {
    "format": _set(2, "format"),
    "key": _set("../../etc", "key"),
    "key-number": _set(1, "key"),
    "subdir": _set("win-64", "subdir"),
    "subdir-list": _set([], "subdir"),
    "packages": _set({}, "packages"),
    "packages-none": _set(None, "packages"),
    "no-package": _set(["x"], "packages"),
    "name": _set("../x", "packages", 0, "entry", "name"),
    "version": _set("1/../../x", "packages", 0, "entry", "version"),
    "build": _set("a/b", "packages", 0, "entry", "build"),
    "sha256": _set("../../x", "packages", 0, "entry", "hash", "sha256"),
    "url": _set("file:///etc/passwd", "packages", 0, "entry", "url"),
    "size": _set(-1, "packages", 0, "extra", "size_bytes"),
    "wheel-url": _set("https://files.test/a.zip", "packages", 2, "entry", "url"),
    "omit": _set(["../x"], "packages", 0, "omit"),
    "omit-absolute": _set(["/etc/x"], "packages", 0, "omit"),
    "omit-number": _set([1], "packages", 0, "omit"),
    "redirect-to": _set([["lib", "../.."]], "packages", 0, "redirects"),
    "redirect-to-root": _set([["lib", "/etc"]], "packages", 0, "redirects"),
    "redirect-from": _set([["..", "lib"]], "packages", 0, "redirects"),
    "redirect-one": _set([["lib"]], "packages", 0, "redirects"),
    "python": _set("3.11", "python"),
    "python-version": _set("3", "python", "version"),
    "python-path": _set("3.11/../../x", "python", "version"),
    "site-packages": _set("../../etc", "python", "site_packages"),
    "site-packages-absolute": _set("/etc", "python", "site_packages"),
    "variable": _set({"A=B": "1"}, "variables"),
    "variable-value": _set({"A": "\0"}, "variables"),
    "variable-number": _set({"A": 1}, "variables"),
    "variables": _set([], "variables"),
}


@pytest.mark.parametrize("name", _CHANGES)
def test_what_is_none_is_refused_in_one_line(name: str) -> None:
    content = json.loads(dump_installation(PLAN))
    _CHANGES[name](content)
    with pytest.raises(ValueError, match="this is no installation: ") as caught:
        parse_installation(json.dumps(content).encode())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_of_this_kind_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="this is no installation: "):
        parse_installation(data)


def test_a_package_that_is_there_twice_is_refused() -> None:
    content = json.loads(dump_installation(PLAN))
    content["packages"].append(content["packages"][0])
    with pytest.raises(ValueError, match="a package twice"):
        parse_installation(json.dumps(content).encode())


@pytest.mark.parametrize("field", ["format", "key", "subdir", "packages", "python", "variables"])
def test_what_lacks_a_field_is_refused(field: str) -> None:
    content = json.loads(dump_installation(PLAN))
    del content[field]
    with pytest.raises(ValueError, match="this is no installation: "):
        parse_installation(json.dumps(content).encode())
