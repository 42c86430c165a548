"""Asking for a build: ``POST /api/v1/specification``.

::

    the environment is there        a version of it
    it is not, its namespace is     the environment, with its first version: both, or neither
    neither is                      the namespace first, where whoever asks may have it

All of it is asked of ``/api/v1``, so that rights, policies and quotas are the same. The environment
is there when this is answered.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from starlette.types import ASGIApp

from registry.catalog.slugs import environment_slug
from registry.errors import NamespaceUnknown, ParameterInvalid
from registry.web.api.specifications import require_readable
from registry.web.api_client import ApiProblem, unless
from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.merging import defaults_of
from registry.web.conda_store.names import environment_path
from registry.web.conda_store.sent import body_of, require_sayable, text_in
from registry.web.conda_store.settings import layers_of, primary_namespace
from registry.web.conda_store.specifications import (
    SentSpecification,
    completed,
    read_lockfile,
    read_specification,
)

P = ParamSpec("P")
Text = TypeVar("Text", str, bytes)
Result = TypeVar("Result")

#: What is no longer is read at once, in milliseconds.
_SMALL: Final = 4 * 1024


async def post_specification(call: Call) -> ASGIApp:
    """Have an environment built from a specification or a lock file."""
    sent = await call.document()
    text = text_in(sent, "specification")
    is_lockfile = sent.get("is_lockfile") or False
    if not isinstance(is_lockfile, bool):
        raise ParameterInvalid("'is_lockfile' is true or false")
    name = text_in(sent, "namespace") or await primary_namespace(call)
    namespace = environment_slug(name)
    if is_lockfile:
        description = text_in(sent, "environment_description") or None
        wanted = await _done(call, text, read_lockfile, _name_in(sent), description)
    else:
        wanted = await _done(call, text, read_specification)
    environment = environment_slug(wanted.name)
    # Here, so that nothing is made beside an environment that is refused.
    require_sayable(wanted.description or "", wanted.name)
    made = await _version(call, namespace, environment, wanted, is_lockfile=is_lockfile)
    if made is None:
        await _make_namespace(call, name, namespace, wanted, is_lockfile=is_lockfile)
        made = await _version(call, namespace, environment, wanted, is_lockfile=is_lockfile)
    if made is None:
        raise NamespaceUnknown(namespace)
    build_id = await call.catalog.build_ids.id_of(namespace, environment, made)
    return answer({"build_id": build_id})


async def _done(
    call: Call,
    text: Text,
    function: Callable[Concatenate[Text, P], Result],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Result:
    """Return what a function makes of what was sent: beside the event loop, unless it is small."""
    if len(text) <= _SMALL:
        return function(text, *args, **kwargs)
    run = call.services.builds.workers.run
    return await run(partial(function, text, *args, **kwargs))


def _name_in(sent: Mapping[str, Any]) -> str:
    name = text_in(sent, "environment_name")
    if not name:
        raise ParameterInvalid(
            "a lock file has no name: send what its environment is called as 'environment_name'"
        )
    return name


async def _version(
    call: Call, namespace: str, environment: str, wanted: SentSpecification, *, is_lockfile: bool
) -> int | None:
    """Return the number of the version that was asked for; ``None``: there is no such namespace.

    Raises:
        ApiProblem: It is refused.
    """
    path = environment_path(namespace, environment)
    known = await unless(call.api.ask("GET", path), 404)
    if known is None:
        try:
            return await _in_new_environment(call, namespace, wanted, is_lockfile=is_lockfile)
        except ApiProblem as problem:
            # Somebody else has made it since.
            known = await unless(call.api.ask("GET", path), 404) if problem.status == 409 else None
            if known is None:
                raise
    data = await _data(call, namespace, environment, wanted, is_lockfile=is_lockfile)
    asked = await call.api.ask("POST", f"{path}/versions", body=data)
    if wanted.description not in {None, known.document["description"]}:
        await call.api.ask("PATCH", path, body=body_of({"description": wanted.description}))
    return int(asked.document["number"])


async def _in_new_environment(
    call: Call, namespace: str, wanted: SentSpecification, *, is_lockfile: bool
) -> int | None:
    """Return the number of the first version of a new environment, as :func:`_version` does."""
    if await unless(call.api.ask("GET", f"/namespaces/{namespace}"), 404) is None:
        return None
    data = await _data(call, namespace, None, wanted, is_lockfile=is_lockfile)
    made = await call.api.ask(
        "POST",
        f"/namespaces/{namespace}/environments",
        query={"name": wanted.name, "description": wanted.description or None},
        body=data,
    )
    return int(made.document["version"]["number"])


async def _make_namespace(
    call: Call, name: str, namespace: str, wanted: SentSpecification, *, is_lockfile: bool
) -> None:
    """Make a namespace, unless the specification that is to be its first cannot be read.

    Raises:
        ApiProblem: It is refused.
        Denied: Whoever asks may not have a namespace of that name, or not see the one there is.
    """
    call.rights.require_new_namespace(namespace)
    await require_readable(
        call.request, await _data(call, None, None, wanted, is_lockfile=is_lockfile)
    )
    try:
        await call.api.ask("POST", "/namespaces", body=body_of({"name": name}))
    except ApiProblem as problem:
        # Somebody else has made it since, unless it is another one of the same address.
        seen = await unless(call.api.ask("GET", f"/namespaces/{namespace}"), 404)
        if problem.status != 409 or seen is None:
            raise


async def _data(
    call: Call,
    namespace: str | None,
    environment: str | None,
    wanted: SentSpecification,
    *,
    is_lockfile: bool,
) -> bytes:
    """Return what the version is asked for by: where it says nothing, settings do."""
    if is_lockfile:
        return wanted.data
    defaults = defaults_of(await layers_of(call, namespace, environment))
    if not defaults:
        return wanted.data
    return await _done(call, wanted.data, completed, defaults)


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/specification": {"POST": post_specification}})
