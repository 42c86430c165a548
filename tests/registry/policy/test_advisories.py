import contextlib
import json
import time
from typing import Any

import pytest

from builder.rules.model import Affected, AffectedRange
from registry.errors import PolicyTextInvalid
from registry.policy.advisories import MAX_BYTES, parse_advisories, read_advisory, united
from registry.policy.affected import joined
from registry.policy.severity import score_of, severity_of_vector
from tests.registry.policy.texts import osv, osv_json

#: As pypa/advisory-database writes one.
PYSEC = b"""\
id: PYSEC-2024-60
details: Internationalized Domain Names in Applications (IDNA) for Python.
affected:
- package:
    name: idna
    ecosystem: PyPI
    purl: pkg:pypi/idna
  ranges:
  - type: GIT
    repo: https://github.com/kjd/idna
    events:
    - introduced: "0"
    - fixed: 1d365e17e10d72d0b7876316fc7b9ca0eebdd38d
  - type: ECOSYSTEM
    events:
    - introduced: "0"
    - fixed: 3.10
  versions:
  - "0.1"
  - 3.1
  - 3.6-dev.x
aliases:
- CVE-2024-3651
modified: 2024-07-11T18:22:20Z
withdrawn: null
"""


WORST = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


def affected(*packages: dict[str, Any]) -> tuple[Affected, ...]:
    found = read_advisory({"id": "A-1", "affected": list(packages)})
    return found.affected if found else ()


def package(ecosystem: str, name: str, **fields: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **fields}


def events(*each: tuple[str, str]) -> tuple[AffectedRange, ...]:
    ranges = [{"type": "ECOSYSTEM", "events": [{name: version} for name, version in each]}]
    (found,) = affected(package("PyPI", "x", ranges=ranges))
    return found.ranges


def test_an_advisory_of_yaml_keeps_versions_as_they_are_written() -> None:
    (found,) = parse_advisories("PYSEC-2024-60.yaml", PYSEC)
    assert found.id == "PYSEC-2024-60"
    assert found.aliases == ("CVE-2024-3651",)
    assert found.summary.startswith("Internationalized Domain Names")
    # 3.10 is no 3.1, and of the listed versions only what no range says is kept.
    assert found.affected == (
        Affected("pypi", "idna", (AffectedRange("0", "3.10"),), ("3.6-dev.x",)),
    )


def test_an_advisory_of_json_is_read_by_its_ecosystems() -> None:
    (found,) = parse_advisories("GHSA-1.json", osv_json(database_specific={"severity": "MODERATE"}))
    assert found.affected == (Affected("pypi", "jinja2", (AffectedRange("0", "3.1.4"),)),)
    assert found.severity == "medium"


def test_a_list_or_an_answer_of_osv_is_many_advisories() -> None:
    many = [osv("A-1"), osv("A-2", withdrawn="2026-01-01T00:00:00Z"), osv("A-3", affected=[])]
    for text in (json.dumps(many), json.dumps({"vulns": many})):
        assert [one.id for one in parse_advisories("all.json", text.encode())] == ["A-1"]
        assert [one.id for one in parse_advisories("all", text.encode())] == ["A-1"]


def test_packages_of_conda_pypi_and_r_are_installed_here_and_no_others() -> None:
    found = affected(
        package("conda", "OpenSSL"),
        package("conda-forge", "zlib"),
        package("Conda:bioconda", "samtools"),
        package("CRAN", "readxl", ranges=None, versions=["1.3-1", "0.1.0"]),
        package("Bioconductor", "DESeq2"),
        package("PyPI", "ruamel.yaml"),
        *(package(other, "x") for other in ("npm", "Debian:12", "Root:PyPI", "Go", "")),
        {"package": {"purl": "pkg:conda/libcurl?channel=main"}, "versions": ["8.0"]},
        {"package": {"ecosystem": "GIT", "purl": "pkg:pypi/Foo_Bar@1"}, "versions": ["1"]},
    )
    assert [(one.manager, one.name) for one in found] == [
        ("conda", "bioconductor-deseq2"),
        ("conda", "libcurl"),
        ("conda", "openssl"),
        ("conda", "r-readxl"),
        ("conda", "samtools"),
        ("conda", "zlib"),
        ("pypi", "foo-bar"),
        ("pypi", "ruamel-yaml"),
    ]
    # As conda writes R's versions.
    assert found[3].versions == ("0.1.0", "1.3_1")


