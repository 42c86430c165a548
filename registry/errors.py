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
    ├── ContentUnavailable
    ├── UploadUnknown
    ├── UploadInvalid
    │   ├── ChunkOutOfOrder
    │   └── BodyTooSlow
    ├── DigestMismatch
    ├── TooLarge
    ├── ManifestInvalid
    ├── PartsUnknown
    ├── BlobInUse
    ├── PageInvalid
    ├── RangeInvalid
    ├── Unsupported
    │   └── GeneratedRepository
    ├── StillBuilding
    ├── Unauthorized
    ├── Denied
    ├── TooManyRequests
    │   ├── TooManyLogins
    │   └── TooManyNewImages
    ├── PolicyInvalid
    └── ApiError            raised for the API alone
        ├── BuildUnknown
        ├── RequestUnknown
        ├── TooManyBuilds
        ├── BodyTooLarge
        └── ParameterInvalid
"""

from collections.abc import Sequence
from typing import ClassVar

from builder.errors import ErrorKind
from builder.ports import Progress


class RegistryError(Exception):
    """The request cannot be answered as it was meant."""

    kind: ClassVar[ErrorKind] = "internal"

    @property
    def message(self) -> str:
        """The sentence for the user, in one line."""
        return " ".join(str(self).split())


class EndpointUnknown(RegistryError):
    """The address leads to nothing that the distribution-spec describes."""

    kind: ClassVar[ErrorKind] = "not_found"


class NameInvalid(RegistryError):
    """The repository's name does not follow the distribution-spec's grammar."""

    kind: ClassVar[ErrorKind] = "invalid"


class NameUnknown(RegistryError):
    """There is no such repository."""

    kind: ClassVar[ErrorKind] = "not_found"


class ManifestUnknown(RegistryError):
    """The repository has no such manifest."""

    kind: ClassVar[ErrorKind] = "not_found"


class BlobUnknown(RegistryError):
    """There is no such blob."""

    kind: ClassVar[ErrorKind] = "not_found"


class BlobUnavailable(RegistryError):
    """The blob cannot be read now, and will be readable again."""

    kind: ClassVar[ErrorKind] = "unavailable"


class ReferrersUnavailable(RegistryError):
    """What refers to an image cannot be made now, and may be later."""

    kind: ClassVar[ErrorKind] = "unavailable"


class TagInvalid(RegistryError):
    """The tag does not follow the distribution-spec's grammar."""

    kind: ClassVar[ErrorKind] = "invalid"


class ContentUnavailable(RegistryError):
    """What was pushed, or is being pushed, cannot be read or written now, and will be later."""

    kind: ClassVar[ErrorKind] = "unavailable"


class UploadUnknown(RegistryError):
    """There is no such upload."""

    kind: ClassVar[ErrorKind] = "not_found"


class UploadInvalid(RegistryError):
    """The request does not fit the upload, or its body is not what its headers say."""

    kind: ClassVar[ErrorKind] = "invalid"


class ChunkOutOfOrder(UploadInvalid):
    """The chunk does not begin where the upload ends."""

    def __init__(self, size_bytes: int) -> None:
        #: What was received so far.
        self.size_bytes = size_bytes
        super().__init__(f"the next chunk begins at byte {size_bytes}: send that one")


