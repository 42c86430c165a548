"""The ASGI application at ``/v2``.

It routes by itself: Starlette's path patterns match names that the protocol does not know, and its
404 and 405 are no OCI errors.
"""

from collections.abc import Mapping
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError
from registry.auth.access import Access
from registry.errors import (
    BlobUnavailable,
    ContentUnavailable,
    GeneratedRepository,
    RegistryError,
    Unsupported,
)
from registry.sources.hidden import HiddenSource
from registry.sources.source import Source
from registry.web.asgi.boundary import ErrorBoundary
from registry.web.asgi.disconnect import ClientGone
from registry.web.asgi.headers import RequestHeaders, headers_of
from registry.web.asgi.waiting import HOP_SECONDS
from registry.web.distribution import api, blobs, listing, manifests, uploads
from registry.web.distribution.authorize import authorize
from registry.web.distribution.errors import FAILURE, error_answer
from registry.web.distribution.hiding import ask_strangers_of, note_unknown
from registry.web.distribution.paths import TEMPLATES, Kind, Target, belongs_here, parse_path
from registry.web.distribution.request import Handler, RegistryRequest
from registry.web.distribution.restoring import restoring_lost_content
from registry.web.distribution.token import give_token
from registry.web.noting import note_refusal
from registry.web.observe import ROUTE
from registry.web.services import services_of
from registry.web.system_errors import machine_trouble


class Distribution:
    """Answers everything below ``/v2``; each error is an OCI error, whatever the address.

    Args:
        redirect_after_seconds: How long a pull waits before it is sent round again.
    """

    def __init__(self, *, redirect_after_seconds: float = HOP_SECONDS) -> None:
        get_manifest = restoring_lost_content(
            partial(manifests.get_manifest, redirect_after_seconds=redirect_after_seconds),
            redirect_after_seconds=redirect_after_seconds,
        )
        #: By what an address leads to and the method; HEAD is answered as GET is, without a body.
        self.handlers: Mapping[tuple[Kind, str], Handler] = {
            ("api", "GET"): api.get_api,
            ("token", "GET"): give_token,
            ("token", "POST"): give_token,
            ("catalog", "GET"): listing.list_repositories,
            ("tags", "GET"): listing.list_tags,
            ("referrers", "GET"): listing.list_referrers,
            ("manifest", "GET"): get_manifest,
            ("manifest", "PUT"): manifests.put_manifest,
            ("manifest", "DELETE"): manifests.delete_manifest,
            ("blob", "GET"): restoring_lost_content(
                blobs.get_blob, redirect_after_seconds=redirect_after_seconds
            ),
            ("blob", "DELETE"): blobs.delete_blob,
            ("uploads", "POST"): uploads.post_upload,
            ("upload", "GET"): uploads.get_upload,
            ("upload", "PATCH"): uploads.patch_upload,
            ("upload", "PUT"): uploads.put_upload,
            ("upload", "DELETE"): uploads.delete_upload,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = headers_of(scope)
        try:
            answer = await self._answer(scope, receive, headers)
        except (BuilderError, RegistryError) as error:
            if error.kind == "denied":
                note_refusal(scope, error, repository=_repository_of(scope["path"]))
            answer = error_answer(error, method=scope["method"], headers=headers)
        except ClientGone:
            return
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, headers: RequestHeaders) -> ASGIApp:
        target = parse_path(scope["path"])
        scope[ROUTE] = TEMPLATES[target.kind]
        services = services_of(scope)
        await services.sources.look(target.name)
        source = services.sources.of(target.name)
        handler = self._handler(target, scope["method"], source, services.access)
        try:
            with machine_trouble():
                if await authorize(scope, target):
                    source = HiddenSource(services.sources.pushed)
                call = RegistryRequest(scope, receive, target, headers, services, source)
                try:
                    return await handler(call)
                except (BuilderError, RegistryError) as error:
                    # Also where nothing was looked up: wrong credentials are verified for what is
                    # private, and whoever waits less for what is not there can tell the two apart.
                    if error.kind in {"invalid", "not_found"}:
                        await ask_strangers_of(call)
                        note_unknown(call)
                    raise
        except BuilderError as exc:
            if not exc.transient:
                raise
            if source.is_writable:
                raise ContentUnavailable(exc.message) from exc
            # The client has the manifest already: it is to come again for the rest.
            if target.kind == "blob":
                raise BlobUnavailable(exc.message) from exc
            raise

    def _handler(self, target: Target, method: str, source: Source, access: Access) -> Handler:
        """Return what answers a method at an address.

        Raises:
            Unsupported: Nothing does.
        """
        handler = self.handlers.get((target.kind, "GET" if method == "HEAD" else method))
        if handler is not None:
            return handler
        # Of an environment nobody is told that its name is one: see hiding.
        namespace = target.name.partition("/")[0]
        if not source.is_writable and not access.entitlements.is_namespace(namespace):
            raise GeneratedRepository(target.name)
        known = [name for kind, name in self.handlers if kind == target.kind]
        allow = sorted({*known, *(["HEAD"] if "GET" in known else [])})
        raise Unsupported(f"this address knows only {', '.join(allow)}", allow)


def _repository_of(path: str) -> str:
    try:
        return parse_path(path).name
    except RegistryError:
        return ""


class DistributionFirst:
    """Routes ``/v2`` itself and names with line breaks too, which a ``Mount`` would not match."""

    def __init__(self, app: ASGIApp, *, face: ASGIApp) -> None:
        self._app = app
        self._face = ErrorBoundary(face, failure=FAILURE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        is_ours = scope["type"] == "http" and belongs_here(scope["path"])
        await (self._face if is_ours else self._app)(scope, receive, send)
