"""Builds, as whoever asks may see them, and what they consist of."""

import asyncio
import json
from types import MappingProxyType
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.build_ids import unknown_build
from registry.catalog.counted_builds import BuildFilter, FoundBuild
from registry.catalog.counted_lists import Counted, Slice
from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.channels import channel_numbers
from registry.web.conda_store.documents import (
    ARTIFACTS,
    ARTIFACTS_OF_ALL,
    ARTIFACTS_OF_COMPLETED,
    STATUSES,
    build_document,
    found_build_document,
    package_document,
)
from registry.web.conda_store.paging import (
    choice_of,
    is_on,
    list_answer,
    names_of,
    number_of,
    numbers_of,
    slug_in,
    text_of,
)

_ORDERS: Final = ("id", "started_on", "scheduled_on", "ended_on")
_PACKAGE_ORDERS: Final = ("channel", "name")
#: A specification that is larger is put into its document beside the event loop.
_SMALL_BYTES: Final = 64 * 1024


async def list_builds(call: Call) -> ASGIApp:
    """List builds of environments that whoever asks may see."""
    visible, wanted = call.visible, _wanted(call)
    return await list_answer(
        numbers_of(call, _ORDERS, ("id",)),
        lambda part: call.catalog.counted_builds.builds(visible, wanted, part),
        build_document,
    )


async def get_build(call: Call) -> ASGIApp:
    """Tell what a build is, and what it was asked for by.

    Raises:
        EndpointUnknown: There is none that whoever asks may see.
    """
    found = await _found(call)
    specification = found.specification

    async def data() -> bytes:
        return await call.catalog.counted_builds.specification(specification.id)

    spec = await call.services.builds.written.of(specification.sha256, data)

    def answered() -> ASGIApp:
        return answer(found_build_document(found, json.loads(spec)))

    return answered() if len(spec) <= _SMALL_BYTES else await asyncio.to_thread(answered)


async def list_build_packages(call: Call) -> ASGIApp:
    """List the packages of a build; nothing, until it is there.

    Raises:
        EndpointUnknown: There is no build that whoever asks may see.
        BuildBlocked: An administrator keeps it from everybody.
    """
    numbers = numbers_of(call, _PACKAGE_ORDERS, _PACKAGE_ORDERS, is_small=True)
    key = (await _found(call)).build.key
    channels = channel_numbers(call)
    if key is not None:
        await call.services.builds.locked.blocked.require(key)

    async def read(part: Slice) -> Counted[Any]:
        if key is None:
            return Counted([], 0)
        return await call.catalog.counted_builds.packages(
            key,
            part,
            search=text_of(call, "search"),
            is_exact=is_on(call, "exact"),
            build=text_of(call, "build"),
        )

    return await list_answer(numbers, read, lambda one: package_document(one, channels))


async def _found(call: Call) -> FoundBuild:
    number = call.number("build_id")
    found = await call.catalog.counted_builds.build(call.visible, number)
    if found is None:
        raise unknown_build(number)
    return found


def _wanted(call: Call) -> BuildFilter:
    status = choice_of(call, "status", STATUSES)
    artifact = choice_of(call, "artifact", ARTIFACTS)
    has_none = artifact is not None and artifact not in ARTIFACTS_OF_COMPLETED
    return BuildFilter(
        () if has_none else STATUSES[status] if status is not None else None,
        artifact is not None and artifact not in ARTIFACTS_OF_ALL,
        number_of(call, "environment_id", 0),
        slug_in(call, "namespace"),
        slug_in(call, "name"),
        names_of(call, "packages"),
    )


ROUTES: Final[Routes] = MappingProxyType(
    {
        "/api/v1/build": {"GET": list_builds},
        "/api/v1/build/{build_id}": {"GET": get_build},
        "/api/v1/build/{build_id}/packages": {"GET": list_build_packages},
    }
)
