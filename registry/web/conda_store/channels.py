"""Channels that may be used, with the numbers by which clients know them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from builder.records import without_credentials
from builder.rules.model import NO_RULES
from registry.auth.rights import ALL_BUILDS, ALL_ENVIRONMENTS, Need
from registry.catalog.counted_lists import Counted, Slice
from registry.web.api.solving import rules_of
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.paging import list_answer, numbers_of


async def list_channels(call: Call) -> ASGIApp:
    """List the channels that builds of no namespace in particular may use.

    Raises:
        Unauthorized: Whoever asks has to log in.
        Denied: They may build nothing, and see nothing.
    """
    require_channels(call)
    numbers = channel_numbers(call)
    allowed = call.services.builds.packages.channels(await rules_of(call.request, None))
    urls = sorted({without_credentials(channel.url) for channel in allowed})

    async def read(part: Slice) -> Counted[str]:
        found = urls[::-1] if part.is_descending else urls
        return Counted(found[part.offset : part.offset + part.limit], len(found))

    return await list_answer(
        numbers_of(call, ("name",), ("name",), is_small=True),
        read,
        lambda url: {"id": numbers[url], "name": url, "last_update": None},
    )


def require_channels(call: Call) -> None:
    """Return if whoever asks may know of channels: they see something, or may build.

    Raises:
        Unauthorized: They have to log in.
        Denied: They may not.
    """
    visible, rights = call.visible, call.rights
    if not (visible.is_everything or visible.globs):
        needs = (Need("build", ALL_ENVIRONMENTS), Need("build", ALL_BUILDS))
        rights.access.check(rights.caller, needs)


def channel_numbers(call: Call) -> Mapping[str, int]:
    """Return the numbers of all channels, from 1, by their addresses."""
    channels = call.services.builds.packages.channels(NO_RULES)
    found: dict[str, int] = {}
    for number, channel in enumerate(channels, 1):
        found.setdefault(without_credentials(channel.url), number)
    return found


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/channel": {"GET": list_channels}})
