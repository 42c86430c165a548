"""Requests to named environments: names, specifications and what people do, as they come to mind.

All chance comes from the ``Random`` that is given, so that a run can be had again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote

from builder.lock import to_yaml
from builder.oci.digest import EMPTY, digest_of
from builder.oci.models import OCI_MANIFEST
from tests.builder.inputs.test_environment import EXPORTED
from tests.builder.inputs.test_explicit import LIST
from tests.builder.inputs.test_pixi_lock import V6
from tests.builder.lock.test_lock import lock
from tests.fuzz.mutation import TEXTS, change_bytes, change_json, change_text
from tests.registry.accounts import basic
from tests.registry.pushing import manifest_of

#: An administrator, two people, somebody unknown, and nobody.
PEOPLE: Final = (basic("root"), basic("ada"), basic("bob"), basic("eve", "wrong"), None)
BLOB: Final = b"a blob"

_API: Final = "/api/v1"
_PIECES: Final = (
    *("a", "b", "lab", "team", "Forecast", "2", "9", "ß", "é", "Ł", "日本", "ﬁ", "Ⅷ", "İ", "\u0131", "ж", "😀"),
    *(".", "..", "_", "__", "___", "-", "--", " ", "@", "+", "$", "&", "?", "^", "~", "=", "/", "\\", "%", "*"),
    *("\u0301", "\u202e", "\u200b", "\u00a0", "\n", "\0", "\x7f", "\ud800", "'", '"', "<", "#", ":", ";", "!"),
    *("env", "build", "v2", "api", "login", "latest", "x" * 50, "x" * 99, "manifests", "blobs", "_catalog"),
)  # fmt: skip
_PACKAGES: Final = ("tool", "library", "nothing-like-this", "TOOL", "tool library", "__glibc", "")
_MATCHES: Final = (
    *("", "=1", "=1.0", "==2.0", ">=1,<2", "!=1.0", "=9", "=1.*", "~=1.0", "[version='>=1']", "=1=0"),
    *(" 1.0 *", ">", "=", "=,", "==1==2", "|", "=1|2", "[x=y]", "[", "::", ">=" + "9" * 200),
)  # fmt: skip
_TAGS: Final = ("latest", "v1", "v2", "v0", "v99999999999999999999", "v01", "2026-01-01", "9999-99-99", "bare", "v1-bare",
                "latest-user1000", "v1-py3.12", "v1-v2", "a" * 128, "a" * 129, "-", EMPTY, "sha256:" + "0" * 64)  # fmt: skip
_GLOBS: Final = (
    "*",
    "a*",
    "**",
    "*" * 60,
    "[a-z]",
    "a",
    "",
    "x" * 300,
    "a/b",
    "%",
    "_",
    "\\",
    "(",
    "a|b",
)


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    url: str
    who: str | None
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Known:
    """What there is, as answers tell: requests are mostly about that."""

    namespaces: list[str] = field(default_factory=list)
    #: As in ``"ada/notebook"``.
    environments: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    grants: list[int] = field(default_factory=list)
    #: Values of ``Authorization``.
    secrets: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    #: Addresses of uploads that were begun.
    uploads: list[str] = field(default_factory=list)


def name_of(chance: Random) -> str:
    """Return what somebody might call something."""
    if chance.randrange(8) == 0:
        return chance.choice(TEXTS)
    return "".join(chance.choice(_PIECES) for _ in range(chance.choice((1, 1, 2, 3, 5, 9))))


def specification(chance: Random) -> bytes:
    """Return what somebody might send as a file: sound, nearly sound, or neither."""
    match chance.randrange(10):
        case 0 | 1 | 2 | 8 | 9:
            return json.dumps(_wish(chance)).encode()
        case 3:
            return change_json(json.dumps(_wish(chance)).encode(), chance)
        case 4:
            lines = [f"  - {_spec(chance)}" for _ in range(chance.choice((0, 1, 2, 5)))]
            return "\n".join(["name: x", "dependencies:", *lines]).encode("utf-8", "replace")
        case 5:
            texts = (EXPORTED.encode(), LIST.encode(), V6.encode(), to_yaml(lock()))
            return change_text(chance.choice(texts), chance)
        case 6:
            return change_bytes(json.dumps(_wish(chance)).encode(), chance)
        case _:
            return chance.choice((b"", b"\0", b"[" * 9000, b"a: &a [*a]", b"{}", b"null", chance.randbytes(300)))  # fmt: skip


def _wish(chance: Random) -> dict[str, Any]:
    wish: dict[str, Any] = {"specs": [_spec(chance) for _ in range(chance.choice((1, 1, 2)))]}
    if chance.randrange(2):
        # Few of them: what was built before is there at once.
        wish["variables"] = {"A": str(chance.randrange(20))}
    if chance.randrange(12) == 0:
        wish["variables"] = {name_of(chance): name_of(chance)}
    if chance.randrange(12) == 0:
        wish["platforms"] = [chance.choice(("linux-64", "linux-aarch64", "win-64", "", "noarch"))]
    if chance.randrange(12) == 0:
        wish["channels"] = [chance.choice(("main", "other", "http://[", "file:///etc", ""))]
    if chance.randrange(12) == 0:
        wish["base"] = chance.choice(("registry:ada/base:latest", "scratch", "oci:/etc", "", "a b"))
    return wish


def _spec(chance: Random) -> str:
    if chance.randrange(20) == 0:
        return name_of(chance)
    if chance.randrange(4):
        return "tool"
    return chance.choice(_PACKAGES) + chance.choice(_MATCHES)


def draw(known: Known, chance: Random) -> Asked:
    """Return a request of the catalog's API, or of images of environments."""
    who = chance.choice((*PEOPLE[:2] * 6, *PEOPLE, *known.secrets[-3:]))
    asked = (
        _of_image(known, chance, who) if chance.randrange(3) == 0 else _of_api(known, chance, who)
    )
    if chance.randrange(12) == 0:
        methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
        return Asked(chance.choice(methods), asked.url, who, asked.body, asked.headers)
    return asked


