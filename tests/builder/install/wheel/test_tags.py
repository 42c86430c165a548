import dataclasses

import pytest

from builder.errors import CorruptPackage, UnsupportedPackage
from builder.install.wheel.tags import check_fits
from builder.layer import PythonTarget
from builder.platforms import Subdir
from builder.pypi.wheel_tags import supported_tags
from tests.tiny_wheels import TinyWheel, wheel_record

PYTHON = PythonTarget("3.11.7", "lib/python3.11/site-packages")
THREADED = PythonTarget("3.13.1", "lib/python3.13t/site-packages")


def fits(
    tag: str, subdir: Subdir = "linux-64", glibc: str | None = "2.36", python: PythonTarget = PYTHON
) -> bool:
    try:
        tags = supported_tags(subdir, python, glibc)
        check_fits(wheel_record(TinyWheel("demo", tag=tag)), tags, "it")
    except UnsupportedPackage:
        return False
    return True


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-any",
        "py2.py3-none-any",
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",
        "cp311-cp311-manylinux1_x86_64",
        "cp311-cp311-linux_x86_64",
        "cp38-abi3-manylinux_2_28_x86_64",
        "py3-none-manylinux_2_36_x86_64",
        "cp311-none-any",
    ],
)
def test_what_works_there_fits(tag: str) -> None:
    assert fits(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "py2-none-any",
        "cp310-cp310-manylinux_2_17_x86_64",
        "cp312-abi3-manylinux_2_17_x86_64",
        "cp311-cp311-manylinux_2_17_aarch64",
        "cp311-cp311-manylinux_2_39_x86_64",
        "cp311-cp311-musllinux_1_2_x86_64",
        "cp311-cp311-macosx_11_0_arm64",
        "cp311-cp311-win_amd64",
    ],
)
def test_what_would_not_work_does_not_fit(tag: str) -> None:
    assert not fits(tag)


def test_other_platforms_and_pythons_have_other_wheels() -> None:
    assert fits("cp311-cp311-manylinux2014_aarch64", "linux-aarch64")
    assert fits("cp313-cp313t-manylinux_2_17_x86_64", python=THREADED)
    assert not fits("cp313-cp313-manylinux_2_17_x86_64", python=THREADED)
    assert not fits("cp39-abi3-manylinux_2_17_x86_64", python=THREADED)


def test_a_lock_that_names_no_glibc_gets_wheels_for_an_old_one() -> None:
    assert fits("cp311-cp311-manylinux_2_17_x86_64", glibc=None)
    assert not fits("cp311-cp311-manylinux_2_28_x86_64", glibc=None)


@pytest.mark.parametrize("glibc", ["", "3.1", "2", "2.x", "2.99999"])
def test_a_version_of_glibc_that_is_none_is_refused(glibc: str) -> None:
    if glibc:
        with pytest.raises(UnsupportedPackage, match="no version of glibc"):
            supported_tags("linux-64", PYTHON, glibc)
    else:
        assert supported_tags("linux-64", PYTHON, glibc) == supported_tags("linux-64", PYTHON, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://files.test/demo-1.0.tar.gz",
        "https://files.test/demo.whl",
        "https://files.test/other-1.0-py3-none-any.whl",
        "https://files.test/demo-2.0-py3-none-any.whl",
    ],
)
def test_the_name_of_another_file_is_refused(url: str) -> None:
    record = dataclasses.replace(wheel_record(TinyWheel("demo")), url=url)
    with pytest.raises(CorruptPackage, match="is not the name of a wheel"):
        check_fits(record, supported_tags("linux-64", PYTHON, "2.36"), "it")
