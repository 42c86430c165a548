"""Requests to every route, as clients of all kinds send them, and as attackers do.

All chance comes from the ``Random`` that is given, so that a run can be had again.
"""

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote

from builder.lock import to_yaml
from builder.oci.digest import EMPTY, digest_of
from builder.oci.models import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from registry.app import create_app
from registry.web.api.documents import PREFIX
from registry.web.api.routes import api_route
from registry.web.conda_store.addresses import ADDRESSES as CONDA_STORE
from registry.web.distribution.paths import TEMPLATES, Kind
from registry.web.login.routes import METHODS
from registry.web.pages.routes import ADDRESSES as PAGES
from tests.builder.inputs.test_environment import EXPORTED
from tests.builder.inputs.test_explicit import LIST
from tests.builder.inputs.test_pixi_lock import V6
from tests.builder.lock.test_lock import lock
from tests.fuzz.mutation import NUMBERS, TEXTS, change_bytes, change_json, change_text
from tests.registry.accounts import TOKEN, basic
from tests.registry.pushing import index_of, manifest_of

Headers = list[tuple[bytes, bytes]]

BLOB: Final = b"a blob"
#: Stands in what is sent wherever a line break would make a header of it.
INJECTED: Final = "\r\nX-Injected: 1"
#: Of what addresses below ``/v2`` lead to.
_METHODS_BY_KIND: Final[dict[Kind, Sequence[str]]] = {
    **dict.fromkeys(TEMPLATES, ("GET",)),
    "token": ("GET", "POST"),
    "manifest": ("GET", "PUT", "DELETE"),
    "blob": ("GET", "DELETE"),
    "uploads": ("POST",),
    "upload": ("GET", "PATCH", "PUT", "DELETE"),
}
#: Where conda-store's wire is.
_FACE: Final = "/conda-store"
_SOME_KEY: Final = "0123456789abcdef" * 2
_METHODS: Final = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
    "MKCOL",
    "QUERY",
)
_NAMES: Final = (
    *("team/app", "lab/forecast", "a", "env/tool", "env/library", "env/nothing", "env/tool.ge.1", f"build/{_SOME_KEY}"),
    *("env/" + "x." * 100 + "x", "build/x", "env/pypi--six", "env/other--tool", "ENV/tool", "env/"),
    *("x" * 300, "a/manifests/b", "team/app/blobs/uploads", "_catalog", "library", "env/__glibc"),
)  # fmt: skip
_REFERENCES: Final = (
    *("latest", "2026-01-01", "py3.12-bare", "bare", "9999-99-99", "2026-02-30", "user0", "a" * 128),
    *("a" * 129, "-x", ".", "py3.12-py3.13", "x86_64_v9", "cuda99999999999999999999.1"),
)  # fmt: skip
_DIGESTS: Final = (
    *(
        EMPTY,
        digest_of(BLOB),
        digest_of(BLOB, "sha512"),
        "sha256:" + "0" * 64,
        "sha256:" + "A" * 64,
    ),
    *("sha256:", "md5:" + "0" * 32, "sha256:../../etc/passwd", "sha256", "sha256:" + "0" * 5000),
)
_IDS: Final = ("", "0" * 32, _SOME_KEY, "0" * 31, "F" * 32, "..", "x")
_PARAMETERS: Final = (
    *("digest", "mount", "from", "tag", "n", "last", "artifactType", "digest-algorithm", "wait", "ns"),
    *("scope", "service", "account", "renew", "platform", "format", "offline_token", ""),
    *("limit", "after", "search", "package", "version", "deleted", "name", "note", "activate"),
    *("user", "ended", "next", "code", "state", "iss", "error", "only", "versions"),
    *("page", "size", "order", "sort_by", "status", "artifact", "packages", "jwt", "cursor"),
    *("distinct_on", "exact", "build", "build_id", "environment_id", "other_namespace", "channel"),
)  # fmt: skip
#: Slugs and numbers of the catalog; ``_furnish`` of the test makes the first.
_SLUGS: Final = ("lab", "team", "root", "env", "v2", "no-such", "Team", "-", "a" * 101)
_ENVIRONMENTS: Final = ("forecast", "no-such", "latest", "A b", "x" * 101)
_VERSIONS: Final = ("1", "2", "0", "-1", "01", "v1", "9" * 9, "9" * 30, "1.0", "\u0661")
_SCOPES: Final = (
    *(
        "repository:team/app:pull,push",
        "repository:env/tool:pull",
        "registry:catalog:*",
        "a:b:c:d",
        ":",
    ),
    *("repository:" + "a" * 300 + ":pull", "repository::pull", 'repository:a":pull', " " * 50),
)
_VALUES: Final[dict[str, Sequence[str]]] = {
    "Range": (
        "bytes=0-1",
        "bytes=-1",
        "bytes=5-2",
        "bytes=0-0,2-3",
        "bytes=" + "9" * 400 + "-",
        "x",
    ),
    "Content-Range": ("0-5", "5-0", "bytes 0-5/6", "9" * 40 + "-1", "-", "x"),
    "Accept": (
        OCI_MANIFEST,
        f"{OCI_INDEX}, {DOCKER_MANIFEST};q=0.1",
        "*/*;q=0",
        ",;=\xff",
        "a" * 900,
    ),
    "Content-Type": (
        *(OCI_MANIFEST, OCI_INDEX, "application/json", "a/b;" + "c=d;" * 90, "\xff", ""),
        *("application/x-www-form-urlencoded",) * 3,
    ),
    "Content-Encoding": ("gzip", "identity", "br, gzip", "x"),
    "If-None-Match": ("*", f'"{EMPTY}"', 'W/"x", "y', "," * 400),
    "If-Range": (f'"{EMPTY}"', "Wed, 21 Oct 2015 07:28:00 GMT"),
    "User-Agent": (
        "containerd/2.0",
        "containerd/1.7",
        "docker/29",
        "containerd/" + "9" * 40,
        "\xe4",
    ),
    "Prefer": ("wait=1", "wait=0", "wait=" + "9" * 40, "respond-async", 'wait="1"', ";;,"),
    "Last-Event-Id": ("0", "-1", "9" * 9, "9" * 40, "x"),
    "X-Request-Id": ("r1", "\xe4\t", "a" * 500),
    "X-Forwarded-For": ("192.0.2.9", "x", "1.2.3.4, 5.6.7.8", "::1"),
    "X-Forwarded-Proto": ("https", "javascript", 'a"b'),
    "Expect": ("100-continue", "x"),
    "Accept-Encoding": ("gzip", "identity;q=0"),
    "If-Match": ('"1"', "*", 'W/"2"', "1", '"' + "9" * 40 + '"', '"1", "2"'),
    "Idempotency-Key": ("a", '"a"', "k" * 201, "\xe4", ""),
    "Origin": ("http://registry.test", "null", "https://evil.example"),
    "Cookie": (
        "a=b",
        "=" * 100,
        "pullforge=pft_x",
        "pullforge-attempt=a|b|c|/",
        "pullforge=a; " * 90,
        "conda-store-auth=pft_eyJ.e30.x",
        "conda-store-auth=a; conda-store-auth=b",
    ),
}
_HOSTS: Final = (
    *("registry.test", "127.0.0.1:5000", "<script>", 'a",realm="b', "[::1", "a b", "\xff", "", "a" * 900),
    *("x@y", "a/b", "a\tb", "a:99999999"),
)  # fmt: skip
_AUTHORIZATIONS: Final = (
    *("Bearer x", "Bearer a.b.c", "Bearer " + "e" * 3000, "Basic", "Basic !!!", "Basic " + "Og==", "Negotiate x"),
    *("Basic " + b64encode(b"ada").decode(), "Basic " + b64encode(b"\xff:\xff").decode(), "\xff", " ", "Bearer"),
    *("Basic " + b64encode(b"a:" + b"b" * 5000).decode(), "Bearer eyJhbGciOiJub25lIn0.e30."),
)  # fmt: skip


