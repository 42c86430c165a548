from email.message import Message

import pytest

from conformance.channel.requirement import Translation

TRANSLATION = Translation({"ruamel-yaml": "ruamel.yaml", "tzdata": "python-tzdata"})
PYTHONS = ["3.11", "3.12"]


def metadata(*requirements: str, extras: tuple[str, ...] = ()) -> Message:
    message = Message()
    for requirement in requirements:
        message["Requires-Dist"] = requirement
    for extra in extras:
        message["Provides-Extra"] = extra
    return message


@pytest.mark.parametrize(
    ("requirement", "spec"),
    [
        ("Click", "click"),
        ("ruamel_yaml (>=0.17)", "ruamel.yaml >=0.17"),
        ("tzdata", "python-tzdata"),
        ("numpy<3,>=1.26", "numpy >=1.26,<3"),
        ("numpy==1.26.*,!=1.26.1", "numpy 1.26.*,!=1.26.1"),
        ("numpy===1.26.4", "numpy ==1.26.4"),
        ("numpy~=1.26", "numpy ~=1.26"),
    ],
)
def test_a_requirement_becomes_a_match_spec(requirement: str, spec: str) -> None:
    assert TRANSLATION.depends(metadata(requirement), "noarch", PYTHONS) == [spec]


@pytest.mark.parametrize(
    ("marker", "applies"),
    [
        ("sys_platform == 'win32'", False),
        ("sys_platform == 'linux'", True),
        ("python_version < '3.12'", True),
        ("python_version < '3.11'", False),
        ("extra == 'test'", False),
        ("platform_machine == 'aarch64'", False),
    ],
)
def test_a_requirement_is_kept_if_one_of_the_pythons_has_it(marker: str, applies: bool) -> None:
    depends = TRANSLATION.depends(metadata(f"x; {marker}"), "noarch", PYTHONS)
    assert depends == (["x"] if applies else [])


def test_an_arch_package_evaluates_markers_for_its_machine() -> None:
    wanted = metadata("x; platform_machine == 'aarch64'")
    assert TRANSLATION.depends(wanted, "linux-aarch64", ["3.11"]) == ["x"]


def test_a_required_extra_is_a_package_of_its_own() -> None:
    wanted = metadata("jsonschema[format]>=4", "other[x]; extra == 'test'")
    assert TRANSLATION.depends(wanted, "noarch", PYTHONS) == [
        "jsonschema >=4",
        "jsonschema-with-format >=4",
    ]
    assert TRANSLATION.required_extras(wanted, "noarch", PYTHONS) == {("jsonschema", "format")}


def test_an_extra_adds_only_what_is_its_own() -> None:
    wanted = metadata("attrs", "fqdn; extra == 'format'", "mypy; extra == 'dev'")
    assert TRANSLATION.depends(wanted, "noarch", PYTHONS, "format") == ["fqdn"]


def test_lower_bounds_of_extras_constrain() -> None:
    wanted = metadata(
        "numpy>=2",
        "scipy>=1.12; extra == 'all'",
        "ipython==8.16.1; extra == 'docs'",
        extras=("all", "docs"),
    )
    assert TRANSLATION.constrains(wanted, "noarch", PYTHONS) == ["scipy >=1.12"]
