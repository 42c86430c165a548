"""What the service says beyond the builder's errors.

::

    RegistryError
    ├── EndpointUnknown
    ├── NameInvalid
    ├── NameUnknown
    ├── ManifestUnknown
    ├── BlobUnknown
    ├── BlobUnavailable
    ├── TagInvalid
    ├── UploadUnknown
    ├── PageInvalid
    ├── RangeInvalid
    ├── Unsupported
    ├── StillBuilding
    ├── Unauthorized
    ├── Denied
    ├── TooManyLogins
    └── PolicyInvalid
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


class Unauthorized(RegistryError):
    """The request needs credentials, or better ones."""

    def __init__(self, message: str, problem: str | None = None, *, challenge: str = "") -> None:
        """Make the error.

        Args:
            message: The sentence for the user.
            problem: What is wrong with the token that was sent, as RFC 6750 calls it.
            challenge: What to ask whom for: a value of ``WWW-Authenticate``.
        """
        self.problem = problem
        self.challenge = challenge
        super().__init__(message)


class Denied(RegistryError):
    """Whoever sent the request may not do this."""


class TooManyLogins(RegistryError):
    """Too many logins failed, or are under way."""


class PolicyInvalid(RegistryError):
    """The file with users, tokens and rights cannot be used."""
