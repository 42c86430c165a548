"""The OpenAPI document of this face, for programs made from conda-store's own.

Source:
    OpenAPI Specification 3.1.1; conda-store-server 2025.2.2, ``openapi.json``.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter
from starlette.types import ASGIApp

from registry.web.asgi.responses import header, json_answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.operations import NUMBER, OPERATIONS, TEXT, Operation
from registry.web.conda_store.status import WIRE_VERSION

_REF: Final = "#/components/schemas/{model}"
_FIELD: Final = re.compile(r"\{(\w+)\}")


def openapi_document(prefix: str) -> dict[str, Any]:
    """Return the document that describes the face.

    Args:
        prefix: What comes before all addresses, e.g. ``/conda-store``.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "conda-store",
            "version": WIRE_VERSION,
            "description": "What clients of conda-store ask for, answered by pullforge.",
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{}, {"token": []}, {"password": []}, {"cookie": []}],
        "paths": {
            path: {
                method.lower(): _operation(path, method, operation)
                for method, operation in operations.items()
            }
            for path, operations in OPERATIONS.items()
        },
        "components": {
            "schemas": _shapes(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "conda-store-auth"},
            },
        },
    }


async def get_openapi(call: Call) -> ASGIApp:
    """Return the description of the face."""
    return json_answer(200, _cached(call.face.prefix), [header("cache-control", "no-cache")])


ROUTES: Final[Routes] = MappingProxyType({"/openapi.json": {"GET": get_openapi}})

_cached = cache(openapi_document)


def _operation(path: str, method: str, operation: Operation) -> dict[str, Any]:
    words = [word for word in re.split(r"\W+", path) if word]
    parameters = [
        _parameter(name, "path", NUMBER if name == "build_id" else TEXT)
        for name in _FIELD.findall(path)
    ]
    parameters += [_parameter(name, "query", schema) for name, schema in operation.query.items()]
    error = {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}}
    found: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "It is done, or this is it.", "content": _content(operation)},
            "default": {"description": "What went wrong, in a sentence.", "content": error},
        },
    }
    if operation.body is not None:
        schema = _schema(operation.body)
        found["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return found


def _parameter(name: str, place: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    is_required = place == "path" or bool(schema.get("x-required"))
    described = {key: value for key, value in schema.items() if not key.startswith("x-")}
    return {"name": name, "in": place, "required": is_required, "schema": described}


def _content(operation: Operation) -> dict[str, Any]:
    if operation.media_type:
        is_json = operation.media_type == "application/json"
        return {operation.media_type: {"schema": {} if is_json else dict(TEXT)}}
    fields: dict[str, Any] = {
        "status": {"type": "string", "enum": ["ok", "error"]},
        "data": {} if operation.answer is None else _schema(operation.answer),
        "message": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    }
    if operation.is_list:
        fields["data"] = {"type": "array", "items": fields["data"]}
        fields |= {name: dict(NUMBER) for name in ("page", "size", "count")}
    if operation.has_cursor:
        fields |= {"cursor": dict(fields["message"]), "count": dict(NUMBER)}
    schema = {"type": "object", "properties": fields, "required": ["status"]}
    return {"application/json": {"schema": schema}}


def _schema(shape: Any) -> dict[str, Any]:
    """Return what stands for a shape: its name if it has one."""
    schema = TypeAdapter(shape).json_schema(ref_template=_REF)
    if "properties" in schema:
        return {"$ref": _REF.format(model=shape.__name__)}
    return {key: value for key, value in schema.items() if key != "$defs"}


def _shapes() -> dict[str, Any]:
    """Return all shapes by their names."""
    named: Sequence[Any] = [
        one
        for operations in OPERATIONS.values()
        for operation in operations.values()
        for one in (operation.answer, operation.body)
        if one is not None
    ]
    _, found = TypeAdapter.json_schemas(
        [(str(number), "validation", TypeAdapter(one)) for number, one in enumerate(named)],
        ref_template=_REF,
    )
    error = {
        "type": "object",
        "properties": {"status": {"type": "string", "enum": ["error"]}, "message": dict(TEXT)},
        "required": ["status", "message"],
    }
    return {**found["$defs"], "Error": error}
