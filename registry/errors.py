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
    ├── StillBuilding
    └── ApiError            raised for the API alone
        ├── BuildUnknown
        ├── RequestUnknown
        ├── TooManyBuilds
        ├── BodyTooLarge
        └── ParameterInvalid
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

    def __init__(self, progress: Progress, *, what: str = "the image") -> None:
        self.progress = progress
        super().__init__(
            f"{what} is still being built: {progress}; pull again in a moment,"
            " what is done so far is kept"
        )


class ApiError(RegistryError):
    """What was asked of the API cannot be done."""


class BuildUnknown(ApiError):
    """There is no such build."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"there is no build '{key[:100]}' here: a build is named by the 32 hex digits of its"
            " key, which POST /api/v1/builds answers and every image has as the annotation"
            " io.pullforge.build.key"
        )


class RequestUnknown(ApiError):
    """There is no such request, or it failed long ago and is forgotten."""


class TooManyBuilds(ApiError):
    """As many requests are under way as the administrator allows."""


class BodyTooLarge(ApiError):
    """What was sent is larger than the administrator allows."""


class ParameterInvalid(ApiError):
    """A part of the address or a header of the request has a value that means nothing."""
