"""Images in directories (OCI image-spec, image-layout.md).

::

    oci-layout               {"imageLayoutVersion": "1.0.0"}
    index.json               the images that the directory offers
    blobs/sha256/<digest>    manifests, configs and layers
"""

import json
from pathlib import Path

from builder.errors import BaseImageError
from builder.oci.digest import Digest, digest_of, hex_of
from builder.oci.models import Descriptor, ImageIndex, dump, parse

#: Names an image of a layout: image-spec, annotations.md.
REF_NAME = "org.opencontainers.image.ref.name"


class OciLayout:
    """An image layout directory, read or being written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(cls, directory: Path) -> "OciLayout":
        """Return the layout at ``directory``, made if it is not there yet."""
        (directory / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        return cls(directory)

    def blob(self, digest: Digest) -> Path:
        """Return where the blob of that digest lies, whether or not it is there."""
        return self.directory / "blobs" / "sha256" / hex_of(digest)

    def add(self, data: bytes) -> Digest:
        """Write ``data`` as a blob and return its digest."""
        digest = digest_of(data)
        self.blob(digest).write_bytes(data)
        return digest

    def images(self) -> list[Descriptor]:
        """Return what the directory's index offers.

        Raises:
            BaseImageError: The directory is not an image layout.
        """
        try:
            data = (self.directory / "index.json").read_bytes()
        except OSError as exc:
            raise BaseImageError(
                f"'{self.directory}' is not an OCI layout: it has no readable index.json"
            ) from exc
        return parse(ImageIndex, data).manifests

    def offer(self, descriptor: Descriptor, name: str) -> None:
        """Make ``descriptor`` the one image of the directory, under ``name``."""
        entry = descriptor.model_copy(update={"annotations": {REF_NAME: name}})
        (self.directory / "index.json").write_bytes(dump(ImageIndex(manifests=[entry])))
