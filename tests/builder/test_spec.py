import dataclasses
import datetime

import pytest

from builder.spec import (
    Channel,
    Constraint,
    EnvironmentSpec,
    Requirement,
    RulesDigest,
    VirtualPackage,
    parse_user,
)

SPEC = EnvironmentSpec(
    requirements=(Requirement("numpy", (Constraint("<", "2"), Constraint(">=", "1.26"))),),
    channels=(Channel("conda-forge", "https://conda.anaconda.org/conda-forge"),),
    platforms=("linux-64",),
    virtual_packages=(VirtualPackage("__glibc", "2.36"),),
    until=datetime.date(2026, 11, 1),
    base="docker.io/library/debian:bookworm-slim",
    pip=("requests>=2",),
    variables=(("MODE", "fast"),),
)


def test_the_digest_of_a_spec_does_not_change_from_release_to_release() -> None:
    assert SPEC.digest == "0a00c09bb8d31b74937418cae3aa2d9beebaba487822d35cd2027aa736e363a8"


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(SPEC, requirements=()),
        dataclasses.replace(SPEC, user="1000:1000"),
        dataclasses.replace(SPEC, rules=RulesDigest("0" * 64)),
        dataclasses.replace(SPEC, requirements=(Requirement("numpy"),)),
        dataclasses.replace(SPEC, channels=(Channel("conda-forge", "https://mirror"),)),
        dataclasses.replace(SPEC, platforms=("linux-64", "linux-aarch64")),
        dataclasses.replace(SPEC, virtual_packages=()),
        dataclasses.replace(SPEC, until=None),
        dataclasses.replace(SPEC, base=None),
        dataclasses.replace(SPEC, pip=()),
        dataclasses.replace(SPEC, variables=()),
    ],
)
def test_whatever_a_spec_says_is_in_its_digest(other: EnvironmentSpec) -> None:
    assert other.digest != SPEC.digest


def test_a_requirement_reads_as_a_match_spec() -> None:
    conditions = (Constraint("<", "2"), Constraint(">=", "1.19"))
    assert str(Requirement("samtools", conditions, "bioconda")) == "bioconda::samtools <2,>=1.19"
    assert str(Requirement("numpy")) == "numpy"


@pytest.mark.parametrize(
    ("requirement", "written"),
    [
        (Requirement("blas", build="*mkl"), "blas * *mkl"),
        (Requirement("six", version="~=1.4|==2.0"), "six ~=1.4|==2.0"),
        (Requirement("six", (Constraint("<", "3"),), version="1.*|2.*"), "six <3,(1.*|2.*)"),
    ],
)
def test_what_only_a_file_can_ask_for_is_part_of_the_match_spec(
    requirement: Requirement, written: str
) -> None:
    assert str(requirement) == written


@pytest.mark.parametrize(
    ("text", "user"),
    [("1000", "1000:1000"), ("1000:0", "1000:0"), ("0", "0:0")],
)
def test_a_user_is_a_number_and_has_a_group(text: str, user: str) -> None:
    assert parse_user(text) == user


@pytest.mark.parametrize(
    "text", ["", "root", "1000:", ":1000", "-1", "01000", "4294967295", "1:2:3", "1000\n", "\u0663"]
)
def test_what_is_no_number_of_a_user_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the number of a user"):
        parse_user(text)
