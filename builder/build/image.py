"""The config, manifest and index of an image: pure functions of its layers.

::

    index ─┬─ manifest (linux/amd64) ─┬─ config    the same for every flavour
           │                          └─ layers    base first, then the environment's
           └─ manifest (linux/arm64) ── …
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from builder.fetch.base_image import BaseImage
from builder.layer import PREFIX, LayerBlob
from builder.oci.digest import Digest, digest_of
from builder.oci.models import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYERS,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    ContainerConfig,
    Descriptor,
    History,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    PlatformModel,
    RootFs,
    dump,
)
from builder.platforms import Platform

#: In which media types and with which layer compression an image is answered. Each flavour of an
#: image has a digest of its own; all share one config, and with it docker's image ID.
Flavour = Literal["oci-zstd", "oci-gzip", "docker-gzip"]

FLAVOURS: Final[tuple[Flavour, ...]] = ("oci-zstd", "oci-gzip", "docker-gzip")

#: The annotation that names the locked build an image was made from.
KEY_ANNOTATION: Final = "io.pullforge.build.key"
#: The annotation that names scripts that were not run, or not all of what they do.
SCRIPTS_ANNOTATION: Final = "io.pullforge.skipped-scripts"

_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OCI_LAYERS: Final = {"zstd": OCI_LAYER_ZSTD, "gzip": OCI_LAYER_GZIP}


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document of an image, ready to be stored and served."""

    media_type: str
    digest: Digest
    data: bytes

    @property
    def descriptor(self) -> Descriptor:
        """The document's descriptor."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.data))


@dataclass(frozen=True, slots=True)
class EnvironmentLayers:
    """The layers of one platform of an image, with what its packages ask of the container."""

    platform: Platform
    #: Lowest first.
    blobs: tuple[LayerBlob, ...]
    #: For each blob, the packages in it, e.g. ``("numpy 2.3.1",)``.
    contents: tuple[tuple[str, ...], ...]
    #: Variables that packages set when they are activated, and those of the lock.
    variables: Mapping[str, str]
    #: Link scripts that were not run, and activation scripts of which something is missing, e.g.
    #: ``"conda-meta-post-link.sh (pkg)"``, sorted.
    skipped_scripts: tuple[str, ...]
    #: When the newest package was published, in milliseconds since 1970.
    newest_ms: int
    #: What activation puts before and after all that is in ``PATH``.
    path: tuple[str, str] = ("", "")
    #: Who runs, e.g. ``"1000:1000"``; ``""`` for whoever the base says.
    user: str = ""


def image_config(layers: EnvironmentLayers, base: BaseImage | None) -> Document:
    """Return the config: the same for every encoding of the layers."""
    created = (
        datetime.datetime.fromtimestamp(layers.newest_ms // 1000, datetime.UTC)
        .isoformat()
        .replace("+00:00", "Z")
    )
    below = base.config if base else None
    history = list(below.history or []) if below else []
    history += [
        History(created=created, created_by="pullforge", comment=" ".join(names))
        for names in layers.contents
    ]
    config = ImageConfig(
        architecture=layers.platform.architecture,
        os=layers.platform.os,
        variant=layers.platform.variant,
        created=created,
        config=_container(below.config if below else ContainerConfig(), layers),
        rootfs=RootFs(
            diff_ids=(below.rootfs.diff_ids if below else [])
            + [blob.diff_id for blob in layers.blobs]
        ),
        history=history,
    )
    return _document(OCI_CONFIG, dump(config))


def image_manifest(
    layers: EnvironmentLayers, base: BaseImage | None, config: Document, key: str, flavour: Flavour
) -> Document:
    """Return the manifest of one platform in one flavour.

    ``layers`` are in the flavour's encoding. The base's layers stay as they are, apart from their
    media types.
    """
    is_docker = flavour == "docker-gzip"
    descriptors = [
        Descriptor(
            media_type=_layer_type(layer.media_type, is_docker=is_docker),
            digest=layer.digest,
            size=layer.size,
        )
        for layer in (base.layers if base else ())
    ]
    descriptors += [
        Descriptor(
            media_type=DOCKER_LAYER_GZIP if is_docker else _OCI_LAYERS[blob.encoding],
            digest=blob.digest,
            size=blob.size_bytes,
        )
        for blob in layers.blobs
    ]
    annotations = {KEY_ANNOTATION: key}
    if layers.skipped_scripts:
        annotations[SCRIPTS_ANNOTATION] = ", ".join(layers.skipped_scripts)
    manifest = ImageManifest(
        media_type=DOCKER_MANIFEST if is_docker else OCI_MANIFEST,
        config=Descriptor(
            media_type=DOCKER_CONFIG if is_docker else OCI_CONFIG,
            digest=config.digest,
            size=len(config.data),
        ),
        layers=descriptors,
        annotations=None if is_docker else annotations,
    )
    return _document(manifest.media_type, dump(manifest))


def image_index(
    manifests: Sequence[tuple[Platform, Document]], key: str, flavour: Flavour
) -> Document:
    """Return the index of an image's manifests, in the order given."""
    is_docker = flavour == "docker-gzip"
    index = ImageIndex(
        media_type=DOCKER_LIST if is_docker else OCI_INDEX,
        manifests=[
            Descriptor(
                media_type=document.media_type,
                digest=document.digest,
                size=len(document.data),
                platform=PlatformModel(
                    architecture=platform.architecture, os=platform.os, variant=platform.variant
                ),
            )
            for platform, document in manifests
        ],
        annotations=None if is_docker else {KEY_ANNOTATION: key},
    )
    return _document(index.media_type, dump(index))


def variables_of(container: ContainerConfig) -> dict[str, str]:
    """Return the variables of a container, by name."""
    return dict(entry.partition("=")[::2] for entry in container.Env or [])


def _container(below: ContainerConfig, layers: EnvironmentLayers) -> ContainerConfig:
    """Return how a container starts: as the base does, with the prefix in front of PATH."""
    env = variables_of(below)
    before, after = layers.path
    env["PATH"] = f"{before}{PREFIX}/bin:{env.get('PATH', _DEFAULT_PATH)}{after}"
    env["CONDA_PREFIX"] = PREFIX
    if layers.user and not layers.user.startswith("0:"):
        # No base knows the user, whose home would be ``/``, where nobody but root can write.
        env.setdefault("HOME", "/tmp")  # noqa: S108 - of the container
    env.update(sorted(layers.variables.items()))
    if layers.user:
        below = below.model_copy(update={"User": layers.user})
    return below.model_copy(update={"Env": [f"{name}={value}" for name, value in env.items()]})


def _layer_type(media_type: str, *, is_docker: bool) -> str:
    """Return the media type of a base's layer in Docker's family or OCI's; its bytes stay."""
    for oci, docker in DOCKER_LAYERS.items():
        if media_type in {oci, docker}:
            return docker if is_docker else oci
    return media_type


def _document(media_type: str, data: bytes) -> Document:
    return Document(media_type, digest_of(data), data)
