"""How errors are told to container engines: one table for every error there is.

Engines show the ``message`` of the first error, and only some of them for some statuses
(docs/clients.md, section 3):

* 404 with MANIFEST_UNKNOWN is shown by docker, podman and skopeo, which ask only once.
* containerd hides the text of any 404. From 2.0 on it shows the text of a 403, if HEAD and GET both
  answer that (core/remotes/docker/resolver.go, ``withGETErrorBody``), and asks the next mirror
  after either: it gets 403 for every reference that is refused. Before it pushes it asks too, and
  goes on after a 404 alone; it accepts one type of manifest then, and all types when it resolves
  a reference. Older ones show no text, but the status of a GET, which they make after a HEAD
  answered 405; they get those for images that cannot be made.
* Nobody shows the text of a 5xx.
"""

import re
from typing import Final

from builder import errors as builder_errors
from builder.errors import BuilderError, WorkersBusy
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES
from registry import errors
from registry.web.asgi.headers import RequestHeaders
from registry.web.asgi.responses import BytesResponse, RawHeaders, header, json_answer

#: Errors of the registry after which the same request may succeed.
_PASSING: Final = (
    errors.StillBuilding,
    errors.BlobUnavailable,
    errors.ContentUnavailable,
    errors.ReferrersUnavailable,
)

#: Errors that say: the work goes on, or will once others are done.
_BUSY: Final = (errors.StillBuilding, errors.TooManyNewImages, WorkersBusy)

#: When a build or a channel is worth asking for again.
_RETRY_SECONDS: Final = 10

#: The major version of a containerd, also of the one that docker has inside from 29 on.
_CONTAINERD: Final = re.compile(r"(?:^|\s)containerd(?:-client)?/v?([0-9]{1,6})\b")

_UNMADE: Final = (404, "MANIFEST_UNKNOWN")

#: The statuses whose text containerd hides, and after which it does not ask again by itself.
_HIDDEN: Final = frozenset({400, 404, 503})

#: Status and code (distribution-spec, "Error Codes") of every error.
ERRORS: Final[dict[type[Exception], tuple[int, str]]] = {
    errors.RegistryError: (500, "UNKNOWN"),
    errors.EndpointUnknown: (404, "UNSUPPORTED"),
    errors.NameInvalid: (400, "NAME_INVALID"),
    errors.NameUnknown: (404, "NAME_UNKNOWN"),
    errors.ManifestUnknown: (404, "MANIFEST_UNKNOWN"),
    errors.BlobUnknown: (404, "BLOB_UNKNOWN"),
    # docker asks six times for a blob after this; the code is not in the specification.
    errors.BlobUnavailable: (503, "UNAVAILABLE"),
    # Not 404: clients would take that for a registry without the referrers API.
    errors.ReferrersUnavailable: (503, "UNAVAILABLE"),
    # Not 400: the conformance suite asks for a tag that cannot be and expects to find nothing.
    errors.TagInvalid: (404, "MANIFEST_UNKNOWN"),
    errors.ContentUnavailable: (503, "UNAVAILABLE"),
    errors.UploadUnknown: (404, "BLOB_UPLOAD_UNKNOWN"),
    errors.UploadInvalid: (400, "BLOB_UPLOAD_INVALID"),
    errors.ChunkOutOfOrder: (416, "BLOB_UPLOAD_INVALID"),
    errors.BodyTooSlow: (408, "BLOB_UPLOAD_INVALID"),
    errors.DigestMismatch: (400, "DIGEST_INVALID"),
    errors.TooLarge: (413, "SIZE_INVALID"),
    errors.ManifestInvalid: (400, "MANIFEST_INVALID"),
    errors.PartsUnknown: (404, "MANIFEST_BLOB_UNKNOWN"),
    errors.BlobInUse: (409, "DENIED"),
    errors.PageInvalid: (400, "PAGINATION_NUMBER_INVALID"),
    errors.RangeInvalid: (416, "RANGE_INVALID"),
    errors.Unsupported: (405, "UNSUPPORTED"),
    errors.GeneratedRepository: (405, "UNSUPPORTED"),
    errors.StillBuilding: (429, "TOOMANYREQUESTS"),
    errors.Unauthorized: (401, "UNAUTHORIZED"),
    errors.Denied: (403, "DENIED"),
    errors.TooManyRequests: (429, "TOOMANYREQUESTS"),
    errors.TooManyLogins: (429, "TOOMANYREQUESTS"),
    errors.TooManyNewImages: (429, "TOOMANYREQUESTS"),
    # Not while requests are answered: a server does not start with it, and keeps the last good one.
    errors.PolicyInvalid: (500, "UNKNOWN"),
    builder_errors.BuilderError: _UNMADE,
    builder_errors.InvalidDigest: (400, "DIGEST_INVALID"),
    builder_errors.ImageNameError: _UNMADE,
    builder_errors.MalformedName: _UNMADE,
    builder_errors.MalformedTag: _UNMADE,
    builder_errors.UnsupportedItem: _UNMADE,
    builder_errors.ChannelNotAllowed: _UNMADE,
    builder_errors.SolveError: _UNMADE,
    builder_errors.UnknownPackage: _UNMADE,
    builder_errors.Unsatisfiable: _UNMADE,
    builder_errors.NoWheel: _UNMADE,
    builder_errors.SolveTimeout: _UNMADE,
    builder_errors.ChannelUnavailable: _UNMADE,
    builder_errors.NoChannel: _UNMADE,
    builder_errors.IndexUnavailable: _UNMADE,
    builder_errors.LockError: _UNMADE,
    builder_errors.InputError: _UNMADE,
    builder_errors.PackageError: _UNMADE,
    builder_errors.PackageUnavailable: _UNMADE,
    builder_errors.CorruptPackage: _UNMADE,
    builder_errors.UnsafePackage: _UNMADE,
    builder_errors.UnsupportedPackage: _UNMADE,
    builder_errors.BytecodeError: _UNMADE,
    builder_errors.SandboxUnavailable: _UNMADE,
    builder_errors.WorkerLost: _UNMADE,
    builder_errors.WorkersBusy: (429, "TOOMANYREQUESTS"),
    builder_errors.WorkersUnavailable: _UNMADE,
    builder_errors.StoreUnavailable: _UNMADE,
    builder_errors.BaseImageError: _UNMADE,
    builder_errors.BaseImageUnavailable: _UNMADE,
}


