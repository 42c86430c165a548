"""What two versions of an environment differ in, and what the step costs a node."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp

from builder.exports.diff import (
    LockDiff,
    Packages,
    base_change,
    diff,
    licence_change,
    package_changes,
    variable_changes,
)
from builder.platforms import Subdir
from registry.catalog.differences import VersionPackages
from registry.errors import BuildUnknown
from registry.images.lock_facts import LockFacts
from registry.web.api.answers import answer
from registry.web.api.documents import diff_document
from registry.web.api.endpoints import Call
from registry.web.api.models import DiffQuery, NoBody, is_on
from registry.web.api.timeouts import in_time

_NOTHING: Packages = {}


async def get_version_diff(call: Call[DiffQuery, NoBody]) -> ASGIApp:
    """Tell how two versions differ, and what a node fetches that goes from one to the other."""
    builds = call.request.state["services"].builds
    numbers = (call.number("a"), call.number("b"))
    a, b = await call.catalog.differences.of(*call.place, *numbers)
    for one in (a, b):
        await builds.locked.blocked.require(one.key)
    fetched = await known_bytes(call, a.key, b.key)
    if fetched is None and not is_on(call.query.quick):
        old, new = await builds.locked.lock(a.key), await builds.locked.lock(b.key)
        fetched = await in_time(
            call.request, partial(builds.forms.fetched_bytes, old, new), what="one of the images"
        )
    return answer(200, diff_document(a.key, b.key, await lock_diff(call, a, b), fetched))


async def lock_diff(call: Call[Any, NoBody], a: VersionPackages, b: VersionPackages) -> LockDiff:
    """Return what differs: by rows where both have them, else by the locks themselves.

    Raises:
        BuildUnknown: The store has lost a lock that has no rows.
    """
    builds = call.request.state["services"].builds
    if not (a.is_known and b.is_known):
        return diff(await builds.locked.lock(a.key), await builds.locked.lock(b.key))
    platforms = cast("list[Subdir]", sorted({*a.packages, *b.packages}))
    both = {
        subdir: (a.packages.get(subdir, _NOTHING), b.packages.get(subdir, _NOTHING))
        for subdir in platforms
    }
    old, new = await _facts(call, a.key), await _facts(call, b.key)
    return LockDiff(
        packages={subdir: package_changes(*some) for subdir, some in both.items()},
        variables=variable_changes(old.variables, new.variables),
        base=base_change(old.base, new.base),
        licences={subdir: licence_change(*some) for subdir, some in both.items()},
    )


async def _facts(call: Call[Any, NoBody], key: str) -> LockFacts:
    """Return what rows do not have of a lock; nothing of one that the store has lost."""
    try:
        return await call.request.state["services"].builds.lock_facts.of(key)
    except BuildUnknown:
        return LockFacts()


async def known_bytes(
    call: Call[Any, NoBody], before: str, after: str
) -> Mapping[Subdir, int] | None:
    """Return what a node fetches; ``None``: one of the images is not known now."""
    layers = call.request.state["services"].builds.layers
    old, new = await layers.of(before), await layers.of(after)
    if not (old and new):
        return None
    return {
        subdir: image.bytes_beyond(old[subdir].digests if subdir in old else frozenset())
        for subdir, image in new.items()
    }
