"""Errors as answers of the API: a status for each kind, and a table of exceptions.

The body is ``{"error": {"code", "message", "field", "line"}}``, with ``"refusal"`` where a policy
refuses it; the code is the name of the error's class, so that ``UnknownPackage`` is
``UNKNOWN_PACKAGE``. What the sender can mend is 4xx; 503 is for what may pass by itself.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.errors import BuilderError, Refusal
from registry import errors
from registry.images.failure import ERROR_CODES, Failure
from registry.policy.asking import told_with_asking
from registry.web.asgi.responses import BytesResponse, RawHeaders, header, json_answer
from registry.web.statuses import STATUSES, answer_for

#: When it is worth asking again.
_RETRY: Final = header("retry-after", "10")

_EXCEPTIONS: Final[dict[type[Exception], int]] = {
    errors.ChunkOutOfOrder: 416,
    errors.BodyTooSlow: 408,
    errors.RangeInvalid: 416,
    errors.Unsupported: 405,
    errors.StillBuilding: 503,
    errors.Unauthorized: 401,
    # RFC 9110, 13.1.1: it is If-Match that does not hold.
    errors.RevisionConflict: 412,
}


class RefusalDocument(TypedDict):
    """What a policy refused: by this, a waiver is asked for."""

    policy: str
    kind: Annotated[str, Field(description="what the rule is about, as tables of policies say")]
    contact: Annotated[str, Field(description="whom the policy names")]
    manager: Literal["conda", "pypi"]
    packages: Annotated[list[str], Field(description="what would have to be let pass, exactly")]
    spec: Annotated[str | None, Field(description="the first; null: no waiver can be given")]


def status_of(error: type[BuilderError | errors.RegistryError]) -> int:
    """Return the HTTP status of an error class."""
    return answer_for(error, _EXCEPTIONS, STATUSES)


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
    elif error.kind in {"busy", "unavailable"}:
        lines.append(_RETRY)
    field, line = None, None
    if isinstance(error, errors.ParameterInvalid):
        field = error.field
    elif isinstance(error, errors.PolicyTextInvalid):
        field, line = error.field or None, error.line
    failure = Failure(type(error).__name__, error.message, field=field, line=line)
    return _answer(status_of(type(error)), failure, lines)


def failure_answer(failure: Failure, lines: RawHeaders | None = None) -> BytesResponse:
    """Return what the failure of a request is for the client."""
    retry = [_RETRY] if failure.transient else []
    return _answer(failure_status(failure), failure, [*(lines or []), *retry])


def failure_status(failure: Failure) -> int:
    """Return the HTTP status of a failure; 500 for what nobody foresaw."""
    if failure.kind == errors.BuildBlocked.__name__:
        return status_of(errors.BuildBlocked)
    error = ERROR_CODES.get(failure.kind)
    return STATUSES["internal"] if error is None else status_of(error)


def _answer(status: int, failure: Failure, lines: RawHeaders) -> BytesResponse:
    # Errors pass: no cache between here and the client may keep them.
    headers = [*lines, header("cache-control", "no-store")]
    return json_answer(status, {"error": error_document(failure)}, headers)


def error_document(failure: Failure) -> dict[str, Any]:
    """Return an error as the API writes it; what a policy refused, with how to ask for a waiver."""
    document: dict[str, Any] = {
        "code": _code(failure.kind),
        "message": told_with_asking(failure.message, failure.refusal),
        "field": failure.field,
        "line": failure.line,
    }
    if failure.refusal is not None:
        document["refusal"] = refusal_document(failure.refusal)
    return document


def refusal_document(refusal: Refusal) -> RefusalDocument:
    """Return what a policy refused, for programs."""
    return {
        "policy": refusal.policy,
        "kind": refusal.kind,
        "contact": refusal.contact,
        "manager": refusal.manager,
        "packages": list(refusal.packages),
        "spec": refusal.packages[0] if refusal.packages else None,
    }


def _code(name: str) -> str:
    """Return the code for an error's class.

    >>> _code("UnknownPackage"), _code("")
    ('UNKNOWN_PACKAGE', 'UNKNOWN')
    """
    return "_".join(re.findall("[A-Z][a-z]*", name)).upper() or "UNKNOWN"


#: What is answered for an error that nobody foresaw; the log has it.
FAILURE: Final = failure_answer(Failure("", "the server failed to answer; its log says why"))
