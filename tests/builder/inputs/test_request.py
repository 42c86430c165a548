import datetime
import json
from typing import Any

import pytest

from tests.builder.inputs.reading import BIO, DEFAULTS, FORGE, refused, spec


def request(**fields: Any) -> str:
    return json.dumps({"specs": ["zlib"]} | fields)


def test_a_request_says_everything_a_spec_can() -> None:
    found = spec(
        request(
            specs=["python=3.12", "samtools"],
            pip=["Requests>=2"],
            channels=["bioconda", "conda-forge"],
            platforms=["linux-aarch64", "linux-64"],
            variables={"A": "1", "B": 2.50},
            base="ghcr.io/acme/tools:1.2",
            user=1000,
            until="2026-11-01",
        )
    )
    assert found.user == "1000:1000"
    assert [str(wanted) for wanted in found.requirements] == ["python =3.12", "samtools"]
    assert found.pip == ("requests>=2",)
    assert found.channels == (BIO, FORGE)
    assert found.platforms == ("linux-64", "linux-aarch64")
    assert found.every_platform
    assert found.variables == (("A", "1"), ("B", "2.5"))
    assert found.base == "ghcr.io/acme/tools:1.2"
    assert found.until == datetime.date(2026, 11, 1)


def test_a_request_and_a_file_that_mean_the_same_are_one_spec() -> None:
    text = "channels: [bioconda]\ndependencies: [zlib, pip: [six]]\nvariables: {A: 1.10}"
    sent = '{"specs":["zlib"],"pip":["six"],"channels":["bioconda"],"variables":{"A":1.10}}'
    assert spec(text) == spec(sent)


def test_a_request_may_be_of_pypi_alone_or_written_in_yaml() -> None:
    assert spec('{"pip": ["six"]}').pip == ("six",)
    assert spec("specs:\n- zlib\n").requirements == spec(request()).requirements


@pytest.mark.parametrize(
    ("base", "meant"),
    [
        (None, None),
        ("none", None),
        ("debian:bookworm-slim", DEFAULTS.base),
        ("debian:12", "docker.io/library/debian:12"),
        ("ghcr.io/acme/tools", "ghcr.io/acme/tools:latest"),
        (f"ghcr.io/acme/tools@sha256:{'0' * 64}", f"ghcr.io/acme/tools@sha256:{'0' * 64}"),
    ],
)
def test_a_base_is_one_that_the_server_offers(base: str | None, meant: str | None) -> None:
    assert spec(request(base=base)).base == meant


@pytest.mark.parametrize(
    "base",
    [
        "ubuntu:24.04",
        "ghcr.io/other/tools:1",
        "ghcr.io.evil.example/acme/tools:1",
        "evil.example?ghcr.io/acme/tools:1",
        "oci:/etc",
        "ghcr.io/acme/../other/tools:1",
        "ghcr.io/acme/tools@sha256:0",
        "file:///etc/passwd",
    ],
)
def test_no_other_base_is_fetched(base: str) -> None:
    error = refused(request(base=base))
    assert error.field == "base"
    assert "is not offered by this server" in error.message


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"specs": []}, None, "no package is asked for"),
        ({"spec": []}, "spec", "is not known here: write base, channels"),
        ({"specs": ["zlib", None]}, "specs[1]", "nothing stands where text"),
        ({"specs": {"a": 1}}, "specs", "a mapping stands where a list"),
        ({"platforms": ["osx-64"]}, "platforms[0]", "is not a platform this server builds for"),
        ({"until": "2026-11-31"}, "until", "no day of the calendar"),
        ({"until": "20261101"}, "until", "no day of the calendar"),
        ({"until": "2026-12-01"}, "until", "has not come yet"),
        ({"base": True}, "base", "a boolean stands where text"),
        ({"specs": ["\ud800"]}, "specs[0]", "cannot be printed"),
        ({"specs": ["a\0"]}, "specs[0]", "cannot be printed"),
        ({"pip": ["./six"]}, "pip[0]", "is an address or a path"),
        ({"virtual_packages": ["__cuda"]}, "virtual_packages", "a list stands where a mapping"),
        ({"virtual_packages": {"cuda": "12"}}, "virtual_packages.cuda", "is no virtual package"),
        ({"virtual_packages": {"__osx": "14"}}, "virtual_packages.__osx", "is no virtual package"),
        ({"virtual_packages": {"__cuda": ">=12"}}, "virtual_packages.__cuda", "is no version"),
        ({"virtual_packages": {"__archspec": "1"}}, "virtual_packages.__archspec", "no version"),
        (
            {"virtual_packages": {"__archspec": "1 x86_64_v3"}},
            "virtual_packages.__archspec",
            "name it alone in 'platforms'",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(
    fields: dict[str, Any], field: str | None, words: str
) -> None:
    error = refused(request(**fields), today=datetime.date(2026, 11, 24))
    assert error.field == field
    assert words in error.message


def test_a_key_that_stands_twice_is_refused() -> None:
    assert refused('{"specs": ["a"], "specs": ["b"]}').field == "specs"


def test_virtual_packages_that_are_asked_for_stand_in_place_of_the_servers() -> None:
    asked = {"__cuda": 12.4, "__glibc": "2.40", "__archspec": "1 x86_64_v3", "__linux": None}

    found = spec(request(specs=["a"], platforms=["linux-64"], virtual_packages=asked))

    assert [package.written for package in found.virtual_packages] == [
        ["__archspec", "1", "x86_64_v3", "linux-64"],
        ["__archspec", "1", "aarch64", "linux-aarch64"],
        ["__cuda", "12.4", "0"],
        ["__glibc", "2.40", "0"],
        ["__linux", "5.10", "0"],
        ["__unix", "0", "0"],
    ]
    assert found.digest != spec(request(specs=["a"], platforms=["linux-64"])).digest
