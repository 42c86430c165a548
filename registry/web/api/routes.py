"""The ASGI application at ``/api/v1``: its addresses, and its errors as JSON.

::

    POST           /builds                    take a request
    GET            /builds/<key>              what is known of a build
    GET            /builds/<key>/log          how it was made
    GET            /builds/<key>/<form>       the same environment as a file
    GET            /builds/<key>/packages/<sha256>   the archive of a package of it
    POST DELETE    /builds/<key>/pin          keep it, or no longer
    GET            /builds/<key>/diff/<key>      how two builds differ
    GET            /requests/<id>             how far a request is
    GET            /requests/<id>/events      what happens to it, while it happens
    GET            /requests/<id>/log         what has happened to it
    POST           /solve                     what it would be, before it is built
    GET            /channels                  what may be asked for
    GET            /packages                  packages by parts of their names
    GET            /packages/<name>/versions  the versions of one
    POST           /hooks/sources/<id>        a host of repositories tells of a push
    GET            /openapi.json              all of this, for programs

and those of named environments (:mod:`registry.web.api.catalog_routes`).
"""

import re
from collections.abc import Mapping
from functools import cache, partial
from typing import Final, get_args

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError
from builder.exports import ExportFormat
from registry.errors import EndpointUnknown, RegistryError
from registry.web.api import exports, handlers, hooks, package_index, solving
from registry.web.api.calls import answer_call
from registry.web.api.catalog_routes import CATALOG
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import (
    ANYONE,
    ApiRequest,
    BuildEndpoint,
    Endpoint,
    NeedNothing,
)
from registry.web.api.errors import FAILURE, error_answer
from registry.web.api.models import ChannelsQuery, PackageNamesQuery, PlaceQuery, ReleasesQuery
from registry.web.api.openapi import openapi_document
from registry.web.api.rights import authorize, authorize_place
from registry.web.api.solve_documents import (
    ChannelList,
    PackageNames,
    PackageReleases,
    SolveDocument,
)
from registry.web.api.source_documents import LookDocument
from registry.web.asgi.boundary import ErrorBoundary
from registry.web.asgi.disconnect import ClientGone
from registry.web.asgi.exact_route import exact_route
from registry.web.asgi.responses import BytesResponse, header, json_answer
from registry.web.noting import note_refusal
from registry.web.observe import ROUTE
from registry.web.statuses import handler_for
from registry.web.system_errors import machine_trouble

_TEXT: Final = "text/plain"
_FILE: Final = "application/octet-stream"
_STREAM: Final = "text/event-stream"
_PLATFORM: Final = {"platform": "another than the first, such as `linux-aarch64`"}
_RENEW: Final = {"renew": "solve again, also if there is a build"}

