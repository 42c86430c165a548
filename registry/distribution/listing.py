"""What there is: tags, referrers, repositories."""

import bisect
from typing import Any, Final
from urllib.parse import urlencode

from starlette.types import ASGIApp

from builder.oci.digest import parse_digest
from builder.oci.models import OCI_INDEX
from registry.distribution.call import ASK_AGAIN, Call, next_page
from registry.web.answer import HeaderLines, header, json_answer

#: How many names one page has at most; clients follow the link to the next.
MAX_PAGE: Final = 10_000


async def list_tags(call: Call) -> ASGIApp:
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
    lines = [ASK_AGAIN, *_next(f"/v2/{repository}/tags/list", limit, page, more=more)]
    return json_answer(200, {"name": repository, "tags": page}, lines)


async def list_repositories(call: Call) -> ASGIApp:
    """Answer the repositories that were pushed to, or ``n`` of them after ``last``.

    Source:
        distribution's API, "Listing Repositories"; the specification has no such thing.
    """
    limit = call.limit(MAX_PAGE)
    page, more = await call.services.repositories.catalog(call.last(), limit)
    lines = [ASK_AGAIN, *_next("/v2/_catalog", limit, page, more=more)]
    return json_answer(200, {"repositories": page}, lines)


async def list_referrers(call: Call) -> ASGIApp:
    """Answer what refers to a manifest. Never 404, as the specification demands.

    Source:
        distribution-spec, "Listing Referrers".
    """
    subject, repository = parse_digest(call.target.reference), call.repository()
    artifact_type, last = call.parameter("artifactType") or "", call.last()
    found: list[dict[str, Any]] = []
    more = ""
    if not call.services.pulls.is_generated(repository):
        found, more = await call.services.referrers.page(repository, subject, artifact_type, last)
    lines: HeaderLines = [ASK_AGAIN]
    if call.parameter("artifactType") is not None:
        lines.append(header("oci-filters-applied", "artifactType"))
    if more:
        kind = {"artifactType": artifact_type} if artifact_type else {}
        query = urlencode({**kind, "last": more})
        lines.append(next_page(f"/v2/{repository}/referrers/{subject}?{query}"))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
    return json_answer(200, index, lines, media_type=OCI_INDEX)


def _next(path: str, limit: int, page: list[str], *, more: bool) -> HeaderLines:
    """Return the header line that leads to the next page, if there is one."""
    return [next_page(f"{path}?{urlencode({'n': limit, 'last': page[-1]})}")] if more else []
