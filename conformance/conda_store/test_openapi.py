"""What conda-store's own server says of itself is all here, but for what is left out on purpose."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import pytest

from conformance.conda_store.real_server import RealServer
from registry.web.conda_store.openapi import openapi_document

Document = Mapping[str, Any]

#: Its routes that are not ours, and why.
NOT_HERE: Final = {
    r"/admin(/.*)?": "its old pages of administrators: the service has pages of its own",
    r"|/ui.*": "the interface: files, and only where a directory with them is named",
}
#: Parts of what is asked or told that are not ours, by their paths, and why.
_SAID_BY_THE_ADDRESS: Final = "what is meant is said by the address: one function is behind three"
LEFT_OUT: Final = {
    f"{method} /api/v1/setting{rest}": _SAID_BY_THE_ADDRESS
    for method in ("get", "put")
    for rest in (
        "/{namespace} query environment_name",
        " query namespace",
        " query environment_name",
    )
}
#: Names of a field of an address that mean the same.
_SAME: Final = {"environment_name": "environment", "name": "environment"}


@pytest.fixture(scope="module")
def theirs(empty_real_server: RealServer) -> Document:
    """Return its description."""
    answer = httpx.get(f"{empty_real_server.url}/openapi.json", timeout=60)
    found: Document = answer.raise_for_status().json()
    return found


OURS: Final[Document] = openapi_document("/conda-store")


def test_each_of_its_routes_is_here_or_left_out_on_purpose(theirs: Document) -> None:
    """Those that are not here are its pages, and what others could read without rights."""
    ours = {(path, method) for path, methods in OURS["paths"].items() for method in methods}
    missing = {
        f"{method} {path}"
        for path, method, _ in operations(theirs)
        if (path, method) not in ours
        and not any(re.fullmatch(pattern, path) for pattern in NOT_HERE)
    }
    assert not missing


def test_each_parameter_and_each_field_is_here_or_left_out_on_purpose(theirs: Document) -> None:
    """With the kind of value that it has: what may be null there may be so here."""
    wrong = []
    compared = 0
    for path, method, operation in operations(theirs):
        ours = OURS["paths"].get(path, {}).get(method)
        if ours is None:
            continue
        mine = dict(parts(OURS, ours))
        for where, kinds in parts(theirs, operation):
            compared += 1
            name = f"{method} {path} {where}"
            if name in LEFT_OUT:
                continue
            if not kinds <= mine.get(where, frozenset()) | {"null"}:
                wrong.append(f"{name}: {sorted(kinds)}, not {sorted(mine.get(where, ()))}")
    assert not wrong, "\n".join(wrong)
    assert compared > 400


def test_what_is_left_out_is_something_of_its(theirs: Document) -> None:
    """Otherwise the list of differences grows old."""
    known = {
        f"{method} {path} {where}"
        for path, method, operation in operations(theirs)
        for where, _ in parts(theirs, operation)
    }
    assert set(LEFT_OUT) <= known


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield path, method and operation, with the names that addresses have here."""
    for path, methods in document["paths"].items():
        short = path.removeprefix("/conda-store").removesuffix("/")
        parts = [
            f"{{{_SAME.get(part[1:-1], part[1:-1])}}}" if part.startswith("{") else part
            for part in short.split("/")
        ]
        for method, operation in methods.items():
            yield "/".join(parts), method, operation


def parts(document: Document, operation: Document) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what can be sent and what is told, each with the kinds of its values."""
    for one in operation.get("parameters", ()):
        name = _SAME.get(one["name"], one["name"]) if one["in"] == "path" else one["name"]
        yield f"{one['in']} {name}", kinds(document, one["schema"])
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield from fields(document, media["schema"], "sent")
    for media in operation["responses"]["200"].get("content", {}).values():
        yield from fields(document, media["schema"], "told")


def fields(
    document: Document, schema: Document, where: str, depth: int = 0
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each field of a schema, also of those within."""
    if depth > 8:
        return
    for one in alternatives(document, schema):
        for name, field in one.get("properties", {}).items():
            yield f"{where}.{name}", kinds(document, field)
            yield from fields(document, field, f"{where}.{name}", depth + 1)
        if "items" in one:
            yield from fields(document, one["items"], f"{where}[]", depth + 1)


def kinds(document: Document, schema: Document) -> frozenset[str]:
    """Return what kinds of JSON a value may be; what may be anything is no kind at all."""
    found = set()
    for one in alternatives(document, schema):
        if one.get("type"):
            found.add(str(one["type"]))
        found |= {f"'{value}'" for value in one.get("enum", ())}
    return frozenset(found)


def alternatives(document: Document, schema: Document) -> Iterator[Document]:
    """Yield what a schema may be, with names looked up."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for one in schema.get("anyOf", [schema]):
        if one is schema:
            yield one
        else:
            yield from alternatives(document, one)
