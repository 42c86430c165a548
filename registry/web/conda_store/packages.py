"""Packages of channels, for those who write down what they want.

Names come from the solver's memory, and no version is looked up for them: it is empty. Those of one
package are told when its exact name is asked for, the newest first where the order is ``desc``.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from builder.records import without_credentials
from builder.spec import Channel
from registry.catalog.counted_builds import BuildPackage
from registry.catalog.counted_lists import Counted, Slice
from registry.web.api.solving import rules_of
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.channels import channel_numbers, require_channels
from registry.web.conda_store.documents import package_document
from registry.web.conda_store.paging import is_on, list_answer, numbers_of, text_of

#: So many versions of a package are told of each channel.
_MAX_VERSIONS: Final = 1000


async def list_packages(call: Call) -> ASGIApp:
    """List packages whose names have a text in them, or the versions of one.

    Raises:
        Unauthorized: Whoever asks has to log in.
        Denied: They may build nothing, and see nothing.
    """
    require_channels(call)
    numbers = numbers_of(call, ("channel", "name", "version"))
    search = text_of(call, "search").strip().lower()
    index = call.services.builds.packages
    allowed = index.channels(await rules_of(call.request, None))
    if search and is_on(call, "exact"):
        versions = await _versions(call, search, allowed)
        if not numbers.is_descending:
            versions = versions[::-1]

    async def read(part: Slice) -> Counted[BuildPackage]:
        end = part.offset + part.limit
        if search and is_on(call, "exact"):
            return Counted(versions[part.offset : end], len(versions))
        found = await index.search(search, allowed, end)
        urls = {channel.name: without_credentials(channel.url) for channel in allowed}
        items = [
            BuildPackage("conda", one.name, "", urls[one.channels[0]], None)
            for one in found.names[part.offset : end]
        ]
        return Counted(items, found.count)

    channels = channel_numbers(call)
    return await list_answer(numbers, read, lambda one: package_document(one, channels))


async def _versions(call: Call, name: str, channels: Sequence[Channel]) -> Sequence[BuildPackage]:
    """Return the versions of a package, the newest first; each once if only these are wanted."""
    found = await call.services.builds.packages.releases(name, channels, _MAX_VERSIONS)
    urls = {channel.name: without_credentials(channel.url) for channel in channels}
    versions = [
        BuildPackage(
            "conda", name, one.release.version, urls[one.channel], one.release.licence or None
        )
        for one in found.releases
    ]
    wanted = frozenset(call.query.get("distinct_on", ()))
    if "channel" in wanted or not wanted & {"name", "version"}:
        return versions
    by = {one.version if "version" in wanted else one.name: one for one in reversed(versions)}
    return list(by.values())[::-1]


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/package": {"GET": list_packages}})