def _api_routes() -> dict[str, Sequence[str]]:
    """Return the methods of each address of the API."""
    router: Any = api_route().app
    return {PREFIX + route.path: tuple(route.app._endpoints) for route in router._app.routes}


_API: Final = _api_routes()


def routes() -> list[str]:
    """Return the template of every address that the application knows."""
    app = create_app(lambda: None)  # type: ignore[arg-type,return-value] # it is never opened
    paths = [str(getattr(route, "path", "")) for route in app.routes]
    assert PREFIX in paths
    # Those of conda-store are there with and without a slash: they are drawn with either.
    twice = {f"{path}/" for path in paths if path.startswith(_FACE)}
    return [*TEMPLATES.values(), *_API, *(path for path in paths if path not in twice)]


@dataclass
class Known:
    """What requests can name: more comes with each answer."""

    #: Valid values of ``Authorization``; empty: nobody has any.
    authorizations: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sent:
    """One request."""

    route: str
    method: str
    target: bytes
    headers: Headers
    body: bytes
    #: Whether it is one in HTTP at all; if not, the server may leave after its answer.
    is_sound: bool = True

    def wire(self) -> bytes:
        """Return it as it is sent."""
        head = b"".join(b"%s: %s\r\n" % line for line in self.headers)
        return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (self.method.encode(), self.target, head, self.body)


