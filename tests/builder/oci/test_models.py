import json

from builder.oci.models import ImageIndex, ImageManifest, RootFs, media_type_of, parse

CONFIG = {"mediaType": "application/json", "digest": "sha256:" + "0" * 64, "size": 2}


def test_an_empty_list_may_be_null_as_go_writes_it() -> None:
    manifest = json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": None}).encode()
    assert parse(ImageManifest, manifest).layers == []
    assert media_type_of(manifest) == "application/vnd.oci.image.manifest.v1+json"
    assert parse(ImageIndex, b'{"schemaVersion": 2, "manifests": null}').manifests == []
    assert parse(RootFs, b'{"type": "layers", "diff_ids": null}').diff_ids == []
