"""What is odd about policies that can be used."""

import pytest

from registry.policy.policy import read_policy
from registry.policy.remarks import remarks_on

CHANNELS = ("conda-forge", "bioconda")


def remarks(text: str, *, knows_advisories: bool = True) -> list[str]:
    document = read_policy("company", text).document
    return list(remarks_on(document, CHANNELS, knows_advisories=knows_advisories))


def test_a_channel_that_the_server_has_not_is_remarked_on() -> None:
    text = '[channels]\nallowed = ["conda-froge", "bioconda"]\n'
    (remark,) = remarks(text)
    assert remark == (
        "'conda-froge' of channels.allowed is no channel of this server, which has bioconda and"
        " conda-forge: nothing comes from there."
    )


def test_a_denied_spec_of_such_a_channel_is_remarked_on() -> None:
    (remark,) = remarks('[packages]\ndenied = ["main::numpy", "bioconda::samtools"]\n')
    assert "'main' of packages.denied" in remark


@pytest.mark.parametrize("pattern", ["GLP-*", "GPL3-*", "GPL-3.0-* WITH Clathpath-*"])
def test_a_pattern_that_names_no_licence_is_remarked_on(pattern: str) -> None:
    (remark,) = remarks(f'[licences]\ndenied = ["{pattern}"]\n')
    assert remark == f"'{pattern}' of licences.denied names no licence of SPDX: it denies nothing."


def test_advisories_that_nobody_has_given_are_remarked_on() -> None:
    (remark,) = remarks("[advisories]\n", knows_advisories=False)
    assert "PULLFORGE_ADVISORIES" in remark


def test_nothing_is_remarked_on_what_does_something() -> None:
    text = """
[channels]
allowed = ["conda-forge"]
[licences]
allowed = ["LicenseRef-*", "*", "BSD-*"]
denied = ["GPL-3.0-*", "agpl-*", "GPL-2.0-* WITH *", "GPL-3.0"]
[advisories]
[packages]
denied = ["openssl <3", "conda-forge::zlib", "acme-*"]
"""
    assert remarks(text) == []