def _of_api(known: Known, chance: Random, who: str | None) -> Asked:
    method, path, body = chance.choice(_ACTIONS)
    fields = {
        "ns": _namespace(known, chance),
        "env": _environment(known, chance),
        "n": chance.choice(("1", "1", "2", "3", "0", "-1", "99", "9" * 30, "x", "\u0661")),
        "token": str(chance.choice((*known.tokens[-9:], 0, 10**30))),
        "grant": str(chance.choice((*known.grants[-9:], 0, 10**30))),
    }
    if "/environments/{env}" in path:
        fields["ns"], _, fields["env"] = _path(known, chance).partition("/")
    url = _API + path.format(**{name: _quoted(value) for name, value in fields.items()})
    data = _body(body, known, chance)
    pairs = _parameters(path, method, chance, known)
    if body == "file" and path == "/namespaces/{ns}/environments":
        pairs.append(("name", _new_name(chance)))
    query = "&".join(f"{quote(name)}={_quoted(value)}" for name, value in pairs)
    return Asked(method, f"{url}?{query}" if query else url, who, data, _headers(chance))


#: Method, address, and what its body is.
_ACTIONS: Final[Sequence[tuple[str, str, str]]] = (
    *((("POST", "/namespaces", "namespace"),) * 3),
    *((("POST", "/namespaces/{ns}/environments", "environment"),) * 3),
    *((("POST", "/namespaces/{ns}/environments", "file"),) * 3),
    *((("POST", "/namespaces/{ns}/environments/{env}/versions", "file"),) * 10),
    *((("PUT", "/namespaces/{ns}/environments/{env}/active", "active"),) * 3),
    *((("GET", "/namespaces/{ns}/environments/{env}", ""),) * 2),
    ("GET", "/namespaces", ""),
    ("GET", "/namespaces/{ns}", ""),
    ("PATCH", "/namespaces/{ns}", "namespace"),
    ("DELETE", "/namespaces/{ns}", ""),
    ("POST", "/namespaces/{ns}/restore", ""),
    ("GET", "/namespaces/{ns}/events", ""),
    ("GET", "/namespaces/{ns}/grants", ""),
    ("POST", "/namespaces/{ns}/grants", "grant"),
    ("POST", "/namespaces/{ns}/grants", "grant"),
    ("GET", "/namespaces/{ns}/grants/{grant}", ""),
    ("DELETE", "/namespaces/{ns}/grants/{grant}", ""),
    ("GET", "/namespaces/{ns}/environments", ""),
    ("GET", "/environments", ""),
    ("GET", "/events", ""),
    ("PATCH", "/namespaces/{ns}/environments/{env}", "environment"),
    ("DELETE", "/namespaces/{ns}/environments/{env}", ""),
    ("POST", "/namespaces/{ns}/environments/{env}/restore", ""),
    ("POST", "/namespaces/{ns}/environments/{env}/move", "target"),
    ("POST", "/namespaces/{ns}/environments/{env}/copy", "target"),
    ("GET", "/namespaces/{ns}/environments/{env}/active", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/access", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/events", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/versions", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/versions/{n}", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/versions/{n}/specification", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/versions/{n}/log", ""),
    ("POST", "/namespaces/{ns}/environments/{env}/versions/{n}/cancel", ""),
    ("DELETE", "/namespaces/{ns}/environments/{env}/versions/{n}", ""),
    ("GET", "/namespaces/{ns}/environments/{env}/diff/1/{n}", ""),
    ("POST", "/tokens", "token"),
    ("GET", "/tokens", ""),
    ("DELETE", "/tokens/{token}", ""),
    ("GET", "/users/me", ""),
    ("GET", "/waivers", ""),
    ("POST", "/waivers", "waiver"),
    ("GET", "/waivers/{n}", ""),
    ("POST", "/waivers/{n}/decision", "decision"),
    ("DELETE", "/waivers/{n}", ""),
)


