from dataclasses import replace

import pytest
from packaging.tags import Tag

from builder.errors import NoWheel
from builder.pypi import Target
from builder.spec import VirtualPackage
from tests.builder.records_for_tests import record

GLIBC = (VirtualPackage("__glibc", "2.36"),)
TARGET = Target("linux-64", "3.11.9", 36)
FREE_THREADED = replace(
    record("python", version="3.13.0"),
    build="h1_0_cp313t",
    python_site_packages_path="lib/python3.13t/site-packages",
)


def test_a_target_is_the_environments_python_and_glibc() -> None:
    records = (record("numpy"), record("python", version="3.11.9"))
    assert Target.of("linux-64", records, GLIBC) == TARGET
    assert Target.of("linux-64", records, ()).glibc_minor == 17


@pytest.mark.parametrize(
    ("python", "fault"),
    [
        (record("numpy"), "need a Python, and none is in the environment"),
        (FREE_THREADED, "for CPython 3, and not for python 3.13.0 h1_0_cp313t"),
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
    assert replace(TARGET, glibc_minor=minor).uv_platform == f"x86_64-manylinux_{name}"


def test_tags_are_ranked_as_pip_ranks_them() -> None:
    tags = list(TARGET.tags())
    assert tags[0] == Tag("cp311", "cp311", "manylinux_2_36_x86_64")
    assert tags[-1] == Tag("py30", "none", "any")
    order = [
        Tag("cp311", "cp311", "manylinux_2_17_x86_64"),
        Tag("cp311", "cp311", "manylinux2014_x86_64"),
        Tag("cp311", "cp311", "linux_x86_64"),
        Tag("cp311", "abi3", "manylinux1_x86_64"),
        Tag("cp37", "abi3", "manylinux_2_28_x86_64"),
        Tag("py3", "none", "manylinux2010_x86_64"),
        Tag("cp311", "none", "any"),
        Tag("py3", "none", "any"),
    ]
    assert [tags.index(tag) for tag in order] == sorted(tags.index(tag) for tag in order)


@pytest.mark.parametrize(
    "tag",
    [
        Tag("cp311", "cp311", "manylinux_2_37_x86_64"),
        Tag("cp311", "cp311", "manylinux_2_17_aarch64"),
        Tag("cp312", "cp312", "manylinux_2_17_x86_64"),
        Tag("cp312", "abi3", "manylinux_2_17_x86_64"),
        Tag("cp311", "cp311t", "manylinux_2_17_x86_64"),
        Tag("cp311", "cp311", "musllinux_1_2_x86_64"),
        Tag("pp311", "pypy311_pp73", "manylinux_2_17_x86_64"),
    ],
)
def test_tags_of_other_targets_do_not_fit(tag: Tag) -> None:
    assert tag not in TARGET.tags()


def test_aarch64_has_no_tags_from_before_it_existed() -> None:
    platforms = {tag.platform for tag in Target("linux-aarch64", "3.12.1", 36).tags()}
    assert "manylinux2014_aarch64" in platforms
    assert not platforms & {"manylinux1_aarch64", "manylinux_2_5_aarch64"}
