"""The ASGI application at ``/api/v1``: its addresses, and its errors as JSON.

::

    POST           /builds                    take a request
    GET            /builds/<key>              what is known of a build
    GET            /builds/<key>/log          how it was made
    GET            /builds/<key>/<form>       the same environment as a file
    POST DELETE    /builds/<key>/pin          keep it, or no longer
    GET            /builds/<key>/diff/<key>      how two builds differ
    GET            /requests/<id>             how far a request is
    GET            /requests/<id>/events      what happens to it, while it happens
    GET            /requests/<id>/log         what has happened to it
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, get_args

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError
from builder.exports import ExportFormat
from registry.auth.rights import Verb
from registry.errors import EndpointUnknown, RegistryError, Unsupported
from registry.web.api import exports, handlers
from registry.web.api.documents import PREFIX
from registry.web.api.errors import FAILURE, error_answer
from registry.web.api.rights import authorize
from registry.web.asgi.boundary import ErrorBoundary
from registry.web.asgi.disconnect import ClientGone
from registry.web.observe import ROUTE
from registry.web.system_errors import machine_trouble

Handler = Callable[[handlers.ApiRequest], Awaitable[ASGIApp]]

#: The verb and the handler of each method, by address; HEAD is answered as GET is. What tells of a
#: build, or is one in another form, is for those who may pull it.
ADDRESSES: Final[dict[str, dict[str, tuple[Verb, Handler]]]] = {
    "/builds": {"POST": ("build", handlers.post_build)},
    "/builds/{key}": {"GET": ("pull", handlers.get_build)},
    "/builds/{key}/log": {"GET": ("pull", handlers.get_build_log)},
    "/builds/{key}/pin": {
        "POST": ("pin", handlers.post_pin),
        "DELETE": ("pin", handlers.delete_pin),
    },
    "/builds/{key}/sbom": {"GET": ("pull", exports.get_sbom)},
    **{
        f"/builds/{{key}}/{form}": {"GET": ("pull", partial(exports.get_form, form=form))}
        for form in get_args(ExportFormat)
        if not form.startswith("sbom.")
    },
    "/builds/{key}/diff/{other}": {"GET": ("pull", handlers.get_diff)},
    "/requests/{id}": {"GET": ("build", handlers.get_request)},
    "/requests/{id}/events": {"GET": ("build", handlers.get_request_events)},
    "/requests/{id}/log": {"GET": ("build", handlers.get_request_log)},
}


def api_route() -> Mount:
    """Return the route of everything below ``/api/v1``."""
    routes = [Route(path, _Address(path, methods)) for path, methods in ADDRESSES.items()]
    router = Router(routes, redirect_slashes=False, default=_unknown)
    mount = Mount(PREFIX, ErrorBoundary(router, failure=FAILURE))
    # Addresses with a line break in them are this face's, too: it tells that there is nothing.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


class _Address:
    """What one address answers."""

    def __init__(self, path: str, methods: dict[str, tuple[Verb, Handler]]) -> None:
        self._template = PREFIX + path
        self._handlers = methods | ({"HEAD": methods["GET"]} if "GET" in methods else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        scope[ROUTE] = self._template
        request: handlers.ApiRequest = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except (BuilderError, RegistryError) as error:
            answer = error_answer(error)
        except (ClientGone, ClientDisconnect):
            return
        await answer(scope, receive, send)

    async def _answer(self, request: handlers.ApiRequest) -> ASGIApp:
        if request.method not in self._handlers:
            allowed = sorted(self._handlers)
            raise Unsupported(
                f"{request.method[:20]} is not possible here; {', '.join(allowed)} is", allowed
            )
        verb, handler = self._handlers[request.method]
        with machine_trouble():
            await authorize(request, verb)
            return await handler(request)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there is nothing at an address."""
    path = scope["path"][:300]
    error = EndpointUnknown(f"there is nothing at {path!r}; docs/api.md lists every address")
    await error_answer(error)(scope, receive, send)