def _of_image(known: Known, chance: Random, who: str | None) -> Asked:
    repository = _path(known, chance)
    tag = chance.choice((*_TAGS, *known.keys[-5:]))
    digest = chance.choice((EMPTY, digest_of(BLOB), "sha256:" + "0" * 64, "sha256:x", "md5:0"))
    method, rest, body = chance.choice(
        (
            *((("GET", f"manifests/{_quoted(tag)}", b""),) * 5),
            ("HEAD", f"manifests/{_quoted(tag)}", b""),
            ("GET", f"blobs/{digest}", b""),
            ("HEAD", f"blobs/{digest}", b""),
            ("GET", f"tags/list?n={chance.choice((0, 1, 5, -1, 10**30))}&last={_quoted(tag)}", b""),
            ("GET", f"referrers/{digest}", b""),
            ("PUT", f"manifests/{_quoted(tag)}", manifest_of(b"{}", BLOB)),
            ("DELETE", f"manifests/{_quoted(tag)}", b""),
            ("DELETE", f"blobs/{digest}", b""),
            ("POST", "blobs/uploads/", b""),
            ("POST", f"blobs/uploads/?digest={digest}", BLOB),
            ("POST", f"blobs/uploads/?mount={digest}&from={_quoted(_path(known, chance))}", b""),
        )
    )
    headers = (("content-type", OCI_MANIFEST),) if method == "PUT" else _headers(chance)
    return Asked(method, f"/v2/{_quoted(repository, '/')}/{rest}", who, body, headers)


def _namespace(known: Known, chance: Random) -> str:
    if known.namespaces and chance.randrange(8):
        return chance.choice(known.namespaces[-12:])
    return chance.choice((name_of(chance), "ada", "ada", "bob", "root"))


def _environment(known: Known, chance: Random) -> str:
    return _path(known, chance).partition("/")[2]


def _path(known: Known, chance: Random) -> str:
    if known.environments and chance.randrange(10):
        return chance.choice(known.environments[-12:])
    return f"{_namespace(known, chance)}/{name_of(chance).replace('/', '')}"


