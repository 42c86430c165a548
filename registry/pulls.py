"""From a reference to a manifest: stored, else built."""

from typing import Literal, Protocol

from builder.oci.digest import Digest
from registry.content.manifests import Manifest

#: In which media types and with which layer compression an image is answered.
#: Each flavour of an image has a digest of its own; all share one config.
Flavour = Literal["oci-zstd", "oci-gzip", "docker-gzip"]


class Pulls(Protocol):
    """Answers references of generated repositories (``env/…``)."""

    def is_generated(self, repository: str) -> bool:
        """Tell whether the server itself makes the images of ``repository``."""
        ...

    async def by_tag(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        """Return the manifest behind a tag; the image's blobs are in the store then.

        ``index=False`` is for clients that take no index: they get the manifest of the first
        platform. The build goes on when the caller stops waiting.

        Raises:
            StillBuilding: The build took longer than ``timeout_seconds``; ask again.
            BuilderError: The name cannot be understood, solved or built.
            NameUnknown: No image is made under this name.
        """
        ...

    async def tags(self, repository: str) -> tuple[str, ...]:
        """Return the tags of ``repository``, sorted.

        Raises:
            NameUnknown: No image is made under this name.
        """
        ...

    async def holds(self, repository: str, digest: Digest) -> bool:
        """Tell whether ``digest`` may be read through ``repository``."""
        ...
