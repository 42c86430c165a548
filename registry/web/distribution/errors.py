"""Errors as answers to container engines: a status for each kind, and a table of exceptions.

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

from builder.errors import BuilderError, ErrorKind, InvalidDigest, PolicyRefused, WorkersBusy
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES
from registry import errors
from registry.policy.asking import told_with_asking
from registry.web.asgi.headers import RequestHeaders
from registry.web.asgi.responses import BytesResponse, RawHeaders, header, json_answer
from registry.web.statuses import answer_for

#: When a build or a channel is worth asking for again.
_RETRY_SECONDS: Final = 10

#: The major version of a containerd, also of the one that docker has inside from 29 on.
_CONTAINERD: Final = re.compile(r"(?:^|\s)containerd(?:-client)?/v?([0-9]{1,6})\b")

#: What an image cannot be pulled for; it is shown by docker, podman and skopeo.
_UNMADE: Final = (404, "MANIFEST_UNKNOWN")

#: The statuses whose text containerd hides, and after which it does not ask again by itself.
_HIDDEN: Final = frozenset({400, 404, 503})

#: Status and code (distribution-spec, "Error Codes") of errors of the registry, by what they mean.
_KINDS: Final[dict[ErrorKind, tuple[int, str]]] = {
    "invalid": (400, "UNSUPPORTED"),
    "failed": _UNMADE,
    "not_found": _UNMADE,
    "denied": (403, "DENIED"),
    "conflict": (409, "DENIED"),
    "too_large": (413, "SIZE_INVALID"),
    "busy": (429, "TOOMANYREQUESTS"),
    # docker asks six times for a blob after this; the code is not in the specification.
    "unavailable": (503, "UNAVAILABLE"),
    "internal": (500, "UNKNOWN"),
}

#: Of those that the specification has codes for, or engines expect to be told otherwise.
_EXCEPTIONS: Final[dict[type[Exception], tuple[int, str]]] = {
    errors.EndpointUnknown: (404, "UNSUPPORTED"),
    errors.NameInvalid: (400, "NAME_INVALID"),
    errors.NameUnknown: (404, "NAME_UNKNOWN"),
    errors.BlobUnknown: (404, "BLOB_UNKNOWN"),
    # Not 400: the conformance suite asks for a tag that cannot be and expects to find nothing.
    errors.TagInvalid: _UNMADE,
    errors.UploadUnknown: (404, "BLOB_UPLOAD_UNKNOWN"),
    errors.UploadInvalid: (400, "BLOB_UPLOAD_INVALID"),
    errors.ChunkOutOfOrder: (416, "BLOB_UPLOAD_INVALID"),
    errors.BodyTooSlow: (408, "BLOB_UPLOAD_INVALID"),
    errors.DigestMismatch: (400, "DIGEST_INVALID"),
    errors.ManifestInvalid: (400, "MANIFEST_INVALID"),
    errors.PartsUnknown: (404, "MANIFEST_BLOB_UNKNOWN"),
    errors.PageInvalid: (400, "PAGINATION_NUMBER_INVALID"),
    errors.RangeInvalid: (416, "RANGE_INVALID"),
    errors.Unsupported: (405, "UNSUPPORTED"),
    errors.Unauthorized: (401, "UNAUTHORIZED"),
    # Whatever an image cannot be made for, engines show the sentence of a 404 alone.
    BuilderError: _UNMADE,
    InvalidDigest: (400, "DIGEST_INVALID"),
    WorkersBusy: _KINDS["busy"],
}


def error_answer(
    error: BuilderError | errors.RegistryError, *, method: str, headers: RequestHeaders
) -> BytesResponse:
    """Return the answer to the request for an error of the table, or a subclass of one."""
    status, code = status_and_code(type(error))
    lines: RawHeaders = []
    is_unmade = status == _UNMADE[0] and isinstance(error, BuilderError)
    containerd = _CONTAINERD.search(headers.get("user-agent", ""))
    shows_403 = containerd is not None and int(containerd[1]) >= 2
    if shows_403 and (is_unmade or (status in _HIDDEN and _is_resolving(headers))):
        status = 403
    elif is_unmade and containerd is not None and not shows_403:
        status = 405 if method == "HEAD" else 400
    elif _is_being_made(error) and method == "HEAD":
        status = 405  # which makes containerd go on with GET; docker does so anyway
    if isinstance(error, errors.Unsupported):
        lines.append(header("allow", ", ".join(error.allow)))
    elif status == 405:
        lines.append(header("allow", "GET"))
    if isinstance(error, errors.Unauthorized) and error.challenge:
        lines.append(header("www-authenticate", error.challenge))
    if isinstance(error, errors.TooManyRequests):
        lines.append(header("retry-after", str(error.seconds)))
    elif error.kind in {"busy", "unavailable"}:
        lines.append(header("retry-after", str(_RETRY_SECONDS)))
    if isinstance(error, errors.RangeInvalid):
        lines.append(header("content-range", f"bytes */{error.size_bytes}"))
    if isinstance(error, errors.ChunkOutOfOrder):
        lines.append(header("range", f"0-{max(0, error.size_bytes - 1)}"))
    message = error.message
    if isinstance(error, PolicyRefused):
        message = told_with_asking(message, error.refusal)
    return errors_body(status, code, message, lines)


def _is_being_made(error: Exception) -> bool:
    """Tell whether the work goes on, or will once others are done."""
    return isinstance(error, errors.StillBuilding | errors.TooManyNewImages | WorkersBusy)


def _is_resolving(headers: RequestHeaders) -> bool:
    """Tell whether containerd asks what a reference stands for."""
    types = {word.strip() for word in headers.get("accept", "").split(",")}
    return types >= MANIFEST_TYPES | INDEX_TYPES


def status_and_code(error: type[BuilderError | errors.RegistryError]) -> tuple[int, str]:
    """Return what an error class is for clients: its exception or its base's, else its kind's."""
    return answer_for(error, _EXCEPTIONS, _KINDS)


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
