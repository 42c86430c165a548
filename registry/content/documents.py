"""Manifests and indexes as pushed: kept byte for byte, checked where a registry must."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from builder.errors import InvalidDigest
from builder.oci.digest import Digest, parse_digest
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES
from registry.errors import ManifestInvalid

#: So many descriptors may a document have: each costs a look and a note in the store.
MAX_DESCRIPTORS: Final = 10_000
#: What can be pushed.
MEDIA_TYPES: Final = INDEX_TYPES | MANIFEST_TYPES


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InvalidDigest as exc:
        raise ValueError(exc.message) from exc


class _Lenient(BaseModel):
    """Leaves alone what it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class _Descriptor(_Lenient):
    media_type: str
    digest: Annotated[str, AfterValidator(_digest)]
    size: Annotated[int, Field(ge=0)]
    urls: list[str] | None = None


class _Document(_Lenient):
    schema_version: Literal[2]
    media_type: str | None = None
    artifact_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What a document needs: a blob of a manifest; a manifest, or also a blob, of an index."""

    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PushedDocument:
    """What a registry needs to know of a manifest or index."""

    media_type: str
    is_index: bool
    #: The config and layers of a manifest, or the manifests of an index; each once, in order.
    #: Layers that others distribute (``urls``) are not among them.
    parts: tuple[Part, ...]
    #: Whatever it names, its subject and the layers of others too; each once.
    named: tuple[Digest, ...]
    subject: Digest | None
    #: What referrers are filtered by: its own, else the config's media type; empty if neither.
    artifact_type: str
    annotations: dict[str, str]


def read_document(data: bytes, media_type: str) -> PushedDocument:
    """Return what is in a manifest or index; ``media_type`` is the sender's, or empty.

    Raises:
        ManifestInvalid: It is neither, contradicts itself, or is malformed.

    Source: image-spec, manifest.md and image-index.md; distribution-spec, "Pushing Manifests".
    """
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f" at '{place[:100]}'" if place else ""
        raise ManifestInvalid(f"the manifest is malformed{where}: {first['msg'][:200]}") from exc
    said = document.media_type
    found = media_type or said or ""
    if found not in MEDIA_TYPES:
        raise ManifestInvalid(
            f"'{found[:100]}' is no type of manifest that can be pushed here: OCI image manifests"
            " and indexes can, and Docker's of schema 2"
        )
    if said not in {None, found}:
        raise ManifestInvalid(
            f"the manifest was sent as '{found}', and says that it is '{str(said)[:100]}'"
        )
    is_index = found in INDEX_TYPES
    _require_one_kind(document, is_index=is_index)
    config_type = document.config.media_type if document.config else ""
    descriptors = list(_descriptors(document))
    if len(descriptors) > MAX_DESCRIPTORS:
        raise ManifestInvalid(
            f"the manifest names {len(descriptors):,} blobs or manifests, and may name"
            f" {MAX_DESCRIPTORS:,}: push it in parts, or pack its files into fewer layers"
        )
    parts = (Part(Digest(one.digest), one.size) for one in descriptors if not one.urls)
    subject = Digest(document.subject.digest) if document.subject else None
    named = [Digest(one.digest) for one in descriptors] + ([subject] if subject else [])
    return PushedDocument(
        found,
        is_index,
        tuple(dict.fromkeys(parts)),
        tuple(dict.fromkeys(named)),
        subject,
        document.artifact_type or config_type,
        document.annotations or {},
    )


def _require_one_kind(document: _Document, *, is_index: bool) -> None:
    """Refuse a document that is both manifest and index (CVE-2021-41190)."""
    is_list = "manifests" in document.model_fields_set
    if is_index and (not is_list or document.config or document.layers):
        raise ManifestInvalid("an index has 'manifests', and neither 'config' nor 'layers'")
    # Go writes an empty list as null.
    is_manifest = document.config is not None and "layers" in document.model_fields_set
    if not is_index and (not is_manifest or document.manifests is not None):
        raise ManifestInvalid("a manifest has 'config' and 'layers', and no 'manifests'")


def _descriptors(document: _Document) -> Iterator[_Descriptor]:
    if document.config:
        yield document.config
    yield from document.layers or ()
    yield from document.manifests or ()
