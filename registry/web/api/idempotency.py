"""A POST that is sent twice with one ``Idempotency-Key`` is carried out once.

What was answered is kept for a day, by whoever sent it. An error is not: the next one tries anew.

Source:
    draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp

from registry.catalog.idempotency import Idempotency, KeptAnswer
from registry.errors import DatabaseUnavailable, KeyBusy, KeyReused, ParameterInvalid
from registry.web.api.answers import answer
from registry.web.api.endpoints import ApiRequest
from registry.web.asgi.responses import BytesResponse, header

HEADER: Final = "idempotency-key"
_KEY: Final = re.compile(r'"?([!#-~]{1,200})"?')


def key_of(request: ApiRequest) -> str | None:
    """Return the key that a request has.

    Raises:
        ParameterInvalid: It cannot be one.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return None
    match = _KEY.fullmatch(text)
    if match is None:
        raise ParameterInvalid("Idempotency-Key has 1 to 200 visible characters, such as a UUID")
    return match[1]


async def once(
    kept: Idempotency,
    request: ApiRequest,
    body: bytes,
    who: str,
    key: str,
    work: Callable[[], Awaitable[ASGIApp]],
    *,
    keeps_answer: bool,
) -> ASGIApp:
    """Return what ``work`` answers, or what it answered when this request was sent before.

    Args:
        kept: What was answered.
        request: The request.
        body: Its body.
        who: Sent it.
        key: Its key.
        work: Carries it out.
        keeps_answer: Whether the answer may be kept: one with a secret in it may not.

    Raises:
        KeyReused: The key was sent with another request.
        KeyBusy: The request is being carried out.
        Exception: Whatever ``work`` raised.
    """
    digest = _digest(request, body)
    before = await kept.begin(who, key, digest)
    if before is not None:
        return _replay(before, digest)
    try:
        found = await work()
    except BaseException:
        with suppress(DatabaseUnavailable):
            await kept.forget(who, key)
        raise
    if isinstance(found, BytesResponse):
        # It is done: that it cannot be kept is no reason to say that it failed.
        with suppress(DatabaseUnavailable):
            await kept.end(who, key, found.status, found.body if keeps_answer else b"")
    return found


def _digest(request: ApiRequest, body: bytes) -> str:
    digest = hashlib.sha256()
    for part in (request.method, request.scope["path"], request.scope["query_string"], body):
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def _replay(before: KeptAnswer, digest: str) -> ASGIApp:
    if before.request_sha256 != digest:
        raise KeyReused("this Idempotency-Key was sent with another request: make a new one")
    if before.status == 0:
        raise KeyBusy("the first request with this Idempotency-Key is under way: wait for it")
    if not before.body:
        raise KeyReused(
            "this was done before, and its answer has a secret that is told once: delete what was"
            " made, and make another"
        )
    return answer(before.status, json.loads(before.body), [header("idempotent-replayed", "true")])
