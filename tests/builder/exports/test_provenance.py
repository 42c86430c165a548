import json
from typing import Any

from builder.exports.provenance import to_provenance
from builder.oci.digest import digest_of
from builder.oci.models import OCI_MANIFEST, Descriptor
from tests.builder.exports.locks import PANDAS, SIX, lock

MANIFESTS = [
    Descriptor(media_type=OCI_MANIFEST, digest=digest_of(text), size=1) for text in (b"a", b"b")
]


def statement(**changes: Any) -> Any:
    return json.loads(to_provenance(lock(**changes), "oci-zstd", MANIFESTS))


def test_the_subjects_are_the_manifests() -> None:
    said = statement()
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert [f"sha256:{one['digest']['sha256']}" for one in said["subject"]] == [
        one.digest for one in MANIFESTS
    ]


def test_it_names_the_lock_the_base_and_every_archive_once() -> None:
    definition = statement()["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"lock": lock().key}
    resolved = definition["resolvedDependencies"]
    assert len(resolved) == 1 + 5 + 2
    assert resolved[0]["name"] == "docker.io/library/debian"
    by_uri = {one["uri"]: one["digest"]["sha256"] for one in resolved}
    assert by_uri[PANDAS.url] == PANDAS.sha256
    assert by_uri[SIX.url] == SIX.sha256
    without = statement(base=None)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert without == resolved[1:]


def test_it_says_nothing_of_the_time_or_place_of_making() -> None:
    assert to_provenance(lock(), "oci-zstd", MANIFESTS) == to_provenance(
        lock(), "oci-zstd", MANIFESTS
    )
    assert set(statement()["predicate"]["runDetails"]) == {"builder"}
