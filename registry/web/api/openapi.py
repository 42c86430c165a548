"""The OpenAPI document, made from the table of addresses and the models that validate.

Source:
    OpenAPI Specification 3.1.1.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, NotRequired

from pydantic import Field, TypeAdapter
from pydantic.json_schema import models_json_schema
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import (
    BuildEndpoint,
    Endpoint,
    NeedLogin,
    NeedNothing,
    NeedRole,
    NeedServiceRole,
)
from registry.web.api.errors import RefusalDocument
from registry.web.api.models import Model, NoBody, NoQuery

_REF: Final = "#/components/schemas/{model}"
_FIELD: Final = re.compile(r"\{([a-z0-9]+)\}")

#: What each field of an address is.
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "key": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "of a build"},
    "other": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "of another build"},
    "namespace": {"type": "string", "maxLength": 100, "description": "its slug"},
    "environment": {"type": "string", "maxLength": 100, "description": "its slug"},
    "number": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "a": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "description": "a version"},
    "b": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "description": "a version"},
    "id": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "policy": {"type": "string", "maxLength": 64, "description": "its name"},
    "user": {"type": "string", "maxLength": 200, "description": "a name that logs in"},
    "group": {"type": "string", "maxLength": 200, "description": "its name"},
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "of the archive"},
    "package": {"type": "string", "maxLength": 200, "description": "the name of a conda package"},
    "delivery": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "file": {"type": "string", "maxLength": 1000, "description": "a path relative to the source"},
}
_REQUEST_ID: Final = {"type": "string", "pattern": "^[0-9a-f]{32}$"}

_STATUSES: Final = {
    200: "It is done, or this is it.",
    201: "It has been made.",
    202: "It is being made: `Location` tells how far it is.",
    204: "It is done.",
    304: "It is as you have it.",
    307: "It is being made: ask again there.",
    400: "What was sent means nothing.",
    401: "Log in.",
    403: "You may not.",
    404: "There is no such thing, or you may not see it.",
    405: "The address does not know this method.",
    408: "The body came too slowly.",
    409: "Something else is in its way.",
    412: "It was changed since you read it.",
    413: "The body is too large.",
    422: "It was understood, and cannot be done.",
    429: "Others are first: come again after `Retry-After`.",
    503: "What it needs does not answer: come again.",
}

_WHY: Final = (
    "A file as `POST /api/v1/builds` takes it: an `environment.yml`, a lock, a list of packages,"
    " or a request in JSON."
)


class ErrorPart(TypedDict):
    """What went wrong."""

    code: str
    message: str
    field: str | None
    line: int | None
    suggestions: NotRequired[
        Annotated[list[str], Field(description="names that may be meant, the likeliest first")]
    ]
    refusal: NotRequired[RefusalDocument]


class Error(TypedDict):
    """What every error is."""

    error: ErrorPart


def openapi_document(
    addresses: Mapping[str, Mapping[str, Endpoint | BuildEndpoint]],
) -> dict[str, Any]:
    """Return the document that describes all addresses."""
    schemas = _schemas(addresses)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pullforge",
            "version": "1",
            "description": "Images from conda packages: builds, and named environments.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"password": []}, {"token": []}],
        "paths": {
            PREFIX + path: {
                method.lower(): _operation(method, path, endpoint)
                for method, endpoint in methods.items()
            }
            for path, methods in addresses.items()
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "a name, with a password or a token",
                },
                "token": {"type": "http", "scheme": "bearer", "description": "a token"},
            },
        },
    }


def _schemas(addresses: Mapping[str, Mapping[str, Endpoint | BuildEndpoint]]) -> dict[str, Any]:
    """Return the schema of all that is sent or answered, by name."""
    endpoints = [
        endpoint
        for methods in addresses.values()
        for endpoint in methods.values()
        if isinstance(endpoint, Endpoint)
    ]
    bodies = {one.body.__name__: one.body for one in endpoints if one.body is not NoBody}
    _, sent = models_json_schema(
        [(model, "validation") for _, model in sorted(bodies.items())], ref_template=_REF
    )
    named = [one for methods in addresses.values() for one in methods.values()]
    answers = {_name(one.answer): one.answer for one in named if _has_name(one.answer)}
    _, answered = TypeAdapter.json_schemas(
        [
            (name, "serialization", TypeAdapter(answer))
            for name, answer in sorted({**answers, "Error": Error}.items())
        ],
        ref_template=_REF,
    )
    return {**sent.get("$defs", {}), **answered.get("$defs", {})}


def _operation(method: str, path: str, endpoint: Endpoint | BuildEndpoint) -> dict[str, Any]:
    handler = endpoint.handler
    form = handler.keywords["form"] if isinstance(handler, partial) else ""
    function = _function(endpoint)
    summary = " ".join((function.__doc__ or "").split("\n\n")[0].split())
    name = f"{function.__name__}_{re.sub('[^a-z]', '_', form)}" if form else function.__name__
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "description": f"For {_need(endpoint)}.",
        "tags": [path.split("/")[1]],
        "parameters": [*_path_parameters(path), *_parameters(method, endpoint)],
        "responses": _responses(method, endpoint),
    }
    body = _request_body(endpoint)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _function(endpoint: Endpoint | BuildEndpoint) -> Any:
    """Return what answers, without the form that it is given."""
    handler = endpoint.handler
    return handler.func if isinstance(handler, partial) else handler


def _need(endpoint: Endpoint | BuildEndpoint) -> str:
    match endpoint.need:
        case NeedRole() | NeedServiceRole() | NeedLogin() | NeedNothing():
            return str(endpoint.need)
        case verb:
            return f"those with the right `{verb}`"


def _path_parameters(path: str) -> list[dict[str, Any]]:
    found = []
    for name in _FIELD.findall(path):
        is_request = name == "id" and path.startswith("/requests/")
        schema = dict(_REQUEST_ID if is_request else _FIELDS[name])
        description = schema.pop("description", "")
        found.append(
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": schema,
                **({"description": description} if description else {}),
            }
        )
    return found


def _parameters(method: str, endpoint: Endpoint | BuildEndpoint) -> list[dict[str, Any]]:
    if isinstance(endpoint, BuildEndpoint):
        found = [
            _parameter(name, "query", {"type": "string"}, text)
            for name, text in endpoint.query.items()
        ]
        return [*found, *_of_model(endpoint.model), *_waiting(endpoint)]
    found = _of_model(endpoint.query)
    if method == "POST":
        found.append(
            _parameter(
                "Idempotency-Key",
                "header",
                {"type": "string", "pattern": "^[!#-~]{1,200}$"},
                "the request is carried out once, however often it is sent with this",
            )
        )
    if endpoint.is_conditional:
        found.append(
            _parameter(
                "If-Match",
                "header",
                {"type": "string", "pattern": r'^(\*|"[0-9]{1,15}")$'},
                "the `ETag` that was read: `412` if somebody has changed it since",
            )
        )
    return [*found, *_waiting(endpoint)]


def _of_model(query: type[Model]) -> list[dict[str, Any]]:
    """Return the parameters of a query."""
    if query is NoQuery:
        return []
    found = []
    for name, part in query.model_json_schema(ref_template=_REF)["properties"].items():
        text = part.pop("description", "")
        part.pop("title", None)
        # There is no null in an address: what is null is left out.
        kinds = [one for one in part.get("anyOf", [part]) if one.get("type") != "null"]
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        found.append(_parameter(name, "query", schema, text))
    return found


def _waiting(endpoint: Endpoint | BuildEndpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": "^wait=[0-9]{1,6}$"}
    if isinstance(endpoint, Endpoint) and endpoint.may_wait:
        text = "`wait=25` with `If-None-Match` waits for something else, at most 25 s"
        known = _parameter("If-None-Match", "header", {"type": "string"}, "an `ETag` that you know")
        return [_parameter("Prefer", "header", schema, text), known]
    if 202 not in endpoint.statuses:
        return []
    return [_parameter("Prefer", "header", schema, "`wait=25` waits for the end, at most 25 s")]


def _parameter(name: str, place: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    described = {"description": text} if text else {}
    return {"name": name, "in": place, "required": False, "schema": schema, **described}


def _request_body(endpoint: Endpoint | BuildEndpoint) -> dict[str, Any] | None:
    file: dict[str, Any] = {"application/octet-stream": {"schema": {}}}
    if endpoint.body_kind == "none":
        return None
    if isinstance(endpoint, BuildEndpoint) or endpoint.body_kind == "file":
        about = endpoint.about_file if isinstance(endpoint, Endpoint) else ""
        return {"required": True, "description": about or _WHY, "content": file}
    json: dict[str, Any] = {
        "application/json": {"schema": {"$ref": _REF.format(model=endpoint.body.__name__)}}
    }
    if endpoint.body_kind == "json":
        return {"required": True, "content": json}
    return {"required": True, "description": f"With `?name=`: {_WHY}", "content": json | file}


def _responses(method: str, endpoint: Endpoint | BuildEndpoint) -> dict[str, Any]:
    found = {
        str(status): {"description": _STATUSES[status], **_content(status, endpoint)}
        for status in endpoint.statuses
    }
    error = {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}}
    for status in _error_statuses(method, endpoint):
        found[str(status)] = {"description": _STATUSES[status], "content": error}
    found["default"] = {"description": "An error.", "content": error}
    return found


def _content(status: int, endpoint: Endpoint | BuildEndpoint) -> dict[str, Any]:
    if status in {204, 304}:
        return {}
    if isinstance(endpoint, BuildEndpoint):
        named = endpoint.answer
        described = {"$ref": _REF.format(model=_name(named))} if _has_name(named) else {}
        return {"content": {endpoint.media_type: {"schema": described}}}
    if endpoint.answer is bytes:
        media_type = endpoint.media_type or "application/octet-stream"
        return {"content": {media_type: {"schema": {}}}}
    if endpoint.answer is str:
        media_type = endpoint.media_type or "text/plain"
        return {"content": {media_type: {"schema": {"type": "string"}}}}
    schema: dict[str, Any] = {"type": "object"}
    if _has_name(endpoint.answer):
        schema = {"$ref": _REF.format(model=_name(endpoint.answer))}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if endpoint.is_stream:
        content[endpoint.stream_type] = {"schema": {"type": "string"}}
    return {"content": content}


def _error_statuses(method: str, endpoint: Endpoint | BuildEndpoint) -> list[int]:
    found = {400, 401, 403, 404, 429, 503}
    if isinstance(endpoint, BuildEndpoint):
        return sorted(found | {422})
    if endpoint.body_kind != "none":
        found |= {408, 413, 422}
    if method in {"POST", "PATCH", "PUT", "DELETE"}:
        found |= {409, 422}
    if endpoint.answer is bytes:
        found |= {409, 422}
    if "diff" in _function(endpoint).__name__:
        found |= {409}
    if endpoint.is_conditional:
        found |= {412}
    return sorted(found)


def _has_name(answer: Any) -> bool:
    return answer not in {None, str, dict, bytes}


def _name(answer: Any) -> str:
    return str(answer.__name__)
