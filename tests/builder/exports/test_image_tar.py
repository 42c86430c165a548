import io
import json
import tarfile
from pathlib import Path

import pytest

from builder.exports.image_tar import tar_documents, write_image_tar
from builder.oci.digest import Digest, digest_of
from builder.oci.models import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    ImageManifest,
    dump,
)
from builder.platforms import PLATFORMS

LAYER, CONFIG, KEY = b"a layer" * 1000, b"{}", "a" * 32


def image() -> tuple[bytes, ImageManifest]:
    manifest = ImageManifest(
        config=Descriptor(media_type=OCI_CONFIG, digest=digest_of(CONFIG), size=len(CONFIG)),
        layers=[Descriptor(media_type=OCI_LAYER_GZIP, digest=digest_of(LAYER), size=len(LAYER))],
    )
    return dump(manifest), manifest


def write(directory: Path) -> bytes:
    data, manifest = image()
    blobs: dict[Digest, Path] = {}
    for number, blob in enumerate((LAYER, CONFIG, data)):
        blobs[digest_of(blob)] = directory / str(number)
        (directory / str(number)).write_bytes(blob)
    top = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(data), size=len(data))
    documents = tar_documents(top, manifest, PLATFORMS["linux-aarch64"], KEY)
    out = directory / "image.tar"
    out.unlink(missing_ok=True)
    write_image_tar(blobs, documents, out)
    return out.read_bytes()


def read(tar: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            body = archive.extractfile(member)
            if body:
                found[member.name] = body.read()
    return found


def test_the_tar_is_a_layout_and_what_docker_saves(tmp_path: Path) -> None:
    files = read(write(tmp_path))
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert digest_of(data) == f"sha256:{name.rpartition('/')[2]}"
    (saved,) = json.loads(files["manifest.json"])
    assert saved["RepoTags"] == [f"build/{KEY}:latest"]
    assert files[saved["Config"]] == CONFIG
    assert [files[layer] for layer in saved["Layers"]] == [LAYER]
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert files["blobs/sha256/" + entry["digest"].partition(":")[2]] == image()[0]
    assert entry["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_the_same_image_gives_the_same_tar(tmp_path: Path) -> None:
    assert write(tmp_path) == write(tmp_path)


def test_nothing_is_left_when_a_blob_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "image.tar"
    with pytest.raises(FileNotFoundError):
        write_image_tar({digest_of(b""): tmp_path / "gone"}, {}, out)
    assert not out.exists()