def draw(route: str, known: Known, chance: Random) -> Sent:
    """Return a request to a route."""
    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: _part(match[1], known, chance), route)
    if route.startswith(_FACE) and chance.randrange(2):
        path += "/"
    if chance.randrange(12) == 0:
        path += quote(chance.choice(TEXTS).encode("utf-8", "surrogatepass"))[:3000]
    if chance.randrange(40) == 0:
        path = path.replace("/", chance.choice(("//", "%2f", "/./", "/../", "/%2e%2e/")), 1)
    if known.uploads and "uploads/{id}" in route and chance.randrange(2):
        path = chance.choice(known.uploads)
    query = _query(chance)
    target = f"{path or '/'}{query}".encode("latin-1", "replace")
    method = chance.choice(_METHODS)
    if chance.randrange(6):
        method = chance.choice(_methods_of(route))
    body = _body(route, method, chance)
    headers = _headers(known, chance)
    if _is_of_catalog(route) and known.authorizations and chance.randrange(2):
        # Else few get beyond the question who they are.
        others = [line for line in headers if line[0] != b"Authorization"]
        login = chance.choice(known.authorizations[:2]).encode()
        headers = [*others, (b"Authorization", login)]
    if body or method in {"POST", "PUT", "PATCH"}:
        if chance.randrange(6):
            headers.append((b"Content-Length", b"%d" % len(body)))
        else:
            headers.append((b"Transfer-Encoding", b"chunked"))
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    if chance.randrange(100) == 0:
        return _unsound(Sent(route, method, target, headers, body), chance)
    return Sent(route, method, target, headers, body)


def _methods_of(route: str) -> Sequence[str]:
    """Return the methods that an address knows."""
    kinds = [kind for kind, template in TEMPLATES.items() if template == route]
    if kinds:
        return _METHODS_BY_KIND[kinds[0]]
    if route in PAGES:
        return tuple(PAGES[route].methods)
    if route.startswith(_FACE):
        return tuple(CONDA_STORE.get(route.removeprefix(_FACE).rstrip("/"), ("GET",)))
    return _API.get(route) or METHODS.get(route, ("GET",))


def _part(name: str, known: Known, chance: Random) -> str:
    choices: dict[str, Sequence[str]] = {
        "name": _NAMES,
        "reference": (*_REFERENCES, *_DIGESTS),
        "digest": _DIGESTS,
        "id": (*_IDS, *known.requests[-20:], *_VERSIONS),
        "key": (*_IDS, *known.keys[-20:]),
        "other": (*_IDS, *known.keys[-20:]),
        "sha256": (*(digest.partition(":")[2] for digest in _DIGESTS), *_IDS),
        "namespace": (*("lab",) * len(_SLUGS), *_SLUGS),
        "environment": (*("forecast",) * len(_ENVIRONMENTS), *_ENVIRONMENTS),
        "policy": ("company", "own", "test", "no-such"),
        "group": ("staff", "a/b", "no-such"),
        "user": ("ada", "root", "no-such"),
        "waiver": _VERSIONS,
        "form": ("lock", "sbom", "no-such"),
        "package": ("numpy", "tool", "no-such"),
        "file": ("forecast/environment.yml", "pixi.lock", "../../etc/passwd", "a//b"),
        "rest": ("admin/", "ui/lab/forecast", "static/conda-store-ui/main.js", "storage"),
        **dict.fromkeys(("number", "a", "b", "delivery", "build_id"), _VERSIONS),
    }
    if chance.randrange(4) == 0:
        text = chance.choice((*TEXTS, INJECTED, "%", "%zz", "%00", "€", '"', '",realm="x'))
        return quote(text.encode("utf-8", "surrogatepass"))[:6000]
    return quote(chance.choice(choices[name]), safe=chance.choice(("/:", "/:", "/:", "")))


