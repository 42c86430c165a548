"""What the service says beyond the builder's errors.

::

    RegistryError
    ├── EndpointUnknown
    ├── NameInvalid
    ├── NameUnknown
    ├── ManifestUnknown
    ├── BlobUnknown
    ├── BlobUnavailable
    ├── ReferrersUnavailable
    ├── TagInvalid
    ├── UploadUnknown
    ├── PageInvalid
    ├── RangeInvalid
    ├── Unsupported
    └── StillBuilding
"""

from builder.ports import Progress


class RegistryError(Exception):
    """The request cannot be answered as it was meant."""

    @property
    def message(self) -> str:
        """The sentence for the user, in one line."""
        return " ".join(str(self).split())


class EndpointUnknown(RegistryError):
    """The address leads to nothing that the distribution-spec describes."""


class NameInvalid(RegistryError):
    """The repository's name does not follow the distribution-spec's grammar."""


class NameUnknown(RegistryError):
    """There is no such repository."""


class ManifestUnknown(RegistryError):
    """The repository has no such manifest."""


class BlobUnknown(RegistryError):
    """There is no such blob."""


class BlobUnavailable(RegistryError):
    """The blob cannot be read now, and will be readable again."""


class ReferrersUnavailable(RegistryError):
    """What refers to an image cannot be made now, and may be later."""


class TagInvalid(RegistryError):
    """The tag does not follow the distribution-spec's grammar."""


class UploadUnknown(RegistryError):
    """There is no such upload."""


class PageInvalid(RegistryError):
    """The number of entries asked for is not a number."""


class RangeInvalid(RegistryError):
    """The range of bytes asked for lies outside the blob."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"the range asked for lies outside the blob's {size_bytes} bytes")


class Unsupported(RegistryError):
    """The registry does not offer this."""


class StillBuilding(RegistryError):
    """The image is being built and not ready yet."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        super().__init__(
            f"the image is still being built: {progress}; pull again in a moment,"
            " what is done so far is kept"
        )
