"""Everything that somebody can send to the API, generated: all fields of all bodies and queries.

What comes here is sent as it is generated, whatever it does: each field of each model takes all
values of its kind that could help whoever wants to be free of a policy.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from registry.policy.documents import PolicyDocument
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import BuildEndpoint, Endpoint
from registry.web.api.models import Model
from registry.web.api.routes import ADDRESSES

#: A policy that allows all that one can.
LOOSE: Final = """\
mode = "warn"
[channels]
allowed = ["main"]
[packages]
denied = []
required = ["tool"]
default = ["tool"]
[licences]
allowed = ["*"]
unknown = "allow"
[age]
minimum = "1 hour"
exempt = ["tool"]
[advisories]
minimum_severity = "critical"
unscored = false
ignore = ["GHSA-1"]
[bases]
allowed = ["*"]
[platforms]
allowed = ["linux-64"]
[pypi]
allowed = true
projects = ["*"]
[limits]
packages = 1000000
size = "1000 TB"
"""
#: Names that mean something to somebody.
_WORDS: Final = (
    *("team", "forecast", "company", "stored", "own", "*", "boss", "root", "everyone", "tool"),
    *("administrator", "granted", "enforce", "warn", "main::tool", "namespace", "everything"),
)
_Headers = tuple[tuple[str, str], ...]
_LONG_TIME: Final = "2400-01-01T00:00:00Z"

#: The requests for a package that is denied, as one may write them: a body, and what may be built.
WISHES: Final[tuple[bytes, ...]] = (
    *(
        json.dumps({"specs": [spec], **more}).encode()
        for spec, more in (
            ("tool", {}),
            ("tool", {"channels": ["main"]}),
            ("tool ==2.0", {"base": None}),
            ("tool=1.0", {"base": "none", "platforms": ["linux-64"]}),
            ("main::tool", {"variables": {"PULLFORGE_POLICIES": "", "A": "1"}}),
            ("tool", {"user": "1000:1000", "virtual_packages": {"__cuda": "12.4"}}),
            ("tool[build=0]", {"until": "2025-06-01"}),
            ("tool", {"pip": []}),
            ("tool", {"rules": "", "policy": None, "mode": "warn", "waiver": 1}),
        )
    ),
    b"name: x\ndependencies: [tool]\n",
    b"channels: [main]\ndependencies: [main::tool, library]\nvariables: {MODE: warn}\n",
    b"# rules: none\nchannels: [nodefaults, main]\ndependencies:\n- tool=2\n",
)


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    url: str
    headers: _Headers = ()
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.url} {self.body[:200]!r}"


def everything(fields: Mapping[str, Sequence[str]]) -> dict[str, list[Sent]]:
    """Return what is sent to each method at each address that changes something.

    Args:
        fields: What stands in the place of each field of an address.
    """
    found: dict[str, list[Sent]] = {}
    for path, methods in ADDRESSES.items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        urls = [
            PREFIX + path.format(**dict(zip(names, chosen, strict=True)))
            for chosen in itertools.product(*(fields[name] for name in names))
        ]
        for method, endpoint in methods.items():
            if method == "GET":
                continue
            found[f"{method} {path}"] = [
                sent for url in urls for sent in _of(method, url, endpoint)
            ]
    return found


def policies() -> Iterator[str]:
    """Return texts of policies: all that is loose at once, and each of its tables alone."""
    yield LOOSE
    yield ""
    yield 'mode = "warn"\n'
    yield 'namespaces = ["*"]\n' + LOOSE
    tables = LOOSE.split("\n[")[1:]
    assert len(tables) == sum(
        getattr(field.annotation, "__args__", None) is not None and field.default is None
        for field in PolicyDocument.model_fields.values()
    ), "a table of policies is not here"
    for table in tables:
        yield f"[{table}\n"


def _of(method: str, url: str, endpoint: Endpoint | BuildEndpoint) -> Iterator[Sent]:
    bodies = list(_bodies(endpoint))
    queries = [""]
    if isinstance(endpoint, Endpoint):
        queries += [f"?{urlencode(each)}" for each in _queries(endpoint.query)]
    else:
        queries += [f"?{name}=true" for name in getattr(endpoint, "query", {})]
    for headers, body in bodies:
        yield Sent(method, url, headers, body)
    headers, body = bodies[0]
    for query in queries[1:]:
        yield Sent(method, url + query, headers, body)


def _bodies(
    endpoint: Endpoint | BuildEndpoint,
) -> Iterator[tuple[tuple[tuple[str, str], ...], bytes]]:
    kind = endpoint.body_kind
    is_anything = False
    if isinstance(endpoint, Endpoint) and endpoint.body.model_fields:
        is_anything = True
        for document in _documents(endpoint.body):
            yield (("Content-Type", "application/json"),), json.dumps(document).encode()
    if kind not in {"none", "json"}:
        is_anything = True
        for wish in WISHES:
            yield (), wish
        for text in policies():
            yield (("Content-Type", "application/toml"),), text.encode()
            yield (("Content-Type", "application/json"),), json.dumps({"text": text}).encode()
    if not is_anything:
        yield (), b""


def _documents(model: type[Model]) -> Iterator[dict[str, Any]]:
    """Return documents with each value of each field, once beside all and once beside the least."""
    schema = model.model_json_schema()
    values = {
        name: _values(name, part, schema) for name, part in schema.get("properties", {}).items()
    }
    required = set(schema.get("required", ()))
    least = {name: found[0] for name, found in values.items() if name in required}
    most = {name: found[0] for name, found in values.items()}
    yield least
    yield most
    for name, found in values.items():
        for value in found:
            yield {**least, name: value}
            yield {**most, name: value}


def _queries(model: type[Model]) -> Iterator[dict[str, str]]:
    schema = model.model_json_schema()
    for name, part in schema.get("properties", {}).items():
        for value in _values(name, part, schema):
            if isinstance(value, str | int) and value is not None:
                yield {name: str(value).lower() if isinstance(value, bool) else str(value)}


def _values(name: str, part: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Any]:
    """Return values for one field, those first that are most likely to be taken."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    if "anyOf" in part:
        return [value for each in part["anyOf"] for value in _values(name, each, schema)]
    if "enum" in part or "const" in part:
        return list(part.get("enum", [part.get("const")]))
    kind = part.get("type")
    if kind == "array":
        items = _values(name, part.get("items", {}), schema)[:20]
        return [*([value] for value in items), []]
    if kind == "object":
        inner = part.get("properties", {})
        filled = {key: _values(key, one, schema)[0] for key, one in inner.items()}
        return [filled, {}, {"specs": ["tool"]}]
    return _BY_KIND.get(str(kind)) or _texts(name, part)


_BY_KIND: Final[dict[str, list[Any]]] = {
    "boolean": [True, False],
    "integer": [1, 0, -1, 2, 10**6, 2**31 - 1, 10**15],
    "number": [1, 0, -1, 0.5, 1e300],
    "null": [None],
}


def _texts(name: str, part: Mapping[str, Any]) -> list[Any]:
    if part.get("format") == "date-time":
        return [_LONG_TIME, "2001-01-01T00:00:00Z"]
    first = {
        "text": tuple(policies()),
        "toml": tuple(policies()),
        "key": ("0" * 32,),
        "environment": ("team/forecast", "*"),
    }
    return [*first.get(name, ()), *_WORDS]