#: What is about builds. What tells of one, or is one in another form, is for those who may pull it.
_BUILDS: Final[dict[str, dict[str, BuildEndpoint]]] = {
    "/builds": {
        "POST": BuildEndpoint(
            "build", handlers.post_build, _RENEW, body_kind="file", statuses=(200, 201, 202)
        ),
    },
    "/builds/{key}": {"GET": BuildEndpoint("pull", handlers.get_build)},
    "/builds/{key}/log": {"GET": BuildEndpoint("pull", handlers.get_build_log, media_type=_TEXT)},
    "/builds/{key}/pin": {
        "POST": BuildEndpoint("pin", handlers.post_pin),
        "DELETE": BuildEndpoint("pin", handlers.delete_pin),
    },
    "/builds/{key}/sbom": {
        "GET": BuildEndpoint(
            "pull",
            exports.get_sbom,
            {"format": "`spdx` or `cyclonedx`", **_PLATFORM},
            statuses=(200, 307),
        ),
    },
    **{
        f"/builds/{{key}}/{form}": {
            "GET": BuildEndpoint(
                "pull",
                partial(exports.get_form, form=form),
                _PLATFORM,
                statuses=(200, 307),
                media_type="application/json" if form == "installation.json" else _FILE,
            )
        }
        for form in get_args(ExportFormat)
        if not form.startswith("sbom.")
    },
    "/builds/{key}/packages/{sha256}": {
        "GET": BuildEndpoint("pull", exports.get_package, statuses=(200, 307), media_type=_FILE)
    },
    "/builds/{key}/diff/{other}": {
        "GET": BuildEndpoint("pull", handlers.get_diff, statuses=(200, 307))
    },
    "/solve": {
        "POST": BuildEndpoint(
            "build",
            solving.post_solve,
            model=PlaceQuery,
            body_kind="file",
            answer=SolveDocument,
            is_of_namespace=True,
        )
    },
    "/channels": {
        "GET": BuildEndpoint(
            "build",
            package_index.get_channels,
            model=ChannelsQuery,
            answer=ChannelList,
            is_of_namespace=True,
        )
    },
    "/packages": {
        "GET": BuildEndpoint(
            "build",
            package_index.get_packages,
            model=PackageNamesQuery,
            answer=PackageNames,
            is_of_namespace=True,
        )
    },
    "/packages/{package}/versions": {
        "GET": BuildEndpoint(
            "build",
            package_index.get_package_versions,
            model=ReleasesQuery,
            answer=PackageReleases,
            is_of_namespace=True,
        )
    },
    "/hooks/sources/{id}": {
        "POST": BuildEndpoint(
            ANYONE,
            hooks.post_source_hook,
            body_kind="file",
            answer=LookDocument,
            statuses=(202,),
        )
    },
    "/requests/{id}": {"GET": BuildEndpoint("build", handlers.get_request)},
    "/requests/{id}/events": {
        "GET": BuildEndpoint("build", handlers.get_request_events, media_type=_STREAM)
    },
    "/requests/{id}/log": {
        "GET": BuildEndpoint("build", handlers.get_request_log, media_type=_TEXT)
    },
}


async def get_openapi(_request: ApiRequest) -> ASGIApp:
    """Answer this description of all addresses."""
    return _openapi()


@cache
def _openapi() -> BytesResponse:
    return json_answer(200, openapi_document(ADDRESSES), [header("cache-control", "no-cache")])


#: What each method at each address needs and is; HEAD is answered as GET is.
ADDRESSES: Final[dict[str, Mapping[str, Endpoint | BuildEndpoint]]] = {
    **_BUILDS,
    **CATALOG,
    "/openapi.json": {"GET": BuildEndpoint(ANYONE, get_openapi)},
}


def api_route() -> Mount:
    """Return the route of everything below ``/api/v1``."""
    routes = [exact_route(path, _Address(path, methods)) for path, methods in ADDRESSES.items()]
    router = Router(routes, redirect_slashes=False, default=_unknown)
    mount = Mount(PREFIX, ErrorBoundary(router, failure=FAILURE))
    # Addresses with a line break in them are this face's, too: it tells that there is nothing.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


class _Address:
    """What one address answers."""

    def __init__(self, path: str, methods: Mapping[str, Endpoint | BuildEndpoint]) -> None:
        self._template = PREFIX + path
        self._endpoints = {**methods, **({"HEAD": methods["GET"]} if "GET" in methods else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        scope[ROUTE] = self._template
        request: ApiRequest = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except (BuilderError, RegistryError) as error:
            note_refusal(scope, error)
            answer = error_answer(error)
        except (ClientGone, ClientDisconnect):
            return
        await answer(scope, receive, send)

    async def _answer(self, request: ApiRequest) -> ASGIApp:
        endpoint = handler_for(request.method, self._endpoints)
        with machine_trouble():
            if isinstance(endpoint, Endpoint):
                return await answer_call(request, endpoint)
            if endpoint.is_of_namespace and "namespace" in request.query_params:
                await authorize_place(request)
            elif not isinstance(endpoint.need, NeedNothing):
                await authorize(request, endpoint.need)
            return await endpoint.handler(request)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there is nothing at an address."""
    path = scope["path"][:300]
    error = EndpointUnknown(f"there is nothing at {path!r}; docs/api.md lists every address")
    await error_answer(error)(scope, receive, send)
