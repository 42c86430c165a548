"""Events in: hosts of git repositories tell of pushes, and the source is looked at at once.

Whoever calls has the hook's secret, and shows it as their host does::

    GitHub                X-Hub-Signature-256: sha256=<HMAC of the body, in hex>
    Gitea, Forgejo, Gogs  the same, and X-Gitea-Signature or X-Gogs-Signature without "sha256="
    Bitbucket             X-Hub-Signature: sha256=<HMAC of the body, in hex>
    GitLab                X-Gitlab-Token: <the secret>
    Azure, and anybody    Authorization: Bearer <the secret>

The body says which branch was pushed; one that is not looked at changes nothing. A body that says
nothing of branches has the source looked at.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp

from registry.catalog.source_records import SourceRecord
from registry.errors import DatabaseMissing, EndpointUnknown, Unauthorized
from registry.web.access import challenge
from registry.web.api.answers import answer
from registry.web.api.endpoints import ApiRequest
from registry.web.api.parameters import read_body
from registry.web.api.source_documents import LookDocument
from registry.web.asgi.headers import RequestHeaders

#: Each has an HMAC-SHA256 of the body, in hex; some with the algorithm before it.
_SIGNATURES: Final = (
    "x-hub-signature-256",
    "x-hub-signature",
    "x-gitea-signature",
    "x-forgejo-signature",
    "x-gogs-signature",
)
_PREFIX: Final = "sha256="
_BRANCH: Final = "refs/heads/"
_REF: Final = "refs/"
#: By which a host asks whether anybody is there.
_PINGS: Final = frozenset({"ping", "diagnostics:ping"})
_EVENTS: Final = ("x-github-event", "x-gitea-event", "x-event-key", "x-gitlab-event")
#: What hosts call events of pushes. GitLab's system hooks have their own name.
_PUSHES: Final = frozenset(
    {"push", "repo:push", "repo:refs_changed", "mirror:repo_synchronized", "push hook"}
)


async def post_source_hook(request: ApiRequest) -> ASGIApp:
    """Look at a source at once, as its host tells that something was pushed.

    It needs no login: the host signs it, or shows the secret of the source's hook.
    """
    services = request.state["services"]
    if services.catalog is None:
        raise DatabaseMissing
    body = await read_body(request, services.builds.max_request_bytes)
    number = _number(request)
    secret = await services.catalog.sources.hook_secret(number)
    if not await asyncio.to_thread(_is_signed, request.headers, body, secret):
        raise _refused()
    source = await services.catalog.sources.get(number)
    why_not = await asyncio.to_thread(_why_not, request.headers, body, source)
    if why_not is None:
        await services.catalog.sources.look_now(number)
        message = f"source '{source.name}' is looked at as soon as a server can"
    else:
        message = f"source '{source.name}' is not looked at: {why_not}"
    document: LookDocument = {"looks": why_not is None, "message": message}
    return answer(202, document)


def _number(request: ApiRequest) -> int:
    text = str(request.path_params["id"])
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and not text[0] == "0"):
        raise EndpointUnknown(f"there is no source of the number '{text[:50]}'")
    return int(text)


def _is_signed(headers: RequestHeaders, body: bytes, secret: str | None) -> bool:
    """Tell whether whoever sends a request has the secret; nobody has that of no hook."""
    key = secret or ""
    expected = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    signatures = [headers.get(name, "") for name in _SIGNATURES]
    shown = [headers.get("x-gitlab-token", ""), _bearer(headers)]
    is_signed = [_is_same(text.removeprefix(_PREFIX), expected) for text in signatures]
    is_shown = [_is_same(text, key) for text in shown]
    return secret is not None and (any(is_signed) or any(is_shown))


def _is_same(text: str, expected: str) -> bool:
    return hmac.compare_digest(text.encode("utf-8", "replace"), expected.encode())


def _bearer(headers: RequestHeaders) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _refused() -> Unauthorized:
    return challenge(
        "no hook of a source has this secret: send X-Hub-Signature-256 or X-Gitlab-Token as hosts"
        " of repositories do, or 'Authorization: Bearer' with the secret that the source answered"
        " when its hook was made"
    )


def _why_not(headers: RequestHeaders, body: bytes, source: SourceRecord) -> str | None:
    """Return why what a host tells of is no reason to look at a source; ``None``: it is one."""
    event = next((headers[name].lower() for name in _EVENTS if name in headers), "")
    if event in _PINGS:
        return "this was a test of the hook, which works"
    if event and event not in _PUSHES:
        return f"'{event[:50]}' is no push"
    payload = _payload(headers, body)
    refs = set(_refs(payload))
    wanted = source.branch or _default_branch(payload)
    if not refs or f"{_BRANCH}{wanted}" in refs:
        return None
    if not wanted and any(ref.startswith(_BRANCH) for ref in refs):
        return None
    pushed = ", ".join(sorted(ref.removeprefix(_BRANCH)[:100] for ref in refs)[:5])
    return f"{pushed} was pushed, and it has the branch '{wanted or 'that is its default'}'"


def _payload(headers: RequestHeaders, body: bytes) -> Any:
    """Return what a body says; ``None``: nothing that can be read, as of whoever sends none."""
    try:
        text = body.decode()
        if "x-www-form-urlencoded" in headers.get("content-type", ""):
            text = parse_qs(text, max_num_fields=10).get("payload", [""])[0]
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _refs(payload: Any) -> Iterator[str]:
    """Yield the refs that were pushed, as ``refs/heads/main``."""
    whole = _mapping(payload)
    if isinstance(whole.get("ref"), str):  # GitHub, Gitea, GitLab
        ref = whole["ref"]
        yield ref if ref.startswith(_REF) else f"{_BRANCH}{ref}"
    for one in _list(_mapping(whole.get("resource")).get("refUpdates")):  # Azure DevOps
        ref = _mapping(one).get("name")
        if isinstance(ref, str):
            yield ref
    # Bitbucket: {"push": {"changes": …}} in the cloud, {"changes": …} of a server.
    push = _mapping(whole.get("push"))
    for one in (*_list(push.get("changes")), *_list(whole.get("changes"))):
        change = _mapping(one)
        ref = _mapping(change.get("ref")).get("id") or change.get("refId")
        if isinstance(ref, str):
            yield ref
        for state in (_mapping(change.get("new")), _mapping(change.get("old"))):
            if isinstance(state.get("name"), str) and isinstance(state.get("type"), str):
                kind = _BRANCH if "branch" in state["type"] else "refs/tags/"
                yield f"{kind}{state['name']}"


def _default_branch(payload: Any) -> str:
    """Return a repository's default branch, as its host tells; empty: it does not."""
    whole = _mapping(payload)
    resource = _mapping(whole.get("resource"))
    for place in (whole.get("repository"), whole.get("project"), resource.get("repository")):
        found = _mapping(place)
        branch = found.get("default_branch") or _mapping(found.get("mainbranch")).get("name")
        branch = branch or found.get("defaultBranch")
        if isinstance(branch, str):
            return branch.removeprefix(_BRANCH)
    return ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
