"""Manifests by digest."""

from dataclasses import dataclass

from builder.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index, byte for byte."""

    digest: Digest
    #: For example ``"application/vnd.oci.image.manifest.v1+json"``.
    media_type: str
    data: bytes
