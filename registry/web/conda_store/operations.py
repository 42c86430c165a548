"""What each address of this face takes and answers, for its description.

Source:
    conda-store-server 2025.2.2, ``openapi.json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from registry.web.conda_store import schemas

TEXT: Final[Mapping[str, Any]] = MappingProxyType({"type": "string"})
NUMBER: Final[Mapping[str, Any]] = MappingProxyType({"type": "integer"})
_TEXTS: Final[Mapping[str, Any]] = MappingProxyType({"type": "array", "items": {"type": "string"}})
_STATUS: Final = TypeAdapter(schemas.Status).json_schema()
_ARTIFACT: Final = TypeAdapter(schemas.ArtifactType).json_schema()
_FORMAT: Final = {"type": "string", "enum": ["yaml", "lockfile"]}

#: What can be asked of each list.
_PAGE: Final = {"page": NUMBER, "size": NUMBER, "order": TEXT, "sort_by": _TEXTS}
_PACKAGES: Final = {"search": TEXT, "exact": TEXT, "build": TEXT}
_ENVIRONMENTS: Final = {
    "search": TEXT,
    "namespace": TEXT,
    "name": TEXT,
    "jwt": TEXT,
    "status": _STATUS,
    "packages": _TEXTS,
    "artifact": _ARTIFACT,
}
_BUILDS: Final = {
    "namespace": TEXT,
    "name": TEXT,
    "environment_id": NUMBER,
    "status": _STATUS,
    "packages": _TEXTS,
    "artifact": _ARTIFACT,
}
_OF_BUILD: Final = {"namespace": TEXT, "environment_name": TEXT}
_OF_ENVIRONMENT: Final = {"build_id": NUMBER}


@dataclass(frozen=True, slots=True)
class Operation:
    """What an address takes and answers with one method."""

    summary: str
    #: What ``data`` is in the envelope, a shape by name or any; ``None``: there is none.
    answer: Any = None
    #: Whether ``data`` is a list, with numbers of its pages beside.
    is_list: bool = False
    #: Whether ``data`` is a list, with a cursor of the next page and a count beside.
    has_cursor: bool = False
    #: What is answered instead of an envelope.
    media_type: str = ""
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body: Any = None


def _list(summary: str, answer: Any, query: Mapping[str, Mapping[str, Any]]) -> Operation:
    return Operation(summary, answer, is_list=True, query={**query, **_PAGE})


def _file(
    summary: str, media_type: str, query: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> Operation:
    return Operation(summary, media_type=media_type, query=query)


_ANY: Final = dict[str, Any]
_BUILD: Final = "/api/v1/build/{build_id}"
_ENVIRONMENT: Final = "/api/v1/environment/{namespace}/{environment}"
_NAMESPACE: Final = "/api/v1/namespace/{namespace}"
_LOCK: Final = "Return the lock of a build, as conda-lock reads it."
_LOCK_OF: Final = "Return the lock of an environment's build, as conda-lock reads it."
_YAML: Final = "application/yaml"
_GET_SETTING: Final = Operation("Return what is set, and what holds here.", _ANY)
_PUT_SETTING: Final = Operation("Set something.", _ANY, body=_ANY)

#: All that is answered, by the addresses of the face and their methods.
OPERATIONS: Final[Mapping[str, Mapping[str, Operation]]] = MappingProxyType(
    {
        "/api/v1": {"GET": Operation("Say that the service is there.", schemas.Version)},
        "/api/v1/permission": {
            "GET": Operation("Say what whoever asks may do.", schemas.Permission)
        },
        "/api/v1/usage": {
            "GET": Operation("Say how much each namespace has.", dict[str, dict[str, Any]])
        },
        "/api/v1/token": {
            "POST": Operation(
                "Make a token with some of the rights of whoever asks.",
                schemas.Token,
                body=schemas.TokenWanted,
            )
        },
        "/api/v1/namespace": {"GET": _list("List namespaces.", schemas.Namespace, {})},
        _NAMESPACE: {
            "GET": Operation("Return a namespace.", schemas.Namespace),
            "POST": Operation("Make a namespace."),
            "PUT": Operation(
                "Say what a namespace is for, and who has which role in it.",
                body=schemas.NamespaceChanged,
            ),
            "DELETE": Operation("Delete a namespace."),
        },
        f"{_NAMESPACE}/metadata": {"PUT": Operation("Describe a namespace.", body=_ANY)},
        f"{_NAMESPACE}/roles": {
            "GET": Operation("List roles in a namespace.", list[schemas.OtherRole]),
            "DELETE": Operation("Take away all roles in a namespace."),
        },
        f"{_NAMESPACE}/role": {
            "GET": Operation(
                "Return the role of another namespace.",
                schemas.OtherRole,
                query={"other_namespace": {**TEXT, "x-required": True}},
            ),
            "POST": Operation("Give a role to another namespace.", body=schemas.RoleWanted),
            "PUT": Operation("Change the role of another namespace.", body=schemas.RoleWanted),
            "DELETE": Operation(
                "Take away the role of another namespace.", body=schemas.NamespaceNamed
            ),
        },
        "/api/v1/environment": {
            "GET": _list("List environments.", schemas.Environment, _ENVIRONMENTS)
        },
        "/api/v2/environment": {
            "GET": Operation(
                "List environments, each page by a cursor of the one before.",
                list[schemas.Environment],
                has_cursor=True,
                query={
                    **_ENVIRONMENTS,
                    "limit": NUMBER,
                    "cursor": TEXT,
                    "order": {"type": "string", "enum": ["asc", "desc"]},
                    "sort_by": _TEXTS,
                },
            )
        },
        _ENVIRONMENT: {
            "GET": Operation("Return an environment.", schemas.Environment),
            "PUT": Operation(
                "Make a build the active one, or say what an environment is for.",
                body=schemas.EnvironmentChanged,
            ),
            "DELETE": Operation("Delete an environment."),
        },
        f"{_ENVIRONMENT}/lockfile": {"GET": _file(_LOCK_OF, _YAML, _OF_ENVIRONMENT)},
        f"{_ENVIRONMENT}/conda-lock.yml": {"GET": _file(_LOCK_OF, _YAML, _OF_ENVIRONMENT)},
        f"{_ENVIRONMENT}/conda-lock.yaml": {"GET": _file(_LOCK_OF, _YAML, _OF_ENVIRONMENT)},
        "/api/v1/specification": {
            "GET": _file(
                "Solve what is asked for.",
                "application/json",
                {
                    "channel": _TEXTS,
                    "channels": _TEXTS,
                    "conda": _TEXTS,
                    "pip": _TEXTS,
                    "format": _FORMAT,
                },
            ),
            "POST": Operation(
                "Have something built.", schemas.Submitted, body=schemas.SpecificationSent
            ),
        },
        "/api/v1/build": {"GET": _list("List builds.", schemas.Build, _BUILDS)},
        _BUILD: {
            "GET": Operation("Return a build.", schemas.Build),
            "PUT": Operation("Build the same once more.", schemas.Submitted),
            "DELETE": Operation("Delete a build, with its files."),
        },
        f"{_BUILD}/cancel": {"PUT": Operation("Have a build end.")},
        f"{_BUILD}/packages": {
            "GET": _list("List what a build consists of.", schemas.Package, _PACKAGES)
        },
        f"{_BUILD}/logs": {"GET": _file("Return what a build said.", "text/plain")},
        f"{_BUILD}/yaml": {"GET": _file("Return a build's packages to be installed.", _YAML)},
        f"{_BUILD}/lockfile": {"GET": _file(_LOCK, _YAML, _OF_BUILD)},
        f"{_BUILD}/conda-lock.yml": {"GET": _file(_LOCK, _YAML, _OF_BUILD)},
        f"{_BUILD}/conda-lock.yaml": {"GET": _file(_LOCK, _YAML, _OF_BUILD)},
        f"{_BUILD}/archive": {
            "GET": _file("Return a build as conda-pack packs it.", "application/gzip")
        },
        f"{_BUILD}/docker": {"GET": _file("Return a build's image name.", "text/plain")},
        f"{_BUILD}/installer": {
            "GET": _file("Say that there are no installers.", "application/json")
        },
        "/api/v1/channel": {"GET": _list("List channels.", schemas.Channel, {})},
        "/api/v1/package": {
            "GET": _list(
                "List packages of channels.", schemas.Package, {**_PACKAGES, "distinct_on": _TEXTS}
            )
        },
        "/api/v1/setting": {"GET": _GET_SETTING, "PUT": _PUT_SETTING},
        "/api/v1/setting/{namespace}": {"GET": _GET_SETTING, "PUT": _PUT_SETTING},
        "/api/v1/setting/{namespace}/{environment}": {"GET": _GET_SETTING, "PUT": _PUT_SETTING},
        "/login": {
            "GET": _file("Return the page to log in at.", "text/html", {"next": TEXT}),
            "POST": Operation("Log in.", _ANY, query={"next": TEXT}, body=schemas.Login),
        },
        "/logout": {"POST": Operation("Log out.", query={"next": TEXT})},
        "/oauth_callback": {"GET": _file("Come back from where one logs in.", "text/html")},
        "/metrics": {"GET": _file("Return numbers for boards.", "text/plain")},
        "/celery": {"GET": _file("Say that workers are not shown.", "application/json")},
        "/openapi.json": {"GET": _file("Return this description.", "application/json")},
        "/docs": {"GET": _file("Return a page with all of these.", "text/html")},
    }
)
