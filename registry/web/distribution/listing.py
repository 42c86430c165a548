"""What there is: tags, referrers, repositories."""

from typing import Final
from urllib.parse import urlencode

from starlette.types import ASGIApp

from builder.keys import segment
from builder.oci.digest import parse_digest
from builder.oci.models import OCI_INDEX
from registry.web.access import is_hidden
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.responses import RawHeaders, header, json_answer
from registry.web.distribution.hiding import ask_strangers_of
from registry.web.distribution.request import REVALIDATE, RegistryRequest, next_page

#: How many names one page has at most; clients follow the link to the next.
MAX_PAGE: Final = 10_000
#: So many names are read at once at least: most may be of others.
_LEAST: Final = 1000
#: How long a request waits for artifacts that are being made: engines give up after 30 s.
_WAIT_SECONDS: Final = 19


async def list_tags(call: RegistryRequest) -> ASGIApp:
    """Answer the tags of a repository, or ``n`` of them after ``last``.

    Source: distribution-spec, "Listing Tags".
    """
    repository = call.repository()
    limit = call.limit(MAX_PAGE)
    page, more = await call.source.tags(repository, call.last(), limit)
    lines = [REVALIDATE, *_next(f"/v2/{repository}/tags/list", limit, page, more=more)]
    return json_answer(200, {"name": repository, "tags": page}, lines)


async def list_repositories(call: RegistryRequest) -> ASGIApp:
    """Answer what was pushed to, and named environments, or ``n`` of them after ``last``.

    Those that the caller may not know of are left out.

    Source: distribution's API, "Listing Repositories"; the specification has no such thing.
    """
    limit = call.limit(MAX_PAGE)
    # One more, to say whether there are more, by names alone that the caller may know of.
    seen, last, more = list[str](), call.last(), limit > 0
    while more and len(seen) <= limit:
        found, more = await _repositories(call, last, max(limit + 1 - len(seen), _LEAST))
        seen += [name for name in found if not await is_hidden(call.scope, name)]
        last = found[-1] if found else last
    page = seen[:limit]
    lines = [REVALIDATE, *_next("/v2/_catalog", limit, page, more=len(seen) > limit)]
    return json_answer(200, {"repositories": page}, lines)


async def list_referrers(call: RegistryRequest) -> ASGIApp:
    """Answer what refers to a manifest. Never 404, as the specification demands.

    Source: distribution-spec, "Listing Referrers".
    """
    subject, repository = parse_digest(call.target.reference), call.repository()
    artifact_type, last = call.parameter("artifactType") or "", call.last()
    work = call.source.referrers(
        repository, subject, artifact_type, last, timeout_seconds=_WAIT_SECONDS
    )
    found, more = await cancel_on_disconnect(call.receive, work)
    if not found:
        await ask_strangers_of(call)
    lines: RawHeaders = [REVALIDATE]
    if call.parameter("artifactType") is not None:
        lines.append(header("oci-filters-applied", "artifactType"))
    if more:
        kind = {"artifactType": artifact_type} if artifact_type else {}
        query = urlencode({**kind, "last": more})
        lines.append(next_page(f"/v2/{repository}/referrers/{subject}?{query}"))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
    return json_answer(200, index, lines, media_type=OCI_INDEX)


async def _repositories(call: RegistryRequest, last: str, limit: int) -> tuple[list[str], bool]:
    """Return up to ``limit`` repositories after ``last``, and whether more follow.

    In the order of both kinds, ``/`` is before all other characters.
    """
    pushed, more = await call.services.repositories.catalog(last, limit)
    named = call.services.sources.environments_after(last, limit + 1)
    found = sorted({*pushed, *named}, key=segment)
    return found[:limit], more or len(found) > limit


def _next(path: str, limit: int, page: list[str], *, more: bool) -> RawHeaders:
    """Return the header line that leads to the next page, if there is one."""
    return [next_page(f"{path}?{urlencode({'n': limit, 'last': page[-1]})}")] if more else []
