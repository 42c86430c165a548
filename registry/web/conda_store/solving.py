"""``GET /api/v1/specification``: what packages come to today, without a build."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from starlette.types import ASGIApp

from builder.rules.model import NO_RULES
from registry.errors import ParameterInvalid
from registry.web.api_client import ApiProblem
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.responses import header, json_answer
from registry.web.conda_store.calls import Call, Routes

#: conda-store takes both, and answers the same to both.
_FORMATS: Final = frozenset({"yaml", "lockfile"})
#: How long a solve is waited for in all: it goes on, and nothing but this request waits for it.
_WAIT_SECONDS: Final = 240
_FRESH: Final = header("cache-control", "no-store")


async def get_solve(call: Call) -> ASGIApp:
    """Answer the packages that would be installed, in no envelope.

    They are solved by ``POST /api/v1/solve``, as whoever asks: by their rights, the rules that hold
    for everybody, and the bounds of one address or account.
    """
    if (call.first("format") or "yaml") not in _FORMATS:
        raise ParameterInvalid(f"the parameter 'format' is one of {', '.join(sorted(_FORMATS))}")
    body = _specification(
        [*call.query.get("channel", ()), *call.query.get("channels", ())],
        call.query.get("conda", ()),
        call.query.get("pip", ()),
    )
    solved = await cancel_on_disconnect(call.request.receive, _solve(call, body))
    return json_answer(200, {"solve": _packages(solved, _channel_numbers(call))}, [_FRESH])


async def _solve(call: Call, body: bytes) -> Mapping[str, Any]:
    """Return what a specification comes to, as the API tells it."""

    async def ask() -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await call.api.ask("POST", "/solve", body=body)).document
        return found

    return await _patiently(ask)


def _channel_numbers(call: Call) -> Mapping[str, int]:
    """Return the numbers of channels, from 1, by their names."""
    channels = call.services.builds.packages.channels(NO_RULES)
    return {channel.name: number for number, channel in enumerate(channels, 1)}


async def _patiently(ask: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
    """Ask until a solve has ended: clients of conda-store do not come again."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _WAIT_SECONDS
    while True:
        try:
            return await ask()
        except ApiProblem as problem:
            if problem.code != "STILL_SOLVING" or clock() >= deadline:
                raise


def _specification(channels: Sequence[str], conda: Sequence[str], pip: Sequence[str]) -> bytes:
    """Return an environment file; what is in it is quoted, and stays a word each.

    >>> print(_specification(["conda-forge"], ["numpy >=2"], ["torch"]).decode(), end="")
    name: conda-store-solve
    channels:
    - "conda-forge"
    dependencies:
    - "numpy >=2"
    - pip:
      - "torch"
    """
    lines = ["name: conda-store-solve"]
    if channels:
        lines += ["channels:", *(f"- {json.dumps(text)}" for text in channels)]
    lines += ["dependencies:" if conda or pip else "dependencies: []"]
    lines += [f"- {json.dumps(text)}" for text in conda]
    if pip:
        lines += ["- pip:", *(f"  - {json.dumps(text)}" for text in pip)]
    return "".join(f"{line}\n" for line in lines).encode()


def _packages(solved: Mapping[str, Any], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the packages of the first platform, as conda-store's client shows them."""
    for subdir, platform in solved["platforms"].items():
        return [
            {
                "name": one["name"],
                "version": one["version"],
                "build": one["build"],
                # Of PyPI, which is no channel: 0.
                "channel_id": numbers.get(one["channel"], 0),
                "subdir": subdir,
                "size": one["size_bytes"],
            }
            for one in platform["installed"]
        ]
    return []


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/specification": {"GET": get_solve}})
