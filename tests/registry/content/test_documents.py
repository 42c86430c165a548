import json
from typing import Any

import pytest

from builder.oci.digest import digest_of
from builder.oci.models import DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from registry.content.documents import MAX_DESCRIPTORS, Part, read_document
from registry.errors import ManifestInvalid
from tests.registry.pushing import descriptor, index_of, manifest_of

CONFIG, LAYER = b"{}", b"layer"


def test_the_parts_of_a_manifest_are_its_config_and_layers_once() -> None:
    found = read_document(manifest_of(CONFIG, LAYER, LAYER, CONFIG), OCI_MANIFEST)
    assert found.parts == (Part(digest_of(CONFIG), 2), Part(digest_of(LAYER), 5))
    assert found.named == (digest_of(CONFIG), digest_of(LAYER))
    assert (found.is_index, found.subject, found.artifact_type) == (False, None, OCI_CONFIG)


def test_an_index_needs_its_parts_and_names_its_subject_too() -> None:
    found = read_document(index_of(b"x", subject=descriptor(b"s", "x")), "")
    assert found.parts == (Part(digest_of(b"x"), 1),)
    assert found.named == (digest_of(b"x"), digest_of(b"s"))
    assert (found.media_type, found.subject) == (OCI_INDEX, digest_of(b"s"))


def changed(**changes: object) -> bytes:
    return json.dumps({**json.loads(manifest_of(CONFIG, LAYER)), **changes}).encode()


@pytest.mark.parametrize(
    ("data", "media_type", "words"),
    [
        (b"", OCI_MANIFEST, "malformed"),
        (b"\xff", OCI_MANIFEST, "malformed"),
        (b"[]", OCI_MANIFEST, "malformed"),
        (b"[" * 100_000, OCI_MANIFEST, "malformed"),
        (b'{"schemaVersion":2}', OCI_MANIFEST, "'config' and 'layers'"),
        (b'{"schemaVersion":2}', OCI_INDEX, "has 'manifests'"),
        (changed(schemaVersion=1), OCI_MANIFEST, "schemaVersion"),
        (changed(manifests=[]), OCI_MANIFEST, "no 'manifests'"),
        (json.dumps({**json.loads(index_of()), "layers": [], "config": None}).encode(), "", ""),
        (changed(), DOCKER_MANIFEST, "says that it is"),
        (changed(mediaType="a/b"), "", "no type of manifest"),
        (changed(mediaType=None), "", "no type of manifest"),
        (changed(), "application/json", "no type of manifest"),
        (changed(layers=[{"mediaType": "x", "digest": "x", "size": 1}]), "", "layers.0.digest"),
        (changed(layers=[descriptor(LAYER, "x") | {"size": -1}]), "", "layers.0.size"),
        (changed(subject="x"), "", "subject"),
        (changed(annotations={"a": 1}), "", "annotations.a"),
    ],
    ids=str,
)
def test_what_is_no_manifest_is_refused_with_a_sentence(
    data: bytes, media_type: str, words: str
) -> None:
    if not words:  # an empty list of layers is none
        assert read_document(data, media_type).is_index
        return
    with pytest.raises(ManifestInvalid, match=words) as caught:
        read_document(data, media_type)
    assert len(caught.value.message) < 500


def test_an_empty_list_may_be_null_as_go_writes_it() -> None:
    assert [part.digest for part in read_document(changed(layers=None), "").parts] == [
        part.digest for part in read_document(changed(layers=[]), "").parts
    ]
    index = {**json.loads(index_of()), "manifests": None}
    assert read_document(json.dumps(index).encode(), "").parts == ()


def test_a_document_that_is_both_is_refused() -> None:
    document: dict[str, Any] = {**json.loads(manifest_of(CONFIG)), **json.loads(index_of())}
    for media_type in (OCI_INDEX, OCI_MANIFEST):
        data = json.dumps({**document, "mediaType": media_type}).encode()
        with pytest.raises(ManifestInvalid):
            read_document(data, media_type)


def test_a_layer_that_others_distribute_is_named_and_not_needed() -> None:
    foreign = descriptor(b"foreign", "x") | {"urls": ["https://example.org/layer"]}
    found = read_document(changed(layers=[foreign]), "")
    assert found.parts == (Part(digest_of(CONFIG), 2),)
    assert found.named == (digest_of(CONFIG), digest_of(b"foreign"))


def test_a_document_has_a_bounded_number_of_descriptors() -> None:
    layers = [descriptor(b"%d" % n, "x") for n in range(MAX_DESCRIPTORS)]
    with pytest.raises(ManifestInvalid, match="10,001 blobs or manifests"):
        read_document(changed(layers=layers), "")
    assert len(read_document(changed(layers=layers[1:]), "").parts) == MAX_DESCRIPTORS
