"""How errors are told to clients of the API: one table for every error there is.

The body is ``{"error": {"code", "message", "field", "line"}}``; the code is the name of the error's
class, so that ``UnknownPackage`` is ``UNKNOWN_PACKAGE``. What the sender can mend is 4xx; 503 is
for what may pass by itself.
"""

import re
from typing import Any, Final

from builder import errors as builder_errors
from builder.errors import BuilderError
from registry import errors
from registry.requests.status import Failure
from registry.web.asgi.responses import BytesResponse, RawHeaders, header, json_answer

#: When it is worth asking again.
_RETRY_SECONDS: Final = 10

#: Errors of the registry after which the same request may succeed.
_PASSING: Final = (errors.TooManyBuilds, errors.StillBuilding)

#: The status of every error.
STATUSES: Final[dict[type[Exception], int]] = {
    errors.RegistryError: 500,
    errors.EndpointUnknown: 404,
    errors.NameInvalid: 400,
    errors.NameUnknown: 404,
    errors.ManifestUnknown: 404,
    errors.BlobUnknown: 404,
    errors.BlobUnavailable: 503,
    errors.TagInvalid: 400,
    errors.ContentUnavailable: 503,
    errors.UploadUnknown: 404,
    errors.UploadInvalid: 400,
    errors.ChunkOutOfOrder: 416,
    errors.BodyTooSlow: 408,
    errors.DigestMismatch: 400,
    errors.TooLarge: 413,
    errors.ManifestInvalid: 400,
    errors.PartsUnknown: 404,
    errors.BlobInUse: 409,
    errors.PageInvalid: 400,
    errors.RangeInvalid: 416,
    errors.ReferrersUnavailable: 503,
    errors.Unsupported: 405,
    errors.GeneratedRepository: 405,
    errors.StillBuilding: 503,
    errors.Unauthorized: 401,
    errors.Denied: 403,
    errors.TooManyRequests: 429,
    errors.TooManyLogins: 429,
    errors.TooManyNewImages: 429,
    # Not while requests are answered: a server does not start with it.
    errors.PolicyInvalid: 500,
    errors.ApiError: 400,
    errors.BuildUnknown: 404,
    errors.RequestUnknown: 404,
    errors.TooManyBuilds: 429,
    errors.BodyTooLarge: 413,
    errors.ParameterInvalid: 400,
    builder_errors.BuilderError: 422,
    builder_errors.InvalidDigest: 400,
    builder_errors.InputError: 400,
    builder_errors.ImageNameError: 400,
    builder_errors.MalformedName: 400,
    builder_errors.MalformedTag: 400,
    builder_errors.UnsupportedItem: 422,
    builder_errors.ChannelNotAllowed: 422,
    builder_errors.SolveError: 422,
    builder_errors.UnknownPackage: 422,
    builder_errors.Unsatisfiable: 422,
    builder_errors.SolveTimeout: 503,
    builder_errors.ChannelUnavailable: 503,
    builder_errors.NoChannel: 422,
    builder_errors.NoWheel: 422,
    builder_errors.IndexUnavailable: 503,
    builder_errors.LockError: 422,
    builder_errors.PackageError: 422,
    builder_errors.PackageUnavailable: 503,
    builder_errors.CorruptPackage: 422,
    builder_errors.UnsafePackage: 422,
    builder_errors.UnsupportedPackage: 422,
    builder_errors.BytecodeError: 422,
    builder_errors.SandboxUnavailable: 503,
    builder_errors.WorkerLost: 503,
    builder_errors.WorkersBusy: 429,
    builder_errors.WorkersUnavailable: 503,
    builder_errors.StoreUnavailable: 503,
    builder_errors.BaseImageError: 422,
    builder_errors.BaseImageUnavailable: 503,
}
_BY_NAME: Final = {kind.__name__: kind for kind in STATUSES}


def error_answer(error: BuilderError | errors.RegistryError) -> BytesResponse:
    """Return what ``error`` is for the client: any error of the table, or a subclass of one."""
    if isinstance(error, BuilderError):
        return failure_answer(Failure.of(error))
    lines: RawHeaders = []
    if isinstance(error, errors.Unsupported):
        lines.append(header("allow", ", ".join(error.allow)))
    if isinstance(error, errors.Unauthorized) and error.challenge:
        lines.append(header("www-authenticate", error.challenge))
    if isinstance(error, errors.RangeInvalid):
        lines.append(header("content-range", f"bytes */{error.size_bytes}"))
    if isinstance(error, errors.TooManyRequests):
        lines.append(header("retry-after", str(error.seconds)))
    kind = next(base for base in type(error).__mro__ if base in STATUSES)
    is_passing = isinstance(error, _PASSING)
    return failure_answer(Failure(kind.__name__, error.message, transient=is_passing), lines)


def failure_answer(failure: Failure, lines: RawHeaders | None = None) -> BytesResponse:
    """Return what the failure of a request is for the client."""
    # Errors pass: no cache between here and the client may keep them.
    headers = [*(lines or []), header("cache-control", "no-store")]
    if failure.transient:
        headers.append(header("retry-after", str(_RETRY_SECONDS)))
    return json_answer(status_of(failure), {"error": error_document(failure)}, headers)


def error_document(failure: Failure) -> dict[str, Any]:
    """Return an error as the API writes it."""
    return {
        "code": _code(failure.kind),
        "message": failure.message,
        "field": failure.field,
        "line": failure.line,
    }


def status_of(failure: Failure) -> int:
    """Return the HTTP status of a failure; 500 for what nobody foresaw."""
    kind = _BY_NAME.get(failure.kind)
    return STATUSES[kind] if kind is not None else 500


def _code(name: str) -> str:
    """Return the code for an error's class.

    >>> _code("UnknownPackage"), _code("")
    ('UNKNOWN_PACKAGE', 'UNKNOWN')
    """
    return "_".join(re.findall("[A-Z][a-z]*", name)).upper() or "UNKNOWN"


#: What is answered for an error that nobody foresaw; the log has it.
FAILURE: Final = failure_answer(Failure("", "the server failed to answer; its log says why"))
