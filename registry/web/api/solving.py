"""What a specification comes to, before anybody builds it: ``POST /solve``."""

import asyncio
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from packaging.requirements import Requirement as PypiRequirement
from packaging.utils import canonicalize_name
from starlette.types import ASGIApp

from builder.build.plan import Installation
from builder.errors import BuilderError, UnknownPackage
from builder.inputs.places import place_of
from builder.lock import Lock
from builder.platforms import Subdir
from builder.records import without_credentials
from builder.rules.model import Rules
from builder.spec import EnvironmentSpec
from registry.auth.rights import Need
from registry.errors import BuildUnknown
from registry.images.failure import Failure
from registry.policy.dry_run import Attempt
from registry.web.access import allows, for_account
from registry.web.address import host_of
from registry.web.api.answers import PRIVATE, VARY
from registry.web.api.catalog_documents import policy_document
from registry.web.api.endpoints import ApiRequest
from registry.web.api.errors import error_document, failure_status
from registry.web.api.models import PlaceQuery, parse_query
from registry.web.api.parameters import read_body
from registry.web.api.solve_documents import (
    SolvedLayer,
    SolveDocument,
    SolvedPackage,
    SolvedPlatform,
)
from registry.web.api.specifications import require_readable
from registry.web.asgi.responses import BytesResponse, header, json_answer

_SUGGESTED: Final = re.compile(r"; did you mean (.*)\?")
_QUOTED: Final = re.compile(r"'([^']+)'")
_FRESH: Final = header("cache-control", "no-store")


async def post_solve(request: ApiRequest) -> ASGIApp:
    """Tell what a specification comes to today: packages, size, layers, names; nothing is built.

    The body is any file that `POST /api/v1/builds` takes. The rules are those of the namespace that
    is named, or of everybody. What was solved is at hand for a while, for whoever pulls or builds
    it next. What cannot be had is an error with `field` and `line` of the package that it is about,
    and with `suggestions` where a name may be misspelt.
    """
    query = parse_query(PlaceQuery, request.query_params.multi_items())
    assert isinstance(query, PlaceQuery)
    builds = request.state["services"].builds
    data = await read_body(request, builds.max_request_bytes)
    await require_readable(request, data)
    rules = await rules_of(request, query.namespace, query.environment)

    async def attempt() -> Attempt:
        return await builds.dry_run.attempt(await builds.requests.read(data), rules)

    try:
        found = await for_account(request.scope, attempt)
    except BuilderError as error:
        return await asyncio.to_thread(_refused, error, data)
    name = None if query.namespace else await builds.dry_run.name_of(found.asked)
    document = await asyncio.to_thread(_document, found)
    document["is_built"] = await _is_built(request, found.lock.key)
    document["name"] = name
    document["image"] = f"{host_of(request.headers) or 'HOST'}/{name}" if name else None
    return json_answer(200, document, [PRIVATE, VARY])


async def rules_of(
    request: ApiRequest, namespace: str | None, environment: str | None = None
) -> Rules:
    """Return the rules that hold in a namespace, or for what has none."""
    services = request.state["services"]
    if namespace is None or services.catalog is None:
        return await services.builds.judge.everywhere()
    return services.catalog.book.rules(namespace, environment)


def _refused(error: BuilderError, data: bytes) -> BytesResponse:
    """Return an error with the place in the file that it is about."""
    failure = Failure.of(error)
    if failure.line is None and failure.field is None:
        place = place_of(data, failure.message)
        if place is not None:
            failure = replace(failure, field=place[0], line=place[1])
    document: dict[str, Any] = error_document(failure)
    suggestions = _suggestions(error)
    if suggestions:
        document["suggestions"] = suggestions
    return json_answer(failure_status(failure), {"error": document}, [_FRESH])


def _suggestions(error: BuilderError) -> list[str]:
    """Return names that may be meant; of an error of another process, as its sentence has them."""
    if not isinstance(error, UnknownPackage):
        return []
    match = _SUGGESTED.search(error.message)
    return _QUOTED.findall(match[1]) if match else []


async def _is_built(request: ApiRequest, key: str) -> bool:
    """Tell whether there is an image, if they may know of it."""
    if not await allows(request.scope, Need("pull", f"build/{key}")):
        return False
    with suppress(BuildUnknown):
        return bool((await request.state["services"].builds.locked.describe(key)).images)
    return False


def _document(found: Attempt) -> SolveDocument:
    lock = found.lock
    return {
        "key": lock.key,
        "name": None,
        "image": None,
        "is_built": False,
        "base": f"{lock.base.name}@{lock.base.digest}" if lock.base else None,
        "channels": [channel.name for channel in lock.channels],
        "platforms": {subdir: _platform(found, subdir) for subdir in lock.platforms},
        "left_out": dict(lock.left_out),
        "policy": policy_document(found.told),
    }


def _platform(found: Attempt, subdir: Subdir) -> SolvedPlatform:
    lock = found.lock
    wheels = lock.wheels.get(subdir, ())
    layers: list[SolvedLayer] = [
        {
            "size_bytes": sum(package.record.size_bytes for package in plan.packages),
            "packages": [package.record.name for package in plan.packages],
        }
        for plan in Installation.of(lock, subdir).expected()
    ]
    return {
        "packages": len(lock.platforms[subdir]),
        "wheels": len(wheels),
        "size_bytes": lock.archive_bytes(subdir),
        "layers": layers,
        "installed": _installed(found, subdir),
    }


def _installed(found: Attempt, subdir: Subdir) -> list[SolvedPackage]:
    lock, asked = found.lock, found.asked
    of_conda, of_pypi = set[str](), set[str]()
    if isinstance(asked, EnvironmentSpec):
        of_conda = {wanted.name for wanted in asked.requirements}
        of_pypi = {canonicalize_name(PypiRequirement(text).name) for text in asked.pip}
    channels = _channels(lock)
    packages: list[SolvedPackage] = [
        {
            "manager": "conda",
            "name": one.name,
            "version": one.version,
            "build": one.build,
            "channel": channels.get(one.channel_url, one.channel_url),
            "size_bytes": one.size_bytes,
            "is_requested": one.name in of_conda,
        }
        for one in lock.platforms[subdir]
    ]
    wheels: list[SolvedPackage] = [
        {
            "manager": "pypi",
            "name": one.name,
            "version": one.version,
            "build": "",
            "channel": "",
            "size_bytes": one.size_bytes,
            "is_requested": one.name in of_pypi,
        }
        for one in lock.wheels.get(subdir, ())
    ]
    return packages + wheels


def _channels(lock: Lock) -> dict[str, str]:
    """Return the names of channels by their addresses."""
    return {without_credentials(channel.url): channel.name for channel in lock.channels}
