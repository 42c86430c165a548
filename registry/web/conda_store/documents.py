"""What clients are told of namespaces, environments, builds and packages.

Source:
    conda-store-server 2025.2.2, ``_internal/schema.py``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, get_args

from registry.catalog.counted_builds import BuildPackage, FoundBuild, ListedBuild
from registry.catalog.counted_lists import ListedEnvironment, ListedNamespace
from registry.catalog.records import State
from registry.web.conda_store.answers import moment
from registry.web.conda_store.schemas import ArtifactType

Document = dict[str, Any]

#: What a build's status is called, and which states of a version it stands for.
STATUSES: Final[Mapping[str, tuple[State, ...]]] = MappingProxyType(
    {
        "QUEUED": ("queued",),
        "BUILDING": ("building",),
        "COMPLETED": ("built", "unchanged"),
        "FAILED": ("failed",),
        "CANCELED": ("cancelled",),
    }
)
_STATUS_OF: Final = {state: status for status, states in STATUSES.items() for state in states}

#: Files of builds that are there, with where conda-store keeps them.
_OF_ALL: Final = (("LOGS", "logs/{}.log"),)
_OF_COMPLETED: Final = (
    ("LOGS", "logs/{}.log"),
    ("LOCKFILE", "lockfile/{}.yml"),
    ("YAML", "yaml/{}.yml"),
    ("CONDA_PACK", "archive/{}.tar.gz"),
    ("DOCKER_MANIFEST", "docker/manifest/{}"),
)
#: All that one can ask for; of some, no build has any.
ARTIFACTS: Final[tuple[str, ...]] = get_args(ArtifactType)
#: Those that every build has, and those that all have that are completed.
ARTIFACTS_OF_ALL: Final = frozenset(name for name, _ in _OF_ALL)
ARTIFACTS_OF_COMPLETED: Final = frozenset(name for name, _ in _OF_COMPLETED)
#: The numbers of a build's artifacts are so far from those of the next one.
_ARTIFACT_NUMBERS: Final = 16
#: As the channel of wheels is called.
_PYPI: Final = "pypi"


def namespace_document(namespace: ListedNamespace) -> Document:
    """Return a namespace as lists of namespaces have it."""
    return {"id": namespace.id, "name": namespace.name}


def environment_document(environment: ListedEnvironment) -> Document:
    """Return an environment as the second list has it; the first says null of its build beside."""
    return {
        "id": environment.id,
        "namespace": {
            **namespace_document(environment.namespace),
            "metadata_": {},
            "role_mappings": [],
        },
        "name": environment.name,
        "current_build_id": environment.version_id,
        "description": environment.description,
    }


def environment_with_build(environment: ListedEnvironment) -> Document:
    """Return an environment with the field of its build, which lists have without it."""
    return {**environment_document(environment), "current_build": None}


def build_document(build: ListedBuild) -> Document:
    """Return a build as lists have it: what it is made of, and its files, are null."""
    return {
        "id": build.id,
        "environment_id": build.environment_id,
        "specification": None,
        "packages": None,
        "status": status_of_state(build.state),
        "status_info": build.message or None,
        "size": build.size_bytes,
        "scheduled_on": moment(build.created_at),
        "started_on": moment(build.started_at),
        "ended_on": moment(build.ended_at),
        "build_artifacts": None,
    }


def found_build_document(found: FoundBuild, spec: Mapping[str, Any]) -> Document:
    """Return a build with what it was asked for by, and its files.

    Args:
        found: The build.
        spec: What was asked for.
    """
    build, specification = found.build, found.specification
    return {
        **build_document(build),
        "specification": {
            "id": specification.id,
            "name": found.environment,
            # The name under which it is edited, whatever the text says.
            "spec": {**spec, "name": found.environment},
            "sha256": specification.sha256,
            "created_on": moment(specification.created_at),
        },
        "build_artifacts": artifacts_of(build.id, build.state, build.key),
    }


def artifacts_of(build_id: int, state: State, key: str | None) -> Sequence[Document]:
    """Return the files of a build, with numbers that stay."""
    has_all = key is not None and status_of_state(state) == "COMPLETED"
    return [
        {
            "id": build_id * _ARTIFACT_NUMBERS + ARTIFACTS.index(name),
            "artifact_type": name,
            "key": where.format(key or build_id),
        }
        for name, where in (_OF_COMPLETED if has_all else _OF_ALL)
    ]


def status_of_state(state: State) -> str:
    """Return the status of a build.

    >>> status_of_state("built"), status_of_state("cancelled")
    ('COMPLETED', 'CANCELED')
    """
    return _STATUS_OF[state]


def package_document(
    package: BuildPackage, channels: Mapping[str, int], summary: str | None = None
) -> Document:
    """Return a package.

    Args:
        package: What it is.
        channels: Numbers of channels by their addresses.
        summary: What it is for; ``None``: it is not known.
    """
    channel = package.channel or _PYPI
    return {
        "id": _number(package.manager, channel, package.name, package.version),
        "channel": {
            "id": channels.get(channel, _number("channel", channel)),
            "name": channel,
            "last_update": None,
        },
        "license": package.licence,
        "name": package.name,
        "version": package.version,
        "summary": summary,
    }


def _number(*parts: str) -> int:
    """Return 31 bits that stand for what has no row: the same at each time."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
