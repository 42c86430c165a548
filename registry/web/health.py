"""What the service says of itself, for machines."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from builder.errors import BuilderError
from registry.auth.rights import Need, Verb
from registry.errors import Denied, RegistryError, TooManyLogins, Unauthorized
from registry.web.access import require
from registry.web.noting import note_refusal
from registry.web.services import AppState, ReadinessCheck
from registry.web.system_errors import machine_trouble

_log = structlog.get_logger("registry.web")

#: A part of the service that takes longer than this to say that it works does not.
_CHECK_SECONDS: Final = 5


async def get_health(_request: Request[AppState]) -> Response:
    """Tell that the event loop runs; a server that does not answer this is to be restarted."""
    return JSONResponse({"alive": True})


async def get_readiness(request: Request[AppState]) -> Response:
    """Tell whether requests should be sent here, and if not, what does not work."""
    checks = request.state["services"].checks
    names = sorted(checks)
    found = await asyncio.gather(*(_why_not(name, checks[name]) for name in names))
    reasons = {name: reason for name, reason in zip(names, found, strict=True) if reason}
    return JSONResponse(
        {"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200
    )


async def get_metrics(request: Request[AppState]) -> Response:
    """Answer what was counted, as Prometheus reads it."""
    services = request.state["services"]
    metrics = services.metrics
    if services.queue is not None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                metrics.queued(*await services.queue())
        except Exception as exc:  # noqa: BLE001 (logged; all other counts are told)
            _log.warning("failed to look at the queue", error=str(exc))
    return PlainTextResponse(metrics.render(), headers={"content-type": metrics.content_type})


Answer = Callable[[Request[AppState]], Awaitable[Response]]


async def _authorized(request: Request[AppState], *, verb: Verb, answer: Answer) -> Response:
    """Answer those who may read it."""
    try:
        await require(request.scope, Need(verb, None))
    except Unauthorized as error:
        # Who reads this knows a password, and no tokens.
        challenge = {"www-authenticate": 'Basic realm="pullforge"'}
        return PlainTextResponse(f"{error.message}\n", 401, challenge)
    except (Denied, TooManyLogins) as error:
        note_refusal(request.scope, error)
        return PlainTextResponse(f"{error.message}\n", 403 if isinstance(error, Denied) else 429)
    return await answer(request)


#: The verb that each address needs, and what answers it; ``None``: it is for everybody, since it
#: tells nothing of what is here.
HEALTH: Final[dict[str, tuple[Verb | None, Answer]]] = {
    "/healthz": (None, get_health),
    "/readyz": (None, get_readiness),
    "/metrics": ("metrics", get_metrics),
}

ROUTES: Final = [
    Route(path, answer if verb is None else partial(_authorized, verb=verb, answer=answer))
    for path, (verb, answer) in HEALTH.items()
]


async def _why_not(name: str, check: ReadinessCheck) -> str | None:
    """Return why a part of the service cannot be used, in words fit for strangers."""
    try:
        with machine_trouble():
            async with asyncio.timeout(_CHECK_SECONDS):
                await check()
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS} s"
    except (BuilderError, RegistryError) as exc:
        return exc.message
    except Exception as exc:  # noqa: BLE001 (a check may fail in any way, and is logged)
        _log.exception("failed readiness check", check=name)
        reason = exc.strerror if isinstance(exc, OSError) else None
        return reason or type(exc).__name__
    return None
