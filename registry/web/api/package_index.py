"""What may be asked for: channels, packages and their versions, for those who write it down."""

import datetime

from starlette.types import ASGIApp

from builder.errors import ChannelNotAllowed
from builder.records import without_credentials
from builder.spec import Channel
from registry.images.package_index import FoundRelease
from registry.web.api.answers import PRIVATE, VARY
from registry.web.api.catalog_documents import time_text
from registry.web.api.endpoints import ApiRequest
from registry.web.api.models import (
    ChannelsQuery,
    PackageNamesQuery,
    ReleasesQuery,
    parse_query,
)
from registry.web.api.solve_documents import (
    ChannelList,
    PackageNames,
    PackageRelease,
    PackageReleases,
)
from registry.web.api.solving import rules_of
from registry.web.asgi.responses import json_answer


async def get_channels(request: ApiRequest) -> ASGIApp:
    """List the channels that may be used, by priority, and the platforms that there are."""
    query = parse_query(ChannelsQuery, request.query_params.multi_items())
    assert isinstance(query, ChannelsQuery)
    index = request.state["services"].builds.packages
    document: ChannelList = {
        "items": [
            {
                "name": channel.name,
                "url": without_credentials(channel.url),
                "is_default": index.is_default(channel),
            }
            for channel in await _channels(request, query.namespace)
        ],
        "platforms": list(index.platforms),
        "offers_pypi": index.offers_pypi,
    }
    return json_answer(200, document, [PRIVATE, VARY])


async def get_packages(request: ApiRequest) -> ASGIApp:
    """List packages whose names have a text in them: it alone first, then at the beginning."""
    query = parse_query(PackageNamesQuery, request.query_params.multi_items())
    assert isinstance(query, PackageNamesQuery)
    channels = await _channels(request, query.namespace, query.channel)
    index = request.state["services"].builds.packages
    found = await index.search(query.search, channels, query.limit)
    document: PackageNames = {
        "items": [{"name": one.name, "channels": list(one.channels)} for one in found.names],
        "count": found.count,
        "unavailable": list(found.unavailable),
    }
    return json_answer(200, document, [PRIVATE, VARY])


async def get_package_versions(request: ApiRequest) -> ASGIApp:
    """List the versions of a package, by channels in their order, the newest first."""
    query = parse_query(ReleasesQuery, request.query_params.multi_items())
    assert isinstance(query, ReleasesQuery)
    channels = await _channels(request, query.namespace, query.channel)
    name = str(request.path_params["package"]).lower()
    found = await request.state["services"].builds.packages.releases(name, channels, query.limit)
    document: PackageReleases = {
        "name": name,
        "items": [_release(one) for one in found.releases],
        "unavailable": list(found.unavailable),
    }
    return json_answer(200, document, [PRIVATE, VARY])


async def _channels(
    request: ApiRequest, namespace: str | None, name: str | None = None
) -> list[Channel]:
    """Return the channels that may be used, or the one of them that is named.

    Raises:
        ChannelNotAllowed: There is none of that name, or it may not be used.
    """
    index = request.state["services"].builds.packages
    channels = list(index.channels(await rules_of(request, namespace)))
    if name is None:
        return channels
    named = [channel for channel in channels if channel.name == name]
    if not named:
        raise ChannelNotAllowed(name[:100], [channel.name for channel in channels])
    return named


def _release(found: FoundRelease) -> PackageRelease:
    release = found.release
    published_at = None
    if release.published_ms is not None:
        moment = datetime.datetime.fromtimestamp(release.published_ms / 1000, datetime.UTC)
        published_at = time_text(moment)
    return {
        "version": release.version,
        "channel": found.channel,
        "platforms": list(found.platforms),
        "builds": release.builds,
        "published_at": published_at,
        "size_bytes": release.size_bytes,
        "licence": release.licence,
    }
