import dataclasses
import datetime

import pytest

from builder.spec import Channel, Constraint, EnvironmentSpec, Requirement, VirtualPackage

SPEC = EnvironmentSpec(
    requirements=(Requirement("numpy", (Constraint("<", "2"), Constraint(">=", "1.26"))),),
    channels=(Channel("conda-forge", "https://conda.anaconda.org/conda-forge"),),
    platforms=("linux-64",),
    virtual_packages=(VirtualPackage("__glibc", "2.36"),),
    until=datetime.date(2026, 11, 1),
    base="docker.io/library/debian:bookworm-slim",
)


def test_the_digest_of_a_spec_does_not_change_from_release_to_release() -> None:
    assert SPEC.digest == "863f1c8e01e9115071f56c20e04b4ac853371ec1d0cb15761f7ccfa1fa58d4ce"


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(SPEC, requirements=()),
        dataclasses.replace(SPEC, requirements=(Requirement("numpy"),)),
        dataclasses.replace(SPEC, channels=(Channel("conda-forge", "https://mirror"),)),
        dataclasses.replace(SPEC, platforms=("linux-64", "linux-aarch64")),
        dataclasses.replace(SPEC, virtual_packages=()),
        dataclasses.replace(SPEC, until=None),
        dataclasses.replace(SPEC, base=None),
    ],
)
def test_whatever_a_spec_says_is_in_its_digest(other: EnvironmentSpec) -> None:
    assert other.digest != SPEC.digest


def test_a_requirement_reads_as_a_match_spec() -> None:
    conditions = (Constraint("<", "2"), Constraint(">=", "1.19"))
    assert str(Requirement("samtools", conditions, "bioconda")) == "bioconda::samtools <2,>=1.19"
    assert str(Requirement("numpy")) == "numpy"