def _parameters(path: str, method: str, chance: Random, known: Known) -> list[tuple[str, str]]:
    if chance.randrange(3):
        return []
    choices = [("x", "y")] if chance.randrange(8) == 0 else []
    if method == "GET" and path.endswith(("s", "/me")):
        choices += [
            ("limit", str(chance.choice((1, 2, 100, 0, 101, -1, 10**30)))),
            ("after", chance.choice((*known.cursors[-20:], *TEXTS))),
        ]
    if method == "GET" and path.endswith("/environments"):
        choices += [
            ("search", name_of(chance)),
            ("package", chance.choice(_PACKAGES)),
            ("deleted", chance.choice(("true", "1", "", "false", "x"))),
        ]
    if method == "POST" and path.endswith("/versions"):
        choices += [
            ("note", name_of(chance)),
            ("activate", chance.choice(("true", "false", "x"))),
            ("renew", chance.choice(("true", "", "no"))),
        ]
    return chance.sample(choices, min(len(choices), chance.choice((1, 1, 2))))


def _headers(chance: Random) -> tuple[tuple[str, str], ...]:
    choices = (
        ("if-match", chance.choice(('"1"', '"2"', '"3"', "*", "1", 'W/"1"', '"' + "9" * 40 + '"'))),
        ("idempotency-key", chance.choice(("a", "b", "c", "k" * 201, ""))),
        ("prefer", chance.choice(("wait=1", "wait=0", "wait=x"))),
        ("user-agent", chance.choice(("containers/5.30.0", "containerd/1.6", "x"))),
    )
    return tuple(chance.sample(choices, chance.choice((0, 0, 0, 0, 0, 1, 2))))


def _body(kind: str, known: Known, chance: Random) -> bytes:
    if kind == "":
        return b"" if chance.randrange(20) else BLOB
    if kind == "file":
        return specification(chance)
    documents: dict[str, dict[str, Any]] = {
        "namespace": {
            "name": chance.choice(("ada", "bob", _new_name(chance), _new_name(chance))),
            "description": chance.choice(("",) * 60 + TEXTS),
        },
        "environment": {
            "name": _new_name(chance),
            "description": chance.choice(("",) * 60 + TEXTS),
        },
        "active": {"version": chance.choice((1, 1, 2, 3, 0, -1, 10**30))},
        "target": {"namespace": _namespace(known, chance), "name": _new_name(chance)},
        "grant": {
            "subject": chance.choice(("ada", "bob", "nobody", name_of(chance))),
            "role": chance.choice(("viewer", "editor", "admin", "owner", "god")),
            "environment": chance.choice(_GLOBS),
        },
        "token": {
            "name": name_of(chance),
            "scopes": chance.choice((None, ["ada/*:pull"], ["**:*"], [name_of(chance)], [])),
        },
    }
    documents |= {
        "waiver": {
            "reason": chance.choice(("why", name_of(chance))),
            "environment": chance.choice((None, _path(known, chance))),
            "policy": chance.choice((None, "company", name_of(chance))),
            "spec": chance.choice((None, _spec(chance))),
            "manager": chance.choice(("conda", "pypi")),
        },
        "decision": {
            "grant": chance.choice((True, False)),
            "reason": chance.choice(("", name_of(chance))),
            "scope": chance.choice((None, "environment", "namespace", "everything")),
            "spec": chance.choice((None, _spec(chance))),
        },
    }
    document = documents[kind]
    if kind == "grant" and chance.randrange(4) == 0:
        del document["subject"]
        document["subject_kind"] = chance.choice(("everyone", "authenticated"))
    body = json.dumps(document).encode()
    return change_json(body, chance) if chance.randrange(6) == 0 else body


def _new_name(chance: Random) -> str:
    """Return a name for something new: one that may be had half of the time."""
    sound = f"{chance.choice(('Lab', 'team', 'x.y', 'Ünder'))} {chance.randrange(40)}"
    return chance.choice((sound, sound, name_of(chance)))


def _quoted(text: str, safe: str = "") -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe=safe)
