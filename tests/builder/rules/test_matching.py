import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rattler import BuildString, MatchSpec, NoArchType, PackageRecord

from builder.rules.candidate import Candidate, project_of
from builder.rules.match_spec import parse_match_spec
from builder.rules.matching import PackagePattern

#: As recipes, repodata patches and other tools' exclusions write them.
WRITTEN_BY_OTHERS = [
    "numpy",
    "numpy >=1.21,<2",
    "numpy >=1.16.5,<2.0a0",
    "python 3.9.*",
    "python_abi 3.10.* *_cp310",
    "libblas 3.9.0 *mkl",
    "blas * *openblas",
    "openssl 1.1.1*",
    "openssl >=1.1.1w,<1.1.2a|>=3.0.8",
    "pytorch 2.*",
    "pytorch ==2.0.1 cpu_generic*",
    "cudatoolkit ~=11.8",
    "jinja2 !=3.1.0",
    "jinja2 !=3.1.*",
    "zlib 1.2.11",
    "libgcc-ng >=12",
]
VERSIONS = ["1.16.5", "1.26.4", "2.0.1", "2.0a0", "3.9.0", "3.9.18", "3.10", "3.1.0", "3.1.4"]
VERSIONS += ["1.1.1", "1.1.1w", "3.0.8", "11.8.0", "12", "1.2.11", "1.2.11.1"]
BUILDS = ["h0_0", "2_cp310", "12_linux64_mkl", "openblas", "cpu_generic_py311_0"]


@pytest.mark.parametrize("text", WRITTEN_BY_OTHERS)
def test_a_match_spec_of_a_rule_matches_what_rattler_has_it_match(text: str) -> None:
    pattern, spec = PackagePattern(text), MatchSpec(text)
    name = pattern.name
    for version in VERSIONS:
        for build in BUILDS:
            record = PackageRecord(
                name, version, BuildString(build), 0, "linux-64", None, None, NoArchType(None)
            )
            candidate = Candidate("conda", name, version, build)
            assert pattern.matches(candidate) == spec.matches(record), (version, build)


@given(st.text(st.sampled_from("abz019.*=<>!~,|()[]: _-+^$'\"\\"), max_size=24))
def test_what_a_policy_may_say_can_be_held_against_packages(text: str) -> None:
    try:
        canonical = str(parse_match_spec(text))
    except ValueError:
        return
    pattern = PackagePattern(canonical)
    pattern.matches(Candidate("conda", pattern.name, "1.0", "h0_0"))


@pytest.mark.parametrize(
    "text", ["", "a b c d", "a >=", "a[md5=0]", "**!", "-r x", "a @ https://x"]
)
@pytest.mark.parametrize("manager", ["conda", "pypi"])
def test_what_is_no_spec_is_refused_with_a_sentence(text: str, manager: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        PackagePattern(text, manager)  # type: ignore[arg-type]  # both are managers


def test_patterns_with_many_wildcards_take_no_time() -> None:
    pattern = PackagePattern("a*a*a*a*a*a*a*a*a*b")
    started = time.process_time()
    assert not pattern.names("a" * 120)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("name", "depends", "purls", "project"),
    [
        ("pytorch", ["python >=3.9"], ["pkg:pypi/torch@2.5.1"], "torch"),
        ("ruamel.yaml", ["python_abi 3.11.* *_cp311"], None, "ruamel-yaml"),
        ("zlib", ["libgcc >=12"], None, ""),
        ("zlib", [], ["pkg:github/madler/zlib@1.3"], ""),
        ("odd", ["python"], [7, None], ""),
        ("odd", ["python"], "pkg:pypi/x", "odd"),
        ("numpy", ["python"], ["pkg:pypi/NumPy?source=hash"], "numpy"),
    ],
)
def test_a_package_of_conda_is_of_the_project_that_its_index_says(
    name: str, depends: list[str], purls: object, project: str
) -> None:
    assert project_of(name, depends, purls) == project
