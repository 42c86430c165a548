from dataclasses import replace

import pytest

from builder.errors import NoWheel
from builder.layer import PythonTarget
from builder.pypi import Target
from builder.spec import VirtualPackage
from tests.builder.records_for_tests import record

GLIBC = (VirtualPackage("__glibc", "2.36"),)
TARGET = Target("linux-64", PythonTarget("3.11.9", "lib/python3.11/site-packages"), "2.36")
FREE_THREADED = replace(
    record("python", version="3.13.0"),
    build="h1_0_cp313t",
    python_site_packages_path="lib/python3.13t/site-packages",
)


def test_a_target_is_the_environments_python_and_glibc() -> None:
    records = (record("numpy"), record("python", version="3.11.9"))
    assert Target.of("linux-64", records, GLIBC) == TARGET
    assert Target.of("linux-64", records, ()).glibc is None


@pytest.mark.parametrize(
    ("python", "fault"),
    [
        (record("numpy"), "need a Python, and none is in the environment"),
        (FREE_THREADED, "for CPython 3 with its lock, and not for python 3.13.0 h1_0_cp313t"),
        (replace(record("python", version="3.9.1"), build="0_73_pypy"), "python 3.9.1 0_73_pypy"),
        (record("python", version="2.7.18"), "python 2.7.18"),
        (record("python", version="3.12 --index-url x"), "for CPython 3"),
    ],
)
def test_a_python_that_wheels_are_not_made_for_is_refused(python: object, fault: str) -> None:
    with pytest.raises(NoWheel, match=fault):
        Target.of("linux-64", (python,), GLIBC)  # type: ignore[arg-type]  # parametrized


@pytest.mark.parametrize(
    ("minor", "name"),
    [
        (17, "2_17"),
        (27, "2_17"),
        (28, "2_28"),
        (30, "2_28"),
        (36, "2_36"),
        (60, "2_40"),
        (5, "2_17"),
    ],
)
def test_uv_is_told_the_newest_glibc_it_knows_that_is_there(minor: int, name: str) -> None:
    assert replace(TARGET, glibc=None).uv_platform == "x86_64-manylinux_2_17"
    assert replace(TARGET, glibc=f"2.{minor}").uv_platform == f"x86_64-manylinux_{name}"
