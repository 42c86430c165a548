"""What there is: tags, referrers, repositories."""

import bisect
import json
from typing import Any, Final
from urllib.parse import urlencode

from starlette.types import ASGIApp

from builder.oci.digest import Digest, parse_digest
from builder.oci.models import OCI_INDEX, dump
from registry.content.names import RepositoryName
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.responses import RawHeaders, header, json_answer
from registry.web.distribution.request import REVALIDATE, RegistryRequest, next_page

#: How many names one page has at most; clients follow the link to the next.
MAX_PAGE: Final = 10_000
#: How long a request waits for artifacts that are being made: engines give up after 30 s.
_WAIT_SECONDS: Final = 19


async def list_tags(call: RegistryRequest) -> ASGIApp:
    """Answer the tags of a repository, or ``n`` of them after ``last``.

    Source:
        distribution-spec, "Listing Tags".
    """
    repository, services = call.repository(), call.services
    limit, last = call.limit(MAX_PAGE), call.last()
    if services.pulls.is_generated(repository):
        tags = sorted(await services.pulls.tags(repository))
        rest = tags[bisect.bisect_right(tags, last) :] if last else tags
        page, more = rest[:limit], bool(limit) and len(rest) > limit
    else:
        page, more = await services.repositories.tags(repository, last, limit)
    lines = [REVALIDATE, *_next(f"/v2/{repository}/tags/list", limit, page, more=more)]
    return json_answer(200, {"name": repository, "tags": page}, lines)


async def list_repositories(call: RegistryRequest) -> ASGIApp:
    """Answer the repositories that were pushed to, or ``n`` of them after ``last``.

    Source:
        distribution's API, "Listing Repositories"; the specification has no such thing.
    """
    limit = call.limit(MAX_PAGE)
    page, more = await call.services.repositories.catalog(call.last(), limit)
    lines = [REVALIDATE, *_next("/v2/_catalog", limit, page, more=more)]
    return json_answer(200, {"repositories": page}, lines)


async def list_referrers(call: RegistryRequest) -> ASGIApp:
    """Answer what refers to a manifest. Never 404, as the specification demands.

    Source:
        distribution-spec, "Listing Referrers".
    """
    subject, repository = parse_digest(call.target.reference), call.repository()
    artifact_type, last = call.parameter("artifactType") or "", call.last()
    found, more = await _referrers(call, repository, subject, artifact_type, last)
    lines: RawHeaders = [REVALIDATE]
    if call.parameter("artifactType") is not None:
        lines.append(header("oci-filters-applied", "artifactType"))
    if more:
        kind = {"artifactType": artifact_type} if artifact_type else {}
        query = urlencode({**kind, "last": more})
        lines.append(next_page(f"/v2/{repository}/referrers/{subject}?{query}"))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
    return json_answer(200, index, lines, media_type=OCI_INDEX)


async def _referrers(
    call: RegistryRequest,
    repository: RepositoryName,
    subject: Digest,
    artifact_type: str,
    last: str,
) -> tuple[list[dict[str, Any]], str]:
    """Return a page of descriptors, and what the next one comes after; empty if there is none."""
    if not call.services.pulls.is_generated(repository):
        return await call.services.referrers.page(repository, subject, artifact_type, last)
    work = call.services.pulls.referrers(repository, subject, timeout_seconds=_WAIT_SECONDS)
    made = await cancel_on_disconnect(call.receive, work)
    return [json.loads(dump(one)) for one in made if artifact_type in {"", one.artifact_type}], ""


def _next(path: str, limit: int, page: list[str], *, more: bool) -> RawHeaders:
    """Return the header line that leads to the next page, if there is one."""
    return [next_page(f"{path}?{urlencode({'n': limit, 'last': page[-1]})}")] if more else []
