"""Settings of the service, of namespaces and of environments.

::

    channels that are allowed, packages that are required or included     policies: the service's
                                                 own "conda-store", or the one of the namespace
    whatever else                                rows, by their keys

So no setting lifts a rule: a namespace's policy only adds to those that hold there anyway. What is
told is what holds, whoever has set it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from starlette.types import ASGIApp

from builder.records import without_credentials
from builder.rules.model import NO_RULES, Rules
from registry.errors import EnvironmentUnknown, NamespaceUnknown, ParameterInvalid
from registry.web.api_client import unless
from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.identity import own_namespace
from registry.web.conda_store.merging import checked, merged
from registry.web.conda_store.names import environment_in, namespace_in, quoted
from registry.web.conda_store.policy_texts import POLICY_KEYS, policy_text
from registry.web.conda_store.sent import storable

#: The policy that settings of the whole service are.
_POLICY: Final = "conda-store"
#: What no policy says.
_NO_POLICY: Final = frozenset({"pypi_required_packages", "pypi_included_packages"})
_MAX_SETTINGS: Final = 64 * 1024
#: Stands for channels where policies leave none: an empty list is all of them.
_NO_CHANNEL: Final = "none"


async def get_settings(call: Call) -> ASGIApp:
    """Tell what is set for the service."""
    call.rights.require_service_role("auditor")
    return await _told(call, None, None)


async def get_namespace_settings(call: Call) -> ASGIApp:
    """Tell what holds in a namespace."""
    namespace = namespace_in(call)
    call.rights.require_role("editor", namespace)
    return await _told(call, namespace, None)


async def get_environment_settings(call: Call) -> ASGIApp:
    """Tell what holds for an environment."""
    namespace, environment = environment_in(call)
    call.rights.require_role("editor", namespace, environment)
    return await _told(call, namespace, environment)


async def put_settings(call: Call) -> ASGIApp:
    """Set something for the service."""
    call.rights.require_service_role("administrator")
    return await _set(call, None, None)


async def put_namespace_settings(call: Call) -> ASGIApp:
    """Set something for a namespace."""
    namespace = namespace_in(call)
    call.rights.require_role("admin", namespace)
    return await _set(call, namespace, None)


async def put_environment_settings(call: Call) -> ASGIApp:
    """Set something for an environment."""
    namespace, environment = environment_in(call)
    call.rights.require_role("admin", namespace, environment)
    return await _set(call, namespace, environment)


async def layers_of(
    call: Call, namespace: str | None, environment: str | None = None
) -> Sequence[Mapping[str, Any]]:
    """Return what was set for the service, a namespace and an environment that may not be there."""
    settings = call.catalog.conda_store_settings
    try:
        return await settings.layers(namespace, environment)
    except (EnvironmentUnknown, NamespaceUnknown):
        return await settings.layers()


async def primary_namespace(call: Call) -> str:
    """Return where whoever asks works, unless they say it."""
    own = own_namespace(call)
    if own is not None:
        return own
    return str(merged(await layers_of(call, None), {})["default_namespace"])


async def metadata(call: Call, namespace: str) -> Mapping[str, Any] | None:
    """Return what was noted of a namespace, by its slug."""
    return await call.catalog.conda_store_settings.metadata(namespace)


async def _told(call: Call, namespace: str | None, environment: str | None) -> ASGIApp:
    layers = await call.catalog.conda_store_settings.layers(namespace, environment)
    rules = call.catalog.book.rules(namespace, environment)
    return answer({**merged(layers, _known(call)), **_of_rules(rules)})


async def _set(call: Call, namespace: str | None, environment: str | None) -> ASGIApp:
    sent = await call.document()
    values = checked(storable(sent, _MAX_SETTINGS), is_global=namespace is None)
    for key in sorted(values.keys() & _NO_POLICY):
        if values[key]:
            raise ParameterInvalid(
                f"'{key}' cannot be kept: no policy requires projects of PyPI. Require conda's"
                " packages of them with 'conda_required_packages'"
            )
    policies = {key: values.pop(key) for key in sorted(values.keys() & POLICY_KEYS)}
    if policies and environment is not None:
        raise ParameterInvalid(
            f"'{next(iter(policies))}' is a policy, which holds in a whole namespace: set it for"
            f" '{namespace}'"
        )
    if "conda_allowed_channels" in policies:
        policies["conda_allowed_channels"] = _names(call, policies["conda_allowed_channels"])
    # What may be refused by what was written before comes first: then nothing is set at all.
    if policies:
        await _set_policy(call, namespace, policies)
    if values or not policies:
        await call.catalog.conda_store_settings.set(
            call.actor, values, namespace=namespace, environment=environment
        )
    return answer(None, f"global setting keys {list(sent)} updated")


async def _set_policy(
    call: Call, namespace: str | None, wanted: Mapping[str, Sequence[str]]
) -> None:
    """Have the service's policy, or that of a namespace, say what is wanted.

    Raises:
        ApiProblem: Whoever asks may not, or somebody else has changed it meanwhile.
    """
    path = (
        quoted("policies", _POLICY)
        if namespace is None
        else quoted("namespaces", namespace, "policy")
    )
    found = await unless(call.api.ask("GET", path), 404)
    before: str | None = None
    if found is not None:
        document = found.document if namespace is None else found.document["own"]
        before = document["text"] if document is not None else None
    text = await asyncio.to_thread(policy_text, before, wanted)
    if text == before:
        return
    lines = {"if-match": found.headers["etag"]} if found is not None else {}
    if text is None:
        await call.api.ask("DELETE", path, headers=lines)
        return
    await call.api.ask("PUT", path, headers=lines, body=text.encode())


def _names(call: Call, channels: Sequence[str]) -> list[str]:
    """Return channels by the names that policies know them by.

    Raises:
        ParameterInvalid: One is an address that is none of this server's.
    """
    offered = call.services.builds.packages.channels(NO_RULES)
    names = {without_credentials(one.url).rstrip("/"): one.name for one in offered}
    for place, text in enumerate(channels):
        if "://" in text and text.rstrip("/") not in names:
            raise ParameterInvalid(
                f"'conda_allowed_channels[{place}]' is the address of no channel of this server,"
                f" which has {', '.join(names.values())}: write one of these"
            )
    return [names.get(text.rstrip("/"), text) for text in channels]


def _known(call: Call) -> Mapping[str, Any]:
    """Return what the service itself knows of what settings say."""
    index = call.services.builds.packages
    channels = index.channels(NO_RULES)
    return {
        "conda_platforms": [*index.platforms, "noarch"],
        "conda_solve_platforms": list(index.platforms),
        "conda_indexed_channels": [one.name for one in channels],
        "conda_default_channels": [one.name for one in channels if index.is_default(one)],
    }


def _of_rules(rules: Rules) -> Mapping[str, Sequence[str]]:
    """Return what policies come to, as settings say it."""
    refusing = [rule for rule in rules.channels if rule.author.mode == "enforce"]
    allowed = [
        name
        for name in (refusing[0].allowed if refusing else ())
        if all(name in rule.allowed for rule in refusing)
    ]
    required = [rule for rule in rules.required if not rule.is_default]
    included = [rule for rule in rules.required if rule.is_default]
    return {
        "conda_allowed_channels": allowed or ([_NO_CHANNEL] if refusing else []),
        "conda_required_packages": list(dict.fromkeys(rule.spec for rule in required)),
        "conda_included_packages": list(dict.fromkeys(rule.spec for rule in included)),
    }


_SETTING: Final = "/api/v1/setting"

ROUTES: Final[Routes] = MappingProxyType(
    {
        _SETTING: {"GET": get_settings, "PUT": put_settings},
        f"{_SETTING}/{{namespace}}": {
            "GET": get_namespace_settings,
            "PUT": put_namespace_settings,
        },
        f"{_SETTING}/{{namespace}}/{{environment}}": {
            "GET": get_environment_settings,
            "PUT": put_environment_settings,
        },
    }
)
