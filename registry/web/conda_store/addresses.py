"""The addresses of conda-store's wire, each with and without a slash at its end."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError
from registry.errors import (
    DatabaseMissing,
    DatabaseUnavailable,
    ParameterInvalid,
    RegistryError,
    Unauthorized,
)
from registry.web.api.errors import status_of
from registry.web.api_client import Api, ApiProblem
from registry.web.asgi.disconnect import ClientGone
from registry.web.asgi.exact_route import exact_route
from registry.web.conda_store import (
    artifacts,
    builds,
    changing,
    channels,
    environments,
    login,
    metrics,
    namespaces,
    openapi,
    packages,
    permissions,
    reference,
    roles,
    settings,
    solving,
    status,
    submitting,
    tokens,
    usage,
)
from registry.web.conda_store.answers import error_answer, problem_answer
from registry.web.conda_store.bundle import bundle_routes
from registry.web.conda_store.calls import Call, CondaStoreRequest, Handler, Routes
from registry.web.conda_store.face import WITH_SLASH, CrossOrigin, Face, is_for_root
from registry.web.conda_store.identity import identify
from registry.web.noting import note_refusal
from registry.web.observe import ROUTE
from registry.web.statuses import handler_for, lines_for_browsers
from registry.web.system_errors import machine_trouble


def _joined(*tables: Routes) -> Routes:
    """Return all addresses, each with the methods of all that know it."""
    found: dict[str, dict[str, Handler]] = {}
    for table in tables:
        for address, handlers in table.items():
            found.setdefault(address, {}).update(handlers)
    return MappingProxyType(found)


#: Below the face's own path. Of two that fit, the first answers.
ADDRESSES: Final[Routes] = _joined(
    status.ROUTES,
    openapi.ROUTES,
    reference.ROUTES,
    namespaces.ROUTES,
    environments.ROUTES,
    builds.ROUTES,
    channels.ROUTES,
    packages.ROUTES,
    usage.ROUTES,
    login.ROUTES,
    permissions.ROUTES,
    roles.ROUTES,
    tokens.ROUTES,
    submitting.ROUTES,
    changing.ROUTES,
    settings.ROUTES,
    artifacts.ROUTES,
    solving.ROUTES,
    metrics.ROUTES,
)

_MAX_FIELDS: Final = 200
_DEFAULT: Final = Face()


def conda_store_routes(api: ASGIApp, face: Face = _DEFAULT) -> list[Route]:
    """Return the routes; those at the root are to come before others there.

    Args:
        api: What answers ``/api/v1``.
        face: Where they are.
    """
    if face.path is None:
        return []
    routes = [route for address in ADDRESSES for route in _routes(address, face, api)]
    routes += bundle_routes(face)
    if face.is_at_root:
        root = replace(face, path="")
        chosen = [address for address in ADDRESSES if is_for_root(address)]
        routes += [route for address in chosen for route in _routes(address, root, api)]
    return routes


def _routes(address: str, face: Face, api: ASGIApp) -> list[Route]:
    app = CrossOrigin(_Address(address, ADDRESSES[address], api, face), face.origins)
    is_own = face.path == "" and address in WITH_SLASH
    slashes = ("/",) if is_own else ("", "/")
    return [exact_route(f"{face.prefix}{address}{slash}", app) for slash in slashes]


class _Address:
    """What one address answers."""

    def __init__(
        self, address: str, handlers: Mapping[str, Handler], api: ASGIApp, face: Face
    ) -> None:
        self._path = face.prefix + address
        self._face = face
        self._handlers = {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})}
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        scope[ROUTE] = self._path
        request: CondaStoreRequest = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ApiProblem as problem:
            # As below: no challenge.
            answer = problem_answer(problem, 403 if problem.status == 401 else None)
        except (BuilderError, RegistryError) as error:
            note_refusal(scope, error)
            answer = _refusal(error)
        except (ClientGone, ClientDisconnect):
            return
        await answer(scope, receive, send)

    async def _answer(self, request: CondaStoreRequest) -> ASGIApp:
        handler = handler_for(request.method, self._handlers)
        catalog = request.state["services"].catalog
        if catalog is None:
            raise DatabaseMissing
        if not catalog.follower.has_loaded:
            raise DatabaseUnavailable
        rights = await identify(request, catalog, self._face.origins)
        api = Api(self._api, request.scope, rights.caller, "conda-store")
        with machine_trouble():
            return await handler(Call(request, catalog, rights, api, _query(request), self._face))


def _query(request: CondaStoreRequest) -> Mapping[str, tuple[str, ...]]:
    """Return the query; the command line of conda-store appends a slash to the API's last value.

    Raises:
        ParameterInvalid: It has too many fields, or is no text.
    """
    text = request.scope["query_string"].decode("latin-1")
    if request.method in {"GET", "HEAD"} and "/api/" in request.scope["path"]:
        text = text.removesuffix("/").removesuffix("%2F")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as exc:
        raise ParameterInvalid(f"the query has more than {_MAX_FIELDS} fields, or no text") from exc
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in found.items()}


def _refusal(error: BuilderError | RegistryError) -> ASGIApp:
    if isinstance(error, BuilderError):
        return error_answer(status_of(type(error)), error.message)
    # conda-store's clients know no challenge: a browser would ask for a password in a window.
    status = 403 if isinstance(error, Unauthorized) else status_of(type(error))
    return error_answer(status, error.message, lines_for_browsers(error))
