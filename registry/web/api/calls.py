"""From a request to the catalog to its answer: rights, validation, and once if it has a key."""

from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.services import CatalogServices
from registry.catalog.slugs import is_slug
from registry.errors import (
    DatabaseMissing,
    DatabaseUnavailable,
    EnvironmentUnknown,
    NamespaceUnknown,
)
from registry.web.api.authorize import require_further, require_need
from registry.web.api.endpoints import ApiRequest, Call, Endpoint
from registry.web.api.idempotency import key_of, once
from registry.web.api.models import NoBody, parse_body, parse_query
from registry.web.api.parameters import read_body
from registry.web.api.reading import is_reading_by_office, note_reading
from registry.web.api.rights import Rights, rights_of
from registry.web.noting import via_of

#: No document that is sent has more.
_MAX_JSON_BYTES: Final = 64 * 1024
#: One that has files in it is as large as so many of them.
_FILES: Final = 4


async def answer_call(request: ApiRequest, endpoint: Endpoint) -> ASGIApp:
    """Return what an address of the catalog answers.

    Rights come first: who may not see a thing is not told what is wrong with what they sent.

    Raises:
        NamespaceUnknown: The address has what can be no namespace's, or an environment's as
            ``EnvironmentUnknown``: there is nothing, whoever asks.
        Unauthorized: They have to log in.
        DatabaseMissing: There is no catalog here.
        DatabaseUnavailable: The database has not answered since this server started.
        RegistryError: It cannot be answered.
        BuilderError: A file that was sent cannot be read.
    """
    services = request.state["services"]
    if services.catalog is None:
        raise DatabaseMissing
    catalog = services.catalog
    if not catalog.follower.has_loaded:  # of nobody is known what they may: owners were told 404
        raise DatabaseUnavailable
    rights = await rights_of(request, catalog.directory)
    _require_slugs(request, rights)
    require_need(endpoint.need, rights, request.path_params)
    body = b""
    if endpoint.body_kind != "none":
        is_json = endpoint.body_kind == "json" and not endpoint.is_large
        limit = _MAX_JSON_BYTES if is_json else services.builds.max_request_bytes
        if endpoint.is_large:
            limit *= _FILES
        body = await read_body(request, limit)
    call = _call(request, endpoint, catalog, rights, body)
    further = await require_further(endpoint, call)
    if is_reading_by_office(call, endpoint, further):
        note_reading(call)
    key = key_of(request) if request.method == "POST" else None
    if key is None or rights.name is None:
        return await endpoint.handler(call)
    work = partial(endpoint.handler, call)
    keeps = endpoint.keeps_answer
    return await once(
        catalog.idempotency, request, body, rights.name, key, work, keeps_answer=keeps
    )


def _require_slugs(request: ApiRequest, rights: Rights) -> None:
    """Return if the address has what can be names; else nothing is there, whatever one may do."""
    namespace = str(request.path_params.get("namespace", "a"))
    environment = str(request.path_params.get("environment", "a"))
    if is_slug(namespace) and is_slug(environment):
        return
    if rights.access.takes_logins:
        rights.require_login()
    if not is_slug(namespace):
        raise NamespaceUnknown(namespace)
    raise EnvironmentUnknown(namespace, environment)


def _call(
    request: ApiRequest,
    endpoint: Endpoint,
    catalog: CatalogServices,
    rights: Rights,
    body: bytes,
) -> Call[Any, Any]:
    actor = rights.actor(request.scope, via_of(request.scope))
    query = parse_query(endpoint.query, request.query_params.multi_items())
    sent: Any = NoBody()
    if endpoint.body_kind == "json":
        sent = parse_body(endpoint.body, body)
    elif endpoint.body_kind != "none":
        sent = body
    return Call(request, catalog, actor, rights, query, sent)
