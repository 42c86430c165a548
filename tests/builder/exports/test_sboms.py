import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from builder.exports.components import components_of
from builder.exports.cyclonedx import to_cyclonedx
from builder.exports.spdx import to_spdx
from builder.lock import Lock
from builder.platforms import Subdir
from tests.builder.exports.locks import (
    DATEUTIL,
    LICENSES,
    SIX,
    ZLIB,
    lock,
)

Writer = Callable[[Lock, Sequence[Subdir], Mapping[str, str]], bytes]
BOTH: tuple[Subdir, Subdir] = ("linux-64", "linux-aarch64")
LOCKS = {
    "everything": lock(),
    "no base": lock(base=None),
    "no packages": lock(platforms={"linux-64": ()}, wheels={}, bytecode={}),
}


def spdx(one: Lock | None = None, platforms: Sequence[Subdir] = ("linux-64",)) -> Any:
    return json.loads(to_spdx(one or lock(), platforms, LICENSES))


def cyclonedx(one: Lock | None = None, platforms: Sequence[Subdir] = ("linux-64",)) -> Any:
    return json.loads(to_cyclonedx(one or lock(), platforms, LICENSES))


def by_name(entries: Sequence[Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in entries}


@pytest.mark.parametrize("one", LOCKS.values(), ids=list(LOCKS))
def test_cyclonedx_follows_its_schema(one: Lock) -> None:
    text = to_cyclonedx(one, list(one.platforms), LICENSES).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize("one", LOCKS.values(), ids=list(LOCKS))
def test_spdx_is_a_valid_document(one: Lock, tmp_path: Path) -> None:
    assert faults(to_spdx(one, list(one.platforms), LICENSES), tmp_path) == []


def faults(document: bytes, directory: Path) -> list[str]:
    """Return what SPDX's own library has to say against a document."""
    path = directory / "sbom.spdx.json"
    path.write_bytes(document)
    found = validate_full_spdx_document(parse_from_file(str(path)))
    return [fault.validation_message for fault in found]


@pytest.mark.parametrize("write", [to_spdx, to_cyclonedx])
def test_a_bill_is_the_same_whenever_it_is_written(write: Writer) -> None:
    assert write(lock(), BOTH, LICENSES) == write(lock(), BOTH, dict(reversed(LICENSES.items())))
    assert write(lock(), BOTH, LICENSES) != write(lock(), ("linux-64",), LICENSES)


def test_its_time_is_that_of_the_newest_package() -> None:
    assert spdx()["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    assert cyclonedx()["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"


def test_purls_say_where_a_package_comes_from() -> None:
    parts = by_name(cyclonedx()["components"])
    found = PackageURL.from_string(parts["python"]["purl"])
    assert (found.type, found.name, found.version) == ("conda", "python", "3.11.7")
    assert found.qualifiers == {
        "build": "h1_cpython",
        "channel": "main",
        "subdir": "linux-64",
        "type": "conda",
    }
    assert parts["six"]["purl"] == "pkg:pypi/six@1.17.0?file_name=" + SIX.file_name
    other = PackageURL.from_string(parts["python-dateutil"]["purl"])
    assert isinstance(other.qualifiers, dict)
    assert other.qualifiers["download_url"] == DATEUTIL.url
    base = PackageURL.from_string(parts["docker.io/library/debian"]["purl"])
    assert (base.type, base.name) == ("oci", "debian")
    assert base.qualifiers == {"repository_url": "docker.io/library/debian"}


def test_every_archive_has_its_hashes_and_address() -> None:
    said = by_name(spdx()["packages"])["zlib"]
    assert said["downloadLocation"] == ZLIB.url
    assert {c["algorithm"]: c["checksumValue"] for c in said["checksums"]} == {
        "SHA256": ZLIB.sha256,
        "MD5": ZLIB.md5,
    }
    wheel = by_name(cyclonedx()["components"])["six"]
    assert wheel["hashes"] == [{"alg": "SHA-256", "content": SIX.sha256}]
    assert wheel["externalReferences"] == [{"type": "distribution", "url": SIX.url}]


def test_an_address_on_the_disk_of_the_server_is_no_location_in_spdx(tmp_path: Path) -> None:
    zlib = dataclasses.replace(ZLIB, url="file:///channel/linux-64/zlib-1.3-0.conda")
    one = lock(platforms={"linux-64": (zlib,)}, wheels={}, bytecode={})
    assert by_name(spdx(one)["packages"])["zlib"]["downloadLocation"] == "NOASSERTION"
    assert faults(to_spdx(one, ["linux-64"], LICENSES), tmp_path) == []


def test_licences_are_spdx_expressions_or_quoted() -> None:
    document = spdx()
    declared = {name: p["licenseDeclared"] for name, p in by_name(document["packages"]).items()}
    assert declared["python"] == "Python-2.0"
    assert declared["pandas"] == "BSD-3-Clause AND LicenseRef-Pandas"
    assert declared["python-dateutil"] == "NOASSERTION"
    quoted = {e["licenseId"]: e["extractedText"] for e in document["hasExtractedLicensingInfos"]}
    assert quoted[declared["zlib"]] == "see zlib's copyright file"
    assert "LicenseRef-Pandas" in quoted
    parts = by_name(cyclonedx()["components"])
    assert parts["six"]["licenses"] == [{"expression": "MIT"}]
    assert parts["zlib"]["licenses"] == [{"license": {"name": "see zlib's copyright file"}}]
    assert "licenses" not in parts["python-dateutil"]


def test_needs_of_packages_and_wheels_lead_to_what_is_there() -> None:
    document = cyclonedx()
    names = {part["bom-ref"]: part["name"] for part in document["components"]}
    needs = {
        names[entry["ref"]]: {names[ref] for ref in entry["dependsOn"]}
        for entry in document["dependencies"]
        if entry["ref"] in names
    }
    assert needs == {
        "pandas": {"python"},
        "python": {"zlib"},
        "zlib": set(),
        "six": set(),
        "python-dateutil": {"six", "pandas"},
    }
    relations = spdx()["relationships"]
    kinds = [relation["relationshipType"] for relation in relations]
    assert kinds.count("DEPENDS_ON") == 4
    assert kinds.count("CONTAINS") == 5
    assert kinds.count("DESCENDANT_OF") == 1


def test_the_bill_of_an_index_has_the_packages_of_every_platform_once() -> None:
    parts = cyclonedx(platforms=BOTH)["components"]
    assert sum(part["name"] == "pandas" for part in parts) == 1
    assert sum(part["name"] == "python" for part in parts) == 2
    found = components_of(lock(), BOTH, {})
    (pandas,) = (component for component in found if component.name == "pandas")
    assert len(pandas.needs) == 2


def test_packages_of_a_channel_that_is_no_channel_of_the_lock_tell_its_address() -> None:
    (component, *_) = components_of(lock(channels=()), ["linux-64"], {})
    assert "channel=http://channel.test/main" in component.purl.replace("%3A", ":").replace(
        "%2F", "/"
    )


def test_a_bill_names_its_image() -> None:
    assert cyclonedx()["metadata"]["component"]["name"] == f"build/{lock().key}"
    assert spdx()["name"] == f"build/{lock().key}"


def test_a_licence_that_the_index_has_corrected_counts_over_the_archive() -> None:
    for listed, expected in (('{"license":"MIT"}', "MIT"), ("{}", "")):
        zlib = dataclasses.replace(ZLIB, listed=listed)
        one = lock(platforms={"linux-64": (zlib,)}, wheels={}, bytecode={})
        (component,) = components_of(one, ["linux-64"], LICENSES)
        assert component.license == expected