def test_what_names_no_version_of_an_ecosystem_is_about_nothing() -> None:
    git = [{"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]}]
    assert affected(package("PyPI", "x", ranges=git)) == ()
    assert affected(package("PyPI", "x", ranges=[])) == ()
    assert len(affected(package("PyPI", "x", ranges=git, versions=["1"]))) == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([("introduced", "0"), ("fixed", "2")], [("0", "2", "")]),
        ([("introduced", "1"), ("last_affected", "2")], [("1", "", "2")]),
        ([("introduced", "1"), ("last_affected", "1")], [("1", "", "1")]),
        ([("introduced", "1")], [("1", "", "")]),
        ([("fixed", "2")], [("0", "2", "")]),
        ([("introduced", "0"), ("limit", "*")], [("0", "", "")]),
        ([("introduced", "0"), ("limit", "3")], [("0", "3", "")]),
        # In whatever order they stand: 10 comes after 9.
        (
            [("fixed", "10.0"), ("introduced", "9"), ("fixed", "2"), ("introduced", "0")],
            [("0", "2", ""), ("9", "10.0", "")],
        ),
        # One range ends where the next begins: it is fixed where that ends.
        (
            [("introduced", "1"), ("introduced", "2"), ("fixed", "3"), ("fixed", "2")],
            [("1", "3", "")],
        ),
        # The first end counts, and what is introduced twice is so once.
        (
            [("introduced", "0"), ("introduced", "1"), ("fixed", "2"), ("fixed", "3")],
            [("0", "2", "")],
        ),
        # Such versions cannot be sorted: they stand as they are meant.
        ([("introduced", "0"), ("fixed", "1.1.1k")], [("0", "1.1.1k", "")]),
    ],
)
def test_events_are_ranges(
    written: list[tuple[str, str]], expected: list[tuple[str, str, str]]
) -> None:
    assert events(*written) == tuple(AffectedRange(*one) for one in expected)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        (["0-1", "1-2", "3-4"], ["0-2", "3-4"]),
        (["0-1", "1-2", "2-"], ["0-"]),
        (["0-1", "0-2", "2-3"], ["0-1", "0-2", "2-3"]),
        # What follows on itself is left as it stands.
        (["0-1", "1-1"], ["0-1", "1-1"]),
        (["0-1", "1-2", "2-1"], ["0-1", "1-2", "2-1"]),
        (["1-2", "2-1", "5-6"], ["1-2", "2-1", "5-6"]),
        ([], []),
    ],
)
def test_ranges_that_follow_on_each_other_are_one(ranges: list[str], expected: list[str]) -> None:
    written = [AffectedRange(*text.split("-")) for text in ranges]
    assert [f"{one.introduced}-{one.fixed}" for one in joined(written)] == expected
    assert joined(reversed(written)) == joined(written)


def test_github_says_beside_a_range_where_it_ends() -> None:
    def last(text: str, *fixed: dict[str, str]) -> tuple[AffectedRange, ...]:
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, *fixed]}]
        known = {"last_known_affected_version_range": text}
        (found,) = affected(package("PyPI", "x", ranges=ranges, database_specific=known))
        return found.ranges

    assert last("<= 1.2") == (AffectedRange("0", last="1.2"),)
    assert last("< 1.2") == (AffectedRange("0", "1.2"),)
    assert last("< 1.2", {"fixed": "1.4"}) == (AffectedRange("0", "1.4"),)
    assert last(">= 1, < 2") == (AffectedRange("0"),)


def test_advisories_with_one_id_say_what_all_of_them_say() -> None:
    other = osv("A-1", aliases=["CVE-1"], database_specific={"severity": "HIGH"}, summary="What")
    other["affected"] = [package("PyPI", "Jinja2"), package("conda", "jinja2")]
    read = [read_advisory(one) for one in (osv("A-1", aliases=["X"]), other, osv("A-0"))]
    found = [one for one in read if one is not None]
    first, second = united(found)
    assert (first.id, second.id) == ("A-0", "A-1")
    assert second.aliases == ("CVE-1", "X")
    assert (second.severity, second.summary) == ("high", "What")
    assert second.affected == (
        Affected("conda", "jinja2", (AffectedRange("0"),)),
        Affected("pypi", "jinja2", (AffectedRange("0"), AffectedRange("0", "3.1.4"))),
    )
    assert united(reversed(found)) == united(found)


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({}, ""),
        ({"database_specific": {"severity": "CRITICAL"}}, "critical"),
        ({"database_specific": {"severity": "unknown"}}, ""),
        ({"severity": [{"type": "CVSS_V3", "score": WORST}]}, "critical"),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:M/Au:N/C:P/I:N/A:N"}]}, "medium"),
        ({"severity": [{"type": "Ubuntu", "score": "low"}]}, "low"),
        ({"severity": [{"type": "x", "score": 5}, 3]}, ""),
        (
            {
                "database_specific": {"severity": "LOW"},
                "severity": [{"type": "CVSS_V2", "score": "AV:N/AC:M/Au:N/C:P/I:N/A:N"}],
            },
            "low",
        ),
    ],
)  # fmt: skip
def test_the_severity_is_a_word_or_follows_from_a_vector(
    fields: dict[str, Any], severity: str
) -> None:
    found = read_advisory(osv(**fields))
    assert found is not None
    assert found.severity == severity