def _query(chance: Random) -> str:
    pairs = []
    for _ in range(chance.choice((0, 0, 1, 2, 5))):
        name = chance.choice(_PARAMETERS)
        value = chance.choice((*_DIGESTS, *_NAMES, *_SCOPES, *TEXTS, INJECTED, *map(str, NUMBERS)))
        pairs.append(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))[:1500]}")
    return f"?{'&'.join(pairs)}"[:6000] if pairs else ""


def _headers(known: Known, chance: Random) -> Headers:
    lines = [("Host", "registry.test" if chance.randrange(4) else chance.choice(_HOSTS))]
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        name = chance.choice(tuple(_VALUES))
        lines.append((name, chance.choice(_VALUES[name])))
    if chance.randrange(3) == 0:
        found = (*known.authorizations * 4, *_AUTHORIZATIONS)
        lines.append(("Authorization", chance.choice(found)))
    # Such a line ends the head: it is no header that could be sent.
    return [(n.encode(), v.encode("latin-1").replace(b"\r\n", b" ")) for n, v in lines]


#: What can be built: ``tool`` of the tiny channel.
WISH: Final = json.dumps(
    {
        "specs": ["tool"],
        "channels": ["conda-forge"],
        "platforms": ["linux-64"],
        "variables": {"A": "b"},
    }
).encode()

#: What the catalog takes.
DOCUMENTS: Final = tuple(
    json.dumps(document).encode()
    for document in (
        {"name": "Lab", "description": "of all", "owner": "ada"},
        {"name": "forecast", "description": ""},
        {"namespace": "lab", "name": "other"},
        {"version": 1},
        {
            "source": "https://old.example/conda-store",
            "name": "forecast",
            "active": 7,
            "versions": [
                {
                    "id": 7,
                    "specification": {"dependencies": ["tool", {"pip": ["six"]}]},
                    "lock": LIST,
                    "state": "completed",
                    "created_at": "2025-03-01T12:00:00Z",
                    "ended_at": "2025-03-01T12:30:00+01:00",
                },
                {
                    "id": 8,
                    "specification": "dependencies: [tool]",
                    "state": "failed",
                    "message": "Unsatisfiable",
                    "created_at": "2025-03-02T12:00:00Z",
                },
            ],
        },
        {"cron": "30 3 * * MON", "timezone": "Europe/Berlin", "then": "test"},
        {"cron": "weekly", "on_advisories": False, "paused": True},
        {"subject": "ada", "role": "viewer", "environment": "fore*"},
        {"subject_kind": "everyone", "role": "viewer", "namespace": "lab"},
        {"name": "laptop", "scopes": ["team/*:pull"], "expires_at": "2100-01-01T00:00:00Z"},
        {"name": "ci", "user": "ci", "kind": "robot"},
        {"reason": "why", "environment": "lab/forecast", "version": 1},
        {"reason": "why", "policy": "company", "spec": "numpy ==2.3.1", "manager": "conda"},
        {"grant": True, "scope": "everything", "expires_at": "2100-01-01T00:00:00Z"},
        {"activate": True, "reason": "why"},
        {"url": "https://hook.invalid/x?token=y", "namespace": "lab", "actions": ["version.*"]},
        {"url": "http://ada:x@[::1]:1/", "format": "chat", "enabled": False, "skip": True},
        {"test_command": "python -c 'import tool'"},
    )
)
#: What clients of conda-store send.
CONDA_STORE_DOCUMENTS: Final = tuple(
    json.dumps(document).encode()
    for document in (
        {"specification": "name: forecast\nchannels: [main]\ndependencies: [tool]"},
        {"namespace": "lab", "specification": "name: a\ndependencies: [tool, pip: [six]]"},
        {"is_lockfile": True, "environment_name": "locked", "specification": "{}"},
        {"build_id": 1, "description": "of all"},
        {"role_bindings": {"lab/*": ["viewer"], "*/*": []}, "exp": "2100-01-01T00:00:00"},
        {"primary_namespace": "Lab", "expiration": 4102444800.5},
        {"metadata": {"a": [1]}, "role_mappings": {"lab/*": ["developer"]}},
        {"other_namespace": "ada", "role": "viewer"},
        {"conda_allowed_channels": ["main"], "conda_required_packages": ["tool"]},
        {"storage_threshold": 5, "conda_command": "mamba", "build_artifacts": ["LOGS"]},
        {"username": "ada", "password": "x"},
        {"description": "of all", "build_id": 10**30, "no_such_setting": [None]},
    )
)
#: What browsers send, and programs that log in.
FORMS: Final = (
    b"name=ada&password=x&next=%2Fui",
    b"code=BCDF-GHJK&decision=grant",
    b"client_id=pullforge%20on%20lab7",
    b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=x",
)


