import dataclasses
import json
from typing import Any

from builder.build.image import (
    KEY_ANNOTATION,
    SCRIPTS_ANNOTATION,
    EnvironmentLayers,
    image_config,
    image_index,
    image_manifest,
)
from builder.fetch.base_image import BaseImage
from builder.layer import Encoding, LayerBlob
from builder.oci.digest import digest_of
from builder.oci.models import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    ContainerConfig,
    Descriptor,
    ImageConfig,
    RootFs,
)
from builder.platforms import PLATFORMS

BASE = BaseImage(
    ImageConfig(
        architecture="amd64",
        os="linux",
        config=ContainerConfig(Env=["PATH=/usr/bin:/bin", "LANG=C.UTF-8"], Cmd=["bash"]),
        rootfs=RootFs(diff_ids=[digest_of(b"base tar")]),
    ),
    (Descriptor(media_type=DOCKER_LAYER_GZIP, digest=digest_of(b"base"), size=4),),
)


def layers(encoding: Encoding) -> EnvironmentLayers:
    blob = LayerBlob(encoding, digest_of(encoding.encode()), 4, digest_of(b"tar"), 3)
    return EnvironmentLayers(
        platform=PLATFORMS["linux-64"],
        blobs=(blob,),
        contents=(("numpy 2.3.1", "six 1.17"),),
        variables={"GDAL_DATA": "/opt/conda/share/gdal"},
        skipped_scripts=(".demo-post-link.sh (demo)",),
        newest_ms=1_700_000_000_123,
    )


def as_json(data: bytes) -> Any:
    return json.loads(data)


def test_every_encoding_of_the_layers_has_the_same_config() -> None:
    assert image_config(layers("zstd"), BASE) == image_config(layers("gzip"), BASE)


def test_the_config_puts_the_environment_in_front_of_the_bases_own() -> None:
    config = as_json(image_config(layers("zstd"), BASE).data)
    assert config["config"]["Env"] == [
        "PATH=/opt/conda/bin:/usr/bin:/bin",
        "LANG=C.UTF-8",
        "CONDA_PREFIX=/opt/conda",
        "GDAL_DATA=/opt/conda/share/gdal",
    ]
    assert config["config"]["Cmd"] == ["bash"]
    assert config["rootfs"]["diff_ids"] == [digest_of(b"base tar"), digest_of(b"tar")]
    assert config["created"] == "2023-11-14T22:13:20Z"


def test_what_activation_puts_around_the_path_is_around_the_bases_too() -> None:
    around = dataclasses.replace(layers("zstd"), path=("/opt/conda/a:", ":/opt/conda/b"))
    config = as_json(image_config(around, BASE).data)
    path = "/opt/conda/a:/opt/conda/bin:/usr/bin:/bin:/opt/conda/b"
    assert config["config"]["Env"][0] == f"PATH={path}"


def test_a_user_is_in_the_config_with_a_home_where_it_can_write() -> None:
    config = as_json(image_config(dataclasses.replace(layers("zstd"), user="7:7"), BASE).data)
    assert config["config"]["User"] == "7:7"
    assert "HOME=/tmp" in config["config"]["Env"]
    mine = dataclasses.replace(layers("zstd"), user="7:7", variables={"HOME": "/data"})
    assert "HOME=/data" in as_json(image_config(mine, BASE).data)["config"]["Env"]
    root = as_json(image_config(dataclasses.replace(layers("zstd"), user="0:0"), BASE).data)
    assert "HOME=/tmp" not in root["config"]["Env"]
    assert "User" not in as_json(image_config(layers("zstd"), BASE).data)["config"]


def test_an_image_without_a_base_has_a_path_and_nothing_below() -> None:
    config = as_json(image_config(layers("zstd"), None).data)
    assert config["config"]["Env"][0].startswith("PATH=/opt/conda/bin:")
    assert config["rootfs"]["diff_ids"] == [digest_of(b"tar")]


def test_an_oci_manifest_names_oci_types_only_and_says_what_was_skipped() -> None:
    config = image_config(layers("zstd"), BASE)
    manifest = as_json(image_manifest(layers("zstd"), BASE, config, "k" * 32, "oci-zstd").data)
    types = [layer["mediaType"] for layer in manifest["layers"]]
    assert types == [OCI_LAYER_GZIP, OCI_LAYER_ZSTD]
    assert manifest["annotations"] == {
        KEY_ANNOTATION: "k" * 32,
        SCRIPTS_ANNOTATION: ".demo-post-link.sh (demo)",
    }


def test_a_docker_manifest_names_docker_types_only() -> None:
    config = image_config(layers("gzip"), BASE)
    document = image_manifest(layers("gzip"), BASE, config, "k" * 32, "docker-gzip")
    manifest = as_json(document.data)
    assert document.media_type == manifest["mediaType"] == DOCKER_MANIFEST
    assert {layer["mediaType"] for layer in manifest["layers"]} == {DOCKER_LAYER_GZIP}
    assert "annotations" not in manifest


def test_an_index_lists_its_manifests_in_order_with_their_platforms() -> None:
    config = image_config(layers("zstd"), BASE)
    manifest = image_manifest(layers("zstd"), BASE, config, "k" * 32, "oci-zstd")
    pairs = [(PLATFORMS["linux-64"], manifest), (PLATFORMS["linux-aarch64"], manifest)]
    index = as_json(image_index(pairs, "k" * 32, "oci-zstd").data)
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert {entry["digest"] for entry in index["manifests"]} == {manifest.digest}
