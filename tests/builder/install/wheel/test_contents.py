from pathlib import Path

import pytest

from builder.errors import UnsupportedPackage
from builder.install.wheel.contents import (
    WheelContents,
    dump_wheel_contents,
    parse_wheel_contents,
    read_wheel_contents,
    wheel_paths,
)
from builder.layer import PythonTarget
from tests.builder.install.layers import PYTHON, assemble_wheels, store
from tests.tiny_wheels import EVERYTHING, TinyWheel, wheel_bytes, wheel_record

CLASSIFIERS = """\
Classifier: License :: OSI Approved :: MIT License
Classifier: Topic :: Software Development
Classifier: License :: OSI Approved :: BSD License
"""


def _contents(directory: Path, wheel: TinyWheel) -> WheelContents:
    return read_wheel_contents(store(directory, wheel_bytes(wheel)), wheel_record(wheel))


def test_contents_foretell_every_path_of_the_layer(tmp_path: Path) -> None:
    foretold = wheel_paths(_contents(tmp_path, EVERYTHING), PYTHON)
    written = assemble_wheels(tmp_path, EVERYTHING).below_prefix()
    assert set(written) == {path for path in foretold if not path.endswith(".pyc")}
    cache = f"{PYTHON.site_packages}/every/__pycache__"
    assert f"{cache}/old.cpython-311.pyc" in foretold  # whether it compiles is not known yet
    assert not any("etc/__pycache__" in path for path in foretold)


def test_one_wheel_is_installed_for_any_python(tmp_path: Path) -> None:
    contents = _contents(tmp_path, TinyWheel("demo", files={"a.py": b"", "{data}/headers/h": b""}))
    site = "lib/python3.13t/site-packages"
    assert wheel_paths(contents, PythonTarget("3.13.1", site)) == (
        "include/python3.13/demo/h",
        f"{site}/__pycache__/a.cpython-313.pyc",
        f"{site}/a.py",
        *(f"{site}/demo-1.0.dist-info/{n}" for n in ("INSTALLER", "METADATA", "RECORD", "WHEEL")),
    )
    with pytest.raises(UnsupportedPackage, match="has no Python"):
        wheel_paths(contents, None)


@pytest.mark.parametrize(
    ("metadata", "license_"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", "MIT OR Apache-2.0"),
        ("License: BSD-3-Clause\nClassifier: License :: OSI Approved\n", "BSD-3-Clause"),
        ("License: UNKNOWN\n", ""),
        (f"License: {'a whole text' * 20}\n{CLASSIFIERS}", "MIT License; BSD License"),
        ("", ""),
    ],
)
def test_the_licence_is_what_the_project_says_best(
    tmp_path: Path, metadata: str, license_: str
) -> None:
    assert _contents(tmp_path, TinyWheel("demo", metadata=metadata)).license == license_


def test_contents_survive_being_stored(tmp_path: Path) -> None:
    contents = _contents(tmp_path, EVERYTHING)
    assert parse_wheel_contents(dump_wheel_contents(contents)) == contents


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 2}'])
def test_stored_contents_of_another_format_are_not_misread(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_wheel_contents(data)


def test_a_wheel_that_was_evicted_is_missed_by_its_path(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(FileNotFoundError) as caught:
        read_wheel_contents(gone, wheel_record(EVERYTHING))
    assert caught.value.filename == str(gone)
