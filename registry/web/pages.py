"""What the service says of itself: a page for people, three addresses for machines."""

import asyncio
import html
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from builder.errors import BuilderError
from registry.auth.rights import Need, Verb
from registry.errors import Denied, RegistryError, TooManyLogins, Unauthorized
from registry.web.access import require
from registry.web.address import host_of
from registry.web.services import AppState, ReadinessCheck
from registry.web.system_errors import machine_trouble

_log = structlog.get_logger("registry.web")

#: A part of the service that takes longer than this to say that it works does not.
_CHECK_SECONDS: Final = 5

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pullforge</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto }}
code, pre {{ font-family: ui-monospace, monospace; background: #8881; padding: .1rem .3rem }}
pre {{ padding: .8rem }}
td {{ padding: .2rem 1.2rem .2rem 0; vertical-align: top }}
</style>
<h1>pullforge</h1>
<p>Name the conda packages you want, and pull. The image is built when it is asked for.</p>
<pre>docker run --rm -it {host}/env/python.3.12.numpy.pandas python</pre>
<table>
<tr><td><code>numpy.pandas</code></td>
<td>two packages; <code>numpy/pandas</code> is the same</td></tr>
<tr><td><code>python.3.12</code></td><td>a version: python 3.12.*</td></tr>
<tr><td><code>numpy.ge.1.26.lt.2</code></td>
<td>conditions: <code>ge gt le lt eq ne</code></td></tr>
<tr><td><code>bioconda--samtools</code></td><td>a package of one channel</td></tr>
<tr><td><code>:2026-11-01</code></td>
<td>only what was published up to that day: the same image for ever</td></tr>
<tr><td><code>:py3.12</code>, <code>:cuda12.4</code></td>
<td>the Python, or the CUDA, to build for</td></tr>
<tr><td><code>:bare</code></td><td>the packages alone, without a base image</td></tr>
</table>
<p>Parts of a tag are joined by <code>-</code>:
<code>{host}/env/pytorch:2026-11-01-py3.12-cuda12.4</code></p>
<p>A file gets a key, and its image is the same for ever: <code>{host}/build/KEY</code></p>
<pre>curl --data-binary @environment.yml {host}/api/v1/builds</pre>
</html>
"""


async def get_home(request: Request[AppState]) -> Response:
    """Tell people how to pull, with the name by which they reached this server."""
    host = host_of(request.headers) or "HOST"
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(
        _PAGE.format(host=html.escape(host)),
        headers={"content-security-policy": policy, "x-content-type-options": "nosniff"},
    )


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


Page = Callable[[Request[AppState]], Awaitable[Response]]


async def _authorized(request: Request[AppState], *, verb: Verb, page: Page) -> Response:
    """Answer a page to those who may read it."""
    try:
        await require(request.scope, Need(verb, None))
    except Unauthorized as error:
        # Who reads pages knows a password, and no tokens.
        challenge = {"www-authenticate": 'Basic realm="pullforge"'}
        return PlainTextResponse(f"{error.message}\n", 401, challenge)
    except (Denied, TooManyLogins) as error:
        return PlainTextResponse(f"{error.message}\n", 403 if isinstance(error, Denied) else 429)
    return await page(request)


#: The verb that each page needs, and what answers it; ``None``: it is for everybody, since it tells
#: nothing of what is here.
PAGES: Final[dict[str, tuple[Verb | None, Page]]] = {
    "/": (None, get_home),
    "/healthz": (None, get_health),
    "/readyz": (None, get_readiness),
    "/metrics": ("metrics", get_metrics),
}

ROUTES: Final = [
    Route(path, page if verb is None else partial(_authorized, verb=verb, page=page))
    for path, (verb, page) in PAGES.items()
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