class BodyTooSlow(UploadInvalid):
    """The client sent nothing for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing was received for {seconds:g} s: send it again")


class DigestMismatch(RegistryError):
    """What was pushed has another digest than its address says."""

    kind: ClassVar[ErrorKind] = "invalid"

    def __init__(self, digest: str, found: str) -> None:
        self.digest = digest
        self.found = found
        super().__init__(f"the digest of what was sent is {found}, not {digest}: send it again")


class TooLarge(RegistryError):
    """What is pushed is larger than this registry takes."""

    kind: ClassVar[ErrorKind] = "too_large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"{what} has at most {limit_bytes} bytes here")


class ManifestInvalid(RegistryError):
    """What was pushed is no manifest or index that registries take."""

    kind: ClassVar[ErrorKind] = "invalid"


class PartsUnknown(RegistryError):
    """A manifest names blobs or manifests that the repository does not have."""

    kind: ClassVar[ErrorKind] = "not_found"

    def __init__(self, digests: Sequence[str]) -> None:
        self.digests = tuple(digests)
        few = ", ".join(digests[:3]) + (", …" if len(digests) > 3 else "")
        super().__init__(f"push these first, which the manifest names: {few}")


class BlobInUse(RegistryError):
    """A manifest of the repository needs the blob that is to be deleted."""

    kind: ClassVar[ErrorKind] = "conflict"


class PageInvalid(RegistryError):
    """The number of entries asked for is not a number."""

    kind: ClassVar[ErrorKind] = "invalid"


class RangeInvalid(RegistryError):
    """The range of bytes asked for lies outside the blob."""

    kind: ClassVar[ErrorKind] = "invalid"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"the range asked for lies outside the blob's {size_bytes} bytes")


class Unsupported(RegistryError):
    """The registry does not offer this."""

    kind: ClassVar[ErrorKind] = "invalid"

    def __init__(self, message: str, allow: Sequence[str]) -> None:
        """Say what is offered instead.

        Args:
            message: The sentence for the user.
            allow: The methods that the address knows.
        """
        self.allow = tuple(allow)
        super().__init__(message)


class GeneratedRepository(Unsupported):
    """Nobody pushes to, or deletes from, a repository whose images are made here."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        super().__init__(
            f"nothing can be pushed to '{repository}' or deleted from it: this registry makes its"
            " images itself, from the conda packages that their names list",
            ("GET", "HEAD"),
        )


class StillBuilding(RegistryError):
    """The image is being built and not ready yet."""

    kind: ClassVar[ErrorKind] = "busy"

    def __init__(self, progress: Progress, *, what: str = "the image") -> None:
        self.progress = progress
        super().__init__(
            f"{what} is still being built: {progress}; pull again in a moment,"
            " what is done so far is kept"
        )


class Unauthorized(RegistryError):
    """The request needs credentials, or better ones."""

    kind: ClassVar[ErrorKind] = "denied"

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

    kind: ClassVar[ErrorKind] = "denied"


class TooManyRequests(RegistryError):
    """Whoever sent the request has to wait before the next one."""

    kind: ClassVar[ErrorKind] = "busy"

    def __init__(self, message: str, seconds: int) -> None:
        """Make the error.

        Args:
            message: The sentence for the user.
            seconds: When it is worth trying again.
        """
        self.seconds = seconds
        super().__init__(message)


class TooManyLogins(TooManyRequests):
    """Too many logins failed, or are under way."""


class TooManyNewImages(TooManyRequests):
    """One client has asked for more work than it may."""

    def __init__(self, message: str, seconds: int, client: str) -> None:
        #: Who has.
        self.client = client
        super().__init__(message, seconds)


class PolicyInvalid(RegistryError):
    """The file with users, tokens and rights cannot be used."""


class ApiError(RegistryError):
    """What was asked of the API cannot be done."""

    kind: ClassVar[ErrorKind] = "invalid"


class BuildUnknown(ApiError):
    """There is no such build."""

    kind: ClassVar[ErrorKind] = "not_found"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"there is no build '{key[:100]}' here: a build is named by the 32 hex digits of its"
            " key, which POST /api/v1/builds answers and every image has as the annotation"
            " io.pullforge.build.key"
        )


class RequestUnknown(ApiError):
    """There is no such request, or it failed long ago and is forgotten."""

    kind: ClassVar[ErrorKind] = "not_found"


class TooManyBuilds(ApiError):
    """As many requests are under way as the administrator allows."""

    kind: ClassVar[ErrorKind] = "busy"


class BodyTooLarge(ApiError):
    """What was sent is larger than the administrator allows."""

    kind: ClassVar[ErrorKind] = "too_large"


class ParameterInvalid(ApiError):
    """A part of the address or a header of the request has a value that means nothing."""
