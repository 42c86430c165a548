"""The JSON documents of the image format (OCI image-spec 1.1: manifest, index, config).

Unknown fields of documents that others made are kept out of these models on purpose: a document
of somebody else is passed on byte for byte, never written again.
"""

import json
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from builder.errors import BaseImageError
from builder.oci.digest import Digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
#: Known to containerd and BuildKit; the document it would belong to has no newer specification.
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"

#: Docker's type of each of OCI's for a layer.
DOCKER_LAYERS = {
    OCI_LAYER: DOCKER_LAYER,
    OCI_LAYER_GZIP: DOCKER_LAYER_GZIP,
    OCI_LAYER_ZSTD: DOCKER_LAYER_ZSTD,
}
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})


def _no_null(value: Any) -> Any:
    return [] if value is None else value


#: Go writes an empty list as null.
_NULL_IS_EMPTY: Final = BeforeValidator(_no_null)

Model = TypeVar("Model", bound=BaseModel)


class _Document(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class PlatformModel(_Document):
    """Which machines a manifest is for."""

    architecture: str
    os: str
    variant: str | None = None


class Descriptor(_Document):
    """Points at content (image-spec, descriptor.md)."""

    media_type: str
    digest: Digest
    size: int = Field(ge=0)
    platform: PlatformModel | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None


class ImageManifest(_Document):
    """One image for one platform, or an artifact (image-spec, manifest.md)."""

    schema_version: Literal[2] = 2
    media_type: str = OCI_MANIFEST
    #: Of an artifact.
    artifact_type: str | None = None
    config: Descriptor
    layers: Annotated[list[Descriptor], _NULL_IS_EMPTY]
    #: What an artifact says something about.
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class ImageIndex(_Document):
    """The manifests of one image for several platforms (image-spec, image-index.md)."""

    schema_version: Literal[2] = 2
    media_type: str = OCI_INDEX
    manifests: Annotated[list[Descriptor], _NULL_IS_EMPTY]
    annotations: dict[str, str] | None = None


class RootFs(_Document):
    """The layers of a config, by the digests of their tars."""

    model_config = ConfigDict(alias_generator=None)
    type: Literal["layers"] = "layers"
    diff_ids: Annotated[list[Digest], _NULL_IS_EMPTY]


class History(_Document):
    """Where a layer comes from; one entry a layer, in order."""

    model_config = ConfigDict(alias_generator=None)
    created: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class ContainerConfig(BaseModel):
    """How a container of the image is started (image-spec, config.md)."""

    model_config = ConfigDict(extra="ignore")
    Env: list[str] | None = None
    Cmd: list[str] | None = None
    Entrypoint: list[str] | None = None
    WorkingDir: str | None = None
    User: str | None = None
    Labels: dict[str, str] | None = None


class ImageConfig(_Document):
    """An image's config: what it runs as, and its layers."""

    model_config = ConfigDict(alias_generator=None)
    architecture: str
    os: str
    variant: str | None = None
    created: str | None = None
    config: ContainerConfig = ContainerConfig()
    rootfs: RootFs
    history: list[History] | None = None


def dump(document: _Document) -> bytes:
    """Return the document's canonical JSON: the same model gives the same bytes for ever."""
    return document.model_dump_json(by_alias=True, exclude_none=True).encode()


def parse_manifest(data: bytes, media_type: str) -> ImageManifest | ImageIndex:
    """Return a manifest or index that somebody else made.

    Raises:
        BaseImageError: It is neither, or is malformed.
    """
    model: type[ImageManifest | ImageIndex]
    if media_type in INDEX_TYPES:
        model = ImageIndex
    elif media_type in MANIFEST_TYPES:
        model = ImageManifest
    else:
        raise BaseImageError(f"'{media_type}' is not the media type of an image manifest or index")
    return parse(model, data)


def media_type_of(data: bytes) -> str:
    """Return what a manifest says it is; without a word, an OCI index or manifest by its shape.

    Raises:
        BaseImageError: It is not a JSON object, or does not look like one of these.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BaseImageError("the image's manifest is not JSON") from exc
    if not isinstance(document, dict):
        raise BaseImageError("the image's manifest is not a JSON object")
    said = document.get("mediaType")
    if isinstance(said, str):
        return said
    if "manifests" in document:
        return OCI_INDEX
    if "config" in document and "layers" in document:
        return OCI_MANIFEST
    raise BaseImageError("the image's manifest does not say what it is")


def parse(model: type[Model], data: bytes) -> Model:
    """Return ``data`` read as ``model``.

    Raises:
        BaseImageError: It does not have the model's shape.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BaseImageError(
            f"the image's {model.__name__} is malformed at '{place}': {first['msg']}"
        ) from exc