def _body(route: str, method: str, chance: Random) -> bytes:
    if method in {"GET", "HEAD", "OPTIONS"} and chance.randrange(20):
        return b""
    changed: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: BLOB,
        lambda: change_json(manifest_of(b"{}", BLOB), chance),
        lambda: change_json(index_of(manifest_of(b"{}")), chance),
        lambda: change_json(WISH, chance),
        lambda: chance.randbytes(chance.choice((1, 100, 5000))),
        lambda: gzip.compress(WISH),
        lambda: b"[" * 50_000,
        lambda: b"grant_type=password&username=ada&password=x&scope=" + chance.randbytes(9),
    ]
    if "login" in route or "logout" in route:
        changed += [lambda: change_text(chance.choice(FORMS), chance)] * 5
    if "builds" in route or "environments" in route:
        texts = (EXPORTED.encode(), LIST.encode(), V6.encode(), to_yaml(lock()), WISH)
        changed += [lambda: change_text(chance.choice(texts), chance)] * 5
    if _is_of_catalog(route):
        changed += [lambda: change_json(chance.choice(DOCUMENTS), chance)] * 10
    if route.startswith(_FACE):
        changed += [lambda: change_json(chance.choice(CONDA_STORE_DOCUMENTS), chance)] * 10
    body = chance.choice(changed)()
    return change_bytes(body, chance) if chance.randrange(10) == 0 else body


def _is_of_catalog(route: str) -> bool:
    return route.startswith(_FACE) or any(
        word in route
        for word in (
            *("namespaces", "environments", "tokens", "grants", "waivers", "proposals"),
            *("schedules", "sources", "webhooks"),
        )
    )


def _unsound(sent: Sent, chance: Random) -> Sent:
    """Return something that is not HTTP, or that servers once read in two ways."""
    headers, target, method = list(sent.headers), sent.target, sent.method
    match chance.randrange(8):
        case 0:
            headers += [(b"Content-Length", b"1"), (b"Content-Length", b"2")]
        case 1:
            headers += [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]
        case 2:
            headers.append((b"Content-Length", chance.choice((b"-1", b"x", b"9" * 30, b"0x5"))))
        case 3:
            headers.append((b"A b", b"c"))
        case 4:
            target = chance.choice(
                (b"*", b"http://[", b"//", b"\xff\xfe", b"a b", b"/" + b"x" * 9000)
            )
        case 5:
            headers += [(b"X", b"y")] * 200
        case 6:
            headers.append((b"X-Null", b"a\0b"))
        case _:
            method = chance.choice(("G\x00T", "x" * 90, "get", "CONNECT", ""))
    return Sent(sent.route, method, target, headers, b"", is_sound=False)


def valid_authorizations() -> list[str]:
    """Return what the accounts of the fuzzed server log in with."""
    return [basic("ada"), basic("root"), basic("robot", TOKEN)]