def test_malware_is_critical() -> None:
    found = read_advisory(osv("MAL-2026-1"))
    assert found is not None
    assert found.severity == "critical"


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        # Examples of the specifications' documents.
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
        ("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8),
        ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),
        ("AV:L/AC:H/Au:N/C:C/I:C/A:C", 6.2),
        ("7.5", 7.5),
    ],
)
def test_scores_are_those_of_the_specifications(vector: str, score: float) -> None:
    assert score_of(vector) == score


def test_a_vector_of_cvss_4_is_taken_for_that_of_3_1_which_says_the_same() -> None:
    worst = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"
    assert severity_of_vector(worst) == "critical"
    assert severity_of_vector(worst.replace("AT:N", "AT:P")) == "high"
    assert severity_of_vector(worst.replace("V:N", "V:P").replace("A:H", "A:N")) == "medium"


@pytest.mark.parametrize("vector", ["", "CVSS:3.1/AV:N", "CVSS:5.0/AV:N", "11", "nan", "x"])
def test_what_is_no_vector_has_no_severity(vector: str) -> None:
    assert severity_of_vector(vector) is None


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("a.json", "{", "a.json, line 1: it is not JSON: "),
        ("a.json", '{\n"id": }', "a.json, line 2: it is not JSON: "),
        ("a.json", "[" * 100_000, "a.json: it has more values than a text of its size may have"),
        ("a.json", '{"id": ' + "[" * 900, "a.json, line 1: it is not JSON"),
        ("a.json", "{}", "a.json, line 1: an advisory in OSV format has to stand here"),
        ("a.json", "3", "a.json, line 1: an advisory in OSV format has to stand here"),
        ("a.json", "[3]", "a.json, line 1, [0]: an advisory in OSV format has to stand here"),
        ("a.json", '{"id": 3,\n"affected": []}', "a.json, line 1, id: text of 1 to 100 characters"),
        ("a.json", '{"affected": []}', "a.json, line 1, id: text of 1 to 100 characters"),
        (
            "a.json",
            (
                '{"id": "A",\n"affected": [\n{"package": {"ecosystem": "PyPI", "name": "x"},\n'
                '"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced":\n["0"]}]}]}]}'
            ),
            "a.json, line 5, affected[0].ranges[0].events[0].introduced: text of 1 to 100",
        ),
        ("a.json", '{"id": "A",\n"affected": {}}', "a.json, line 2, affected: a list has to stand"),
        ("a.yaml", "id: A\naffected:\n- 3", "a.yaml, line 3, affected[0]: a mapping has to stand"),
        ("a.yaml", "a: &x 1\nb: *x", "a.yaml, line 2: it uses YAML aliases"),
        ("a.yaml", "a: b: c", "a.yaml, line 1: it is not YAML"),
        ("a.yaml", "", "a.yaml: an advisory in OSV format has to stand here"),
        ("a.yaml", "[" * 1000, "a.yaml"),
        ("a.yaml", "id: A\n\x00", "a.yaml"),
    ],
)
def test_what_cannot_be_used_is_refused_by_file_line_and_field(
    file: str, text: str, sentence: str
) -> None:
    with pytest.raises(PolicyTextInvalid) as caught:
        parse_advisories(file, text.encode())
    assert caught.value.message.startswith(sentence)
    assert len(caught.value.message) < 500


def test_other_bytes_and_large_files_are_refused() -> None:
    with pytest.raises(PolicyTextInvalid, match=r"a\.json, line 2: it is not text in UTF-8"):
        parse_advisories("a.json", b'{\n"\xff"}')
    with pytest.raises(PolicyTextInvalid, match="it is larger than 32 MiB"):
        parse_advisories("a.json", b" " * (MAX_BYTES + 1))


def test_other_files_of_a_database_say_nothing() -> None:
    # pypa/advisory-database has triage/false_positives.yaml beside its advisories.
    assert parse_advisories("false_positives.yaml", b"requests:\n- CVE-2015-2296\n") == ()


def test_what_is_made_to_take_long_is_read_or_refused_at_once() -> None:
    many = [{"introduced": f"1.{n}.{n}.{n}"} for n in range(9_000)]
    ranges = [{"type": "ECOSYSTEM", "events": many}] * 20
    texts = [
        json.dumps([osv("A", affected=[package("PyPI", "x", ranges=ranges)])]).encode(),
        json.dumps(
            osv("A", affected=[package("PyPI", "x", versions=[f"{n}" for n in range(49_000)])])
        ).encode(),
        b'{"id": "' + b"\\u0000" * 1_000_000 + b'"}',
        b'{"a": ' * 200_000,
    ]
    for text in texts:
        started = time.thread_time()
        with contextlib.suppress(PolicyTextInvalid):
            parse_advisories("a.json", text)
        assert time.thread_time() - started < 20
