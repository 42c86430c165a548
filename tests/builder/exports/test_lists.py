import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conda_lock.src_parser.environment_yaml import parse_environment_file
from rattler import LockFile
from rattler.lock import CondaLockedBinaryPackage, PypiLockedPackage

from builder.exports.environment_yml import to_environment_yml
from builder.exports.pixi_lock import to_pixi_lock
from builder.lock import to_explicit
from builder.platforms import Subdir
from tests.builder.exports.locks import PANDAS, PYTHON, SIX, ZLIB, lock


def environment(platform: Subdir = "linux-64", **changes: Any) -> Any:
    return yaml.safe_load(to_environment_yml(lock(**changes), platform))


def test_an_environment_yml_pins_packages_wheels_and_variables() -> None:
    assert environment() == {
        "name": f"build-{lock().key[:12]}",
        "channels": ["http://channel.test/main", "nodefaults"],
        "dependencies": [
            "pandas=1.0=0",
            "python=3.11.7=h1_cpython",
            "zlib=1.3=0",
            {
                "pip": [
                    "python-dateutil==2.9.0",
                    "six==1.17.0",
                ]
            },
        ],
        "variables": {"MODE": "fast"},
    }


def test_what_a_lock_does_not_have_is_not_in_its_environment_yml() -> None:
    assert set(environment("linux-aarch64", variables={})) == {"name", "channels", "dependencies"}
    assert all(isinstance(one, str) for one in environment("linux-aarch64")["dependencies"])


def test_conda_lock_reads_the_environment_yml(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_bytes(to_environment_yml(lock(), "linux-64"))
    (tmp_path / "mapping.yml").write_text("{}")
    parsed = parse_environment_file(
        path, ["linux-64"], mapping_url=(tmp_path / "mapping.yml").as_uri()
    )
    found = {(one.name, one.manager): one for one in parsed.dependencies["linux-64"]}
    python = found["python", "conda"]
    assert (python.version, python.build) == ("3.11.7", "h1_cpython")
    assert found["six", "pip"].version == f"=={SIX.version}"
    assert [channel.url for channel in parsed.channels] == ["http://channel.test/main"]


def test_an_explicit_list_has_wheels_as_conda_lock_writes_them() -> None:
    lines = to_explicit(lock(), "linux-64").splitlines()
    assert lines[:2] == ["# platform: linux-64", "@EXPLICIT"]
    assert lines[2] == f"{PANDAS.url}#{PANDAS.md5}"
    assert lines[-1] == f"# pip six @ {SIX.url}#sha256={SIX.sha256}"
    assert "# pip" not in to_explicit(lock(), "linux-aarch64")


def test_rattler_reads_every_package_of_the_pixi_lock(tmp_path: Path) -> None:
    path = tmp_path / "pixi.lock"
    path.write_bytes(to_pixi_lock(lock()))
    ((name, found),) = LockFile.from_path(path).environments()
    assert name == "default"
    assert "http://channel.test/main/" in repr(found.channels())
    by_platform = {platform.name: found.packages(platform) for platform in found.platforms()}
    assert {name: len(packages or ()) for name, packages in by_platform.items()} == {
        "linux-64": 5,
        "linux-aarch64": 3,
    }
    packages = {package.name: package for package in by_platform["linux-64"] or ()}
    python, six = packages["python"], packages["six"]
    assert isinstance(python, CondaLockedBinaryPackage)
    assert isinstance(six, PypiLockedPackage)
    assert (six.location, six.version) == (SIX.url, "1.17.0")
    assert six.hashes is not None
    assert six.hashes.sha256 == bytes.fromhex(SIX.sha256)
    said = python.package_record
    assert said is not None
    assert (str(said.version), str(said.build), said.size) == ("3.11.7", "h1_cpython", 1000)
    assert said.sha256 == bytes.fromhex(PYTHON.sha256)
    assert said.depends == ["__glibc >=2.17", "zlib >=1.3"]


def test_a_pixi_lock_says_what_the_index_says(tmp_path: Path) -> None:
    listed = '{"constrains":["a <2"],"license":"MIT","license_family":"MIT","track_features":"x"}'
    zlib = replace(ZLIB, listed=listed)
    path = tmp_path / "pixi.lock"
    path.write_bytes(to_pixi_lock(lock(platforms={"linux-64": (zlib,)}, wheels={}, bytecode={})))
    ((_, found),) = LockFile.from_path(path).environments()
    package = (found.packages(found.platforms()[0]) or [])[0]
    assert isinstance(package, CondaLockedBinaryPackage)
    said = package.package_record
    assert said is not None
    assert (said.constrains, said.license, said.license_family) == (["a <2"], "MIT", "MIT")


def test_a_noarch_package_of_two_platforms_is_listed_once_in_a_pixi_lock() -> None:
    content = yaml.safe_load(to_pixi_lock(lock()))
    urls = [entry.get("conda") for entry in content["packages"]]
    assert urls.count(PANDAS.url) == 1
    assert json.dumps(content["environments"]).count(PANDAS.url) == 2


@pytest.mark.parametrize("write", [to_pixi_lock, lambda one: to_environment_yml(one, "linux-64")])
def test_equal_locks_give_equal_bytes(write: Any) -> None:
    assert write(lock()) == write(lock())