def error_answer(
    error: BuilderError | errors.RegistryError, *, method: str, headers: RequestHeaders
) -> BytesResponse:
    """Return what ``error`` is for the client that sent ``headers``.

    Args:
        error: Any error of the table, or a subclass of one.
        method: Of the request.
        headers: Of the request.
    """
    status, code = status_and_code(type(error))
    lines: RawHeaders = []
    is_unmade = status == _UNMADE[0] and isinstance(error, BuilderError)
    containerd = _CONTAINERD.search(headers.get("user-agent", ""))
    shows_403 = containerd is not None and int(containerd[1]) >= 2
    if shows_403 and (is_unmade or (status in _HIDDEN and _is_resolving(headers))):
        status = 403
    elif is_unmade and containerd is not None and not shows_403:
        status = 405 if method == "HEAD" else 400
    elif isinstance(error, _BUSY) and method == "HEAD":
        status = 405  # which makes containerd go on with GET; docker does so anyway
    if isinstance(error, errors.Unsupported):
        lines.append(header("allow", ", ".join(error.allow)))
    elif status == 405:
        lines.append(header("allow", "GET"))
    if isinstance(error, errors.Unauthorized) and error.challenge:
        lines.append(header("www-authenticate", error.challenge))
    if isinstance(error, errors.TooManyRequests):
        lines.append(header("retry-after", str(error.seconds)))
    if isinstance(error, _PASSING) or _is_transient(error):
        lines.append(header("retry-after", str(_RETRY_SECONDS)))
    if isinstance(error, errors.RangeInvalid):
        lines.append(header("content-range", f"bytes */{error.size_bytes}"))
    if isinstance(error, errors.ChunkOutOfOrder):
        lines.append(header("range", f"0-{max(0, error.size_bytes - 1)}"))
    return errors_body(status, code, error.message, lines)


def _is_resolving(headers: RequestHeaders) -> bool:
    """Tell whether containerd asks what a reference stands for."""
    types = {word.strip() for word in headers.get("accept", "").split(",")}
    return types >= MANIFEST_TYPES | INDEX_TYPES


def status_and_code(kind: type[BaseException]) -> tuple[int, str]:
    """Return the table's entry for an error class: its own, else that of the nearest base."""
    return next(ERRORS[base] for base in kind.__mro__ if base in ERRORS)


def errors_body(
    status: int, code: str, message: str, headers: RawHeaders | None = None
) -> BytesResponse:
    """Return an answer with one error, in the form of the specification."""
    error = {"code": code, "message": message, "detail": None}
    # Errors pass: no cache between here and the client may keep them.
    lines = [*(headers or []), (b"cache-control", b"no-store")]
    return json_answer(status, {"errors": [error]}, lines)


#: What is answered for an error that nobody foresaw; the log has it.
FAILURE: Final = errors_body(500, "UNKNOWN", "the server failed to answer; its log says why")


def _is_transient(error: Exception) -> bool:
    return isinstance(error, BuilderError) and error.transient
