import pytest

from tests.builder.inputs.reading import refused, spec

#: As ``conda list --export`` writes it.
EXPORTED = """\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
_libgcc_mutex=0.1=conda_forge
numpy=1.26.4=py312heda63a1_0
requests=2.31.0=pypi_0
six=1.16.0=<pip>
"""


def test_exact_packages_are_wanted_and_those_of_pip_from_pypi() -> None:
    found = spec(EXPORTED)
    assert [str(wanted) for wanted in found.requirements] == [
        "_libgcc_mutex ==0.1 conda_forge",
        "numpy ==1.26.4 py312heda63a1_0",
    ]
    assert found.pip == ("requests==2.31.0", "six==1.16.0")
    assert found.platforms == ("linux-64",)


def test_a_list_without_a_platform_is_for_those_of_the_server() -> None:
    assert spec("numpy=1.26.4=py312heda63a1_0\r\n").platforms == ("linux-64", "linux-aarch64")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (EXPORTED.replace("linux-64", "osx-64"), None, "it has packages for osx-64"),
        (EXPORTED + "-x=1=2", None, "a list of requirements"),
        (EXPORTED + "x: y", 8, "YAML"),
        (EXPORTED + "x==1", None, "a list of requirements"),
        (EXPORTED + "x=1)=2", 8, "is not a match spec"),
        ("x=1=2\n" * 1001, None, "1000 are allowed"),
    ],
)
def test_what_is_no_such_list_is_refused(text: str, line: int | None, words: str) -> None:
    error = refused(text)
    assert words in error.message
    assert error.line == line
