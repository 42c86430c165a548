"""The shapes of what conda-store's clients send and are told, for the description of this face.

Source:
    conda-store-server 2025.2.2, ``_internal/schema.py`` and the bodies of ``views/api.py``.
"""

from datetime import datetime
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

Status = Literal["QUEUED", "BUILDING", "COMPLETED", "FAILED", "CANCELED"]
#: In the order of their numbers.
ArtifactType = Literal[
    "DIRECTORY",
    "LOCKFILE",
    "LOGS",
    "YAML",
    "CONDA_PACK",
    "DOCKER_MANIFEST",
    "CONSTRUCTOR_INSTALLER",
    "CONTAINER_REGISTRY",
    "DOCKER_BLOB",
]
RoleBindings = dict[str, list[str]]


class Version(TypedDict):
    """Which conda-store it is like."""

    version: str


class RoleMapping(TypedDict):
    """Who has a role in a namespace."""

    id: int
    entity: str
    role: str


class OtherRole(TypedDict):
    """Which namespace's people have a role in another one."""

    id: int
    namespace: str
    other_namespace: str
    role: str


class Namespace(TypedDict):
    """A namespace; lists have its number and its name."""

    id: int
    name: str
    metadata_: NotRequired[dict[str, Any] | None]
    role_mappings: NotRequired[list[RoleMapping]]


class Channel(TypedDict):
    """A channel."""

    id: int
    name: str
    last_update: datetime | None


class Package(TypedDict):
    """A version of a package."""

    id: int
    channel: Channel
    license: str | None
    name: str
    version: str
    summary: str | None


class Artifact(TypedDict):
    """A file of a build."""

    id: int
    artifact_type: ArtifactType
    key: str


class Specification(TypedDict):
    """What was asked for."""

    id: int
    name: str
    spec: dict[str, Any]
    sha256: str
    created_on: datetime


class Build(TypedDict):
    """A build; lists do not say what it is made of."""

    id: int
    environment_id: int
    specification: Specification | None
    packages: list[Package] | None
    status: Status
    status_info: str | None
    size: int
    scheduled_on: datetime
    started_on: datetime | None
    ended_on: datetime | None
    build_artifacts: list[Artifact] | None


class Environment(TypedDict):
    """An environment."""

    id: int
    namespace: Namespace
    name: str
    current_build_id: int
    current_build: NotRequired[Build | None]
    description: str | None


class Permission(TypedDict):
    """What whoever asks may do."""

    authenticated: bool
    primary_namespace: str
    entity_permissions: RoleBindings
    entity_roles: RoleBindings
    expiration: datetime | None


class Token(TypedDict):
    """A token that was made."""

    token: str


class Submitted(TypedDict):
    """The build that begins."""

    build_id: int


class TokenWanted(TypedDict):
    """What a token is to be good for; the command sends ``exp``."""

    primary_namespace: NotRequired[str | None]
    expiration: NotRequired[datetime | None]
    exp: NotRequired[datetime | None]
    role_bindings: NotRequired[RoleBindings | None]


class SpecificationSent(TypedDict):
    """What an environment is to be made of."""

    specification: NotRequired[str]
    namespace: NotRequired[str | None]
    is_lockfile: NotRequired[bool | None]
    environment_name: NotRequired[str | None]
    environment_description: NotRequired[str | None]


class NamespaceChanged(TypedDict):
    """What a namespace is to be."""

    metadata: NotRequired[dict[str, Any]]
    role_mappings: NotRequired[RoleBindings]


class EnvironmentChanged(TypedDict):
    """What is to be active, and what an environment is for."""

    build_id: NotRequired[int]
    description: NotRequired[str]


class NamespaceNamed(TypedDict):
    """Which namespace has no role any longer."""

    other_namespace: str


class RoleWanted(NamespaceNamed):
    """Which role another namespace has."""

    role: str


class Login(TypedDict):
    """Who logs in."""

    username: str
    password: str
