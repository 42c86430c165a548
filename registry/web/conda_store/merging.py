"""conda-store's settings: their keys, their types, and what holds where several scopes say one.

An environment's hold before its namespace's, and those before the service's: lists replace each
other. What would be a policy is one (:mod:`registry.web.conda_store.settings`), and only tightens.

Source:
    conda-store-server 2025.2.2, ``_internal/schema.py`` and ``_internal/settings.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from registry.errors import ParameterInvalid
from registry.web.conda_store.documents import ARTIFACTS
from registry.web.conda_store.schemas import ArtifactType
from registry.web.conda_store.specifications import Defaults

_Text = Annotated[str, Field(max_length=1000)]
_Texts = Annotated[list[_Text], Field(max_length=1000)]
_Artifacts = Annotated[list[ArtifactType], Field(max_length=len(ARTIFACTS))]
_Number = Annotated[int, Field(ge=-(2**53), le=2**53)]

_TEXT: Final[TypeAdapter[Any]] = TypeAdapter(_Text)
_TEXTS: Final[TypeAdapter[Any]] = TypeAdapter(_Texts)
_NUMBER: Final[TypeAdapter[Any]] = TypeAdapter(_Number)
_ARTIFACTS: Final[TypeAdapter[Any]] = TypeAdapter(_Artifacts)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key."""

    type: TypeAdapter[Any]
    default: Any
    #: Whether it is the service's alone.
    is_global: bool = False


_OPTIONAL_NUMBER: Final[TypeAdapter[Any]] = TypeAdapter(_Number | None)
_OPTIONAL_TEXT: Final[TypeAdapter[Any]] = TypeAdapter(_Text | None)

SETTINGS: Final[Mapping[str, Setting]] = {
    "default_namespace": Setting(_TEXT, "default", is_global=True),
    "filesystem_namespace": Setting(_TEXT, "filesystem", is_global=True),
    "default_uid": Setting(_OPTIONAL_NUMBER, None, is_global=True),
    "default_gid": Setting(_OPTIONAL_NUMBER, None, is_global=True),
    "default_permissions": Setting(_OPTIONAL_TEXT, None, is_global=True),
    "storage_threshold": Setting(_NUMBER, 5 * 1024**3, is_global=True),
    "conda_command": Setting(_TEXT, "mamba", is_global=True),
    "conda_platforms": Setting(_TEXTS, ["linux-64", "noarch"], is_global=True),
    "conda_max_solve_time": Setting(_NUMBER, 300, is_global=True),
    "conda_indexed_channels": Setting(_TEXTS, [], is_global=True),
    "build_artifacts_kept_on_deletion": Setting(
        _ARTIFACTS, ["LOGS", "LOCKFILE", "YAML"], is_global=True
    ),
    "conda_solve_platforms": Setting(_TEXTS, ["linux-64"]),
    "conda_channel_alias": Setting(_TEXT, "https://conda.anaconda.org"),
    "conda_default_channels": Setting(_TEXTS, []),
    "conda_allowed_channels": Setting(_TEXTS, []),
    "conda_default_packages": Setting(_TEXTS, []),
    "conda_required_packages": Setting(_TEXTS, []),
    "conda_included_packages": Setting(_TEXTS, []),
    "pypi_default_packages": Setting(_TEXTS, []),
    "pypi_required_packages": Setting(_TEXTS, []),
    "pypi_included_packages": Setting(_TEXTS, []),
    "build_artifacts": Setting(_ARTIFACTS, ["LOCKFILE", "YAML", "CONDA_PACK", "DOCKER_MANIFEST"]),
}


def checked(sent: Mapping[str, Any], *, is_global: bool) -> dict[str, Any]:
    """Return settings as they are kept.

    Args:
        sent: By their keys.
        is_global: Whether they are to be the service's.

    Raises:
        ParameterInvalid: There is no such key, it is the service's alone, or its value is of
            another type.
    """
    found = {}
    for key, value in sent.items():
        setting = SETTINGS.get(key)
        if setting is None:
            raise ParameterInvalid(
                f"there is no setting {key[:60]!r}: there are {', '.join(SETTINGS)}"
            )
        if setting.is_global and not is_global:
            raise ParameterInvalid(
                f"'{key}' is a setting of the whole service: an administrator sets it there"
            )
        try:
            found[key] = setting.type.validate_python(value)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            place = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
            raise ParameterInvalid(f"'{key}{place}' cannot be that: {first['msg']}") from exc
    return found


def merged(layers: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds.

    Args:
        layers: What was set: for the service, for a namespace, for an environment.
        known: What the service itself knows, in place of conda-store's defaults.

    >>> merged([{"conda_command": "conda"}, {"conda_command": "x"}], {})["conda_command"]
    'conda'
    """
    found = {key: known.get(key, setting.default) for key, setting in SETTINGS.items()}
    for number, layer in enumerate(layers):
        is_service = number == 0
        found.update(
            (key, value)
            for key, value in layer.items()
            if key in SETTINGS and (is_service or not SETTINGS[key].is_global)
        )
    return found


def defaults_of(layers: Sequence[Mapping[str, Any]]) -> Defaults:
    """Return what stands for what a specification leaves empty."""
    found = merged(layers, {})
    return Defaults(
        found["conda_default_channels"],
        found["conda_default_packages"],
        found["pypi_default_packages"],
    )
