"""Files of builds, as ``/api/v1`` has them: nothing is made here, and nothing is kept."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from builder.exports import ExportFormat
from registry.catalog.build_ids import BuildPlace
from registry.errors import EndpointUnknown, NoActiveVersion
from registry.web.api_client import ApiProblem
from registry.web.asgi.responses import BytesResponse, header
from registry.web.conda_store.answers import error_answer, problem_answer
from registry.web.conda_store.calls import Call, Handler, Routes
from registry.web.conda_store.names import (
    environment_in,
    environment_path,
    number_of,
    place_in,
    version_path,
)

_TEXT: Final = (
    header("content-type", "text/plain; charset=utf-8"),
    header("x-content-type-options", "nosniff"),
    header("cache-control", "private, no-store"),
)
#: What clients of conda-store look for in the log of a build.
_CANCELED: Final = "build {} marked as CANCELED due to being canceled from the REST API\n"

#: What ``/api/v1`` says, and what conda-store does: no challenge, and of no build no files.
_STATUSES: Final = MappingProxyType({401: 403, 409: 404})


async def get_form(call: Call, *, form: ExportFormat) -> ASGIApp:
    """Answer a build in a form."""
    return _file(call, version_path(await place_in(call), form))


async def get_environment_lock(call: Call) -> ASGIApp:
    """Answer the lock of an environment: of its active version, or of the build that is named."""
    namespace, environment = environment_in(call)
    path = environment_path(namespace, environment)
    found = (await call.api.ask("GET", path)).document
    number = found["active"] if call.first("build_id") is None else None
    if number is None:
        number = await _number(call, namespace, environment, path)
    return _file(call, environment_path(namespace, environment, "versions", number, "lock"))


async def get_log(call: Call) -> ASGIApp:
    """Answer how a build was made, or what has happened so far."""
    place = await place_in(call)
    log = (await call.api.ask("GET", version_path(place, "log"))).text
    if (await _version(call, place))["state"] == "cancelled":
        log += _CANCELED.format(place.id)
    return BytesResponse(200, [*_TEXT], log.encode())


async def get_image(call: Call) -> ASGIApp:
    """Answer by what the image of a build is pulled, as text and nothing else."""
    place = await place_in(call)
    version = await _version(call, place)
    if version["blocked"]:
        return error_answer(403, version["blocked"])
    if version["image"] is None:
        state = version["state"]
        return error_answer(
            400, f"Build {place.id} doesn't have a docker manifest: it is {state}, and has no image"
        )
    return BytesResponse(200, [*_TEXT], version["image"].encode())


async def get_installer(call: Call) -> ASGIApp:
    """Say that there are no installers."""
    place = await place_in(call)
    return error_answer(
        400,
        f"Build {place.id} doesn't have an installer: none are made here. Take its archive, or its"
        " lockfile with 'conda-lock install'",
    )


async def _version(call: Call, place: BuildPlace) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await call.api.ask("GET", version_path(place))).document
    return found


async def _number(call: Call, namespace: str, environment: str, path: str) -> int:
    """Return the number of the version that is asked for, or else of the newest.

    Raises:
        EndpointUnknown: The environment has no such build.
        NoActiveVersion: It has none at all.
    """
    build_id = call.first("build_id")
    if build_id is None:
        newest = (await call.api.ask("GET", f"{path}/versions", query={"limit": 1})).document
        if not newest["items"]:
            raise NoActiveVersion(f"{namespace}/{environment}")
        return int(newest["items"][0]["number"])
    if build_id.isascii() and build_id.isdecimal() and len(build_id) < 16:
        number = await number_of(call, int(build_id), namespace, environment)
        if number is not None:
            return number
    raise EndpointUnknown(f"'{namespace}/{environment}' has no build {build_id[:50]}")


def _file(call: Call, path: str) -> ASGIApp:
    """Return what passes a file on as it comes: whole, in part, or as an address in S3."""
    answer = call.api.passing(path, _refused, query={"wait": call.first("wait")})
    return partial(_sent_round, answer)


async def _sent_round(answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass an answer on; whoever has to wait is sent to the address that they asked for."""

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 307:
            headers = MutableHeaders(raw=list(message["headers"]))
            path, mark, query = headers["location"].partition("?")
            # Another host has the file; else the last segment is that of the other face.
            if "/" not in path:
                headers["location"] = mark + query
                message = {**message, "headers": headers.raw}
        await send(message)

    await answer(scope, receive, pass_on)


def _refused(problem: ApiProblem) -> ASGIApp:
    return problem_answer(problem, _STATUSES.get(problem.status))


_LOCK: Final[Mapping[str, Handler]] = {"GET": partial(get_form, form="lock")}
_ENVIRONMENT_LOCK: Final[Mapping[str, Handler]] = {"GET": get_environment_lock}

ROUTES: Final[Routes] = MappingProxyType(
    {
        "/api/v1/build/{build_id}/lockfile": _LOCK,
        "/api/v1/build/{build_id}/conda-lock.yml": _LOCK,
        "/api/v1/build/{build_id}/conda-lock.yaml": _LOCK,
        "/api/v1/build/{build_id}/yaml": {"GET": partial(get_form, form="environment.yml")},
        "/api/v1/build/{build_id}/archive": {"GET": partial(get_form, form="archive.tar.gz")},
        "/api/v1/build/{build_id}/logs": {"GET": get_log},
        "/api/v1/build/{build_id}/docker": {"GET": get_image},
        "/api/v1/build/{build_id}/installer": {"GET": get_installer},
        "/api/v1/environment/{namespace}/{environment}/lockfile": _ENVIRONMENT_LOCK,
        "/api/v1/environment/{namespace}/{environment}/conda-lock.yml": _ENVIRONMENT_LOCK,
        "/api/v1/environment/{namespace}/{environment}/conda-lock.yaml": _ENVIRONMENT_LOCK,
    }
)
