"""An ``environment.yml``, as conda, mamba and conda-lock read it.

``name`` and ``prefix`` say where conda would install it, ``description`` is conda-store's,
``category`` is conda-lock's, and so is ``allow-pypi-requests``, which hardens what never happens
here: all of them mean nothing.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from builder.inputs.allowed import AllowedSources
from builder.inputs.document import Field
from builder.inputs.requirements import (
    MAX_REQUIREMENTS,
    RequestedEnvironment,
    read_channels,
    read_pip,
    read_requirements,
    read_variables,
)
from builder.platforms import Subdir
from builder.spec import EnvironmentSpec

_MEANT: Final = frozenset({"channels", "dependencies", "platforms", "variables"})
_IGNORED: Final = frozenset({"name", "prefix", "description", "category", "allow-pypi-requests"})
_PIP: Final = "pip"
_SELECTOR = re.compile(r"sel\((.*)\)")
#: What micromamba can select, and whether it is true of the platforms that images are for.
_SELECTED: Final = {"unix": True, "linux": True, "osx": False, "win": False}
_NOTHING: Final = Field("nothing")


def read_environment(document: Field, allowed: AllowedSources) -> EnvironmentSpec:
    """Return what an ``environment.yml`` asks for.

    Raises:
        InputError: It is none, or asks for what this server does not offer.
    """
    entries = document.mapping()
    for key, value in entries.items():
        if key not in _MEANT | _IGNORED:
            raise value.error(
                f"'{key[:60]}' is not known here: take it out, and write"
                f" {', '.join(sorted(_MEANT))}"
            )
    wanted = entries["dependencies"].list(MAX_REQUIREMENTS)
    packages = [field for field in wanted if field.kind != "mapping"]
    sections = [entry for field in wanted for entry in field.entries]
    packages += _selected(sections)
    pip, hashes = read_pip(_pip(sections), allowed)
    if not packages and not pip:
        raise entries["dependencies"].error("no package is asked for")
    requested = RequestedEnvironment(
        requirements=read_requirements(packages, allowed),
        channels=read_channels(entries.get("channels", _NOTHING), allowed),
        platforms=_platforms(entries.get("platforms", _NOTHING), allowed),
        pip=pip,
        hashes=hashes,
        variables=read_variables(entries.get("variables", _NOTHING)),
    )
    return requested.spec(allowed, allowed.defaults.base)


def _selected(sections: Sequence[tuple[str, Field]]) -> Iterator[Field]:
    """Yield what is wanted under a condition of micromamba's that holds, e.g. ``sel(linux)``."""
    for key, value in sections:
        if key == _PIP:
            continue
        match = _SELECTOR.fullmatch(key)
        if match is None:
            raise value.error(
                f"'{key[:60]}' is neither 'pip' nor a selector such as 'sel(linux)': write a"
                " package as text, such as 'numpy=1.26'"
            )
        if match[1] not in _SELECTED:
            raise value.error(
                f"'{key[:60]}' is not known here: write sel({'), sel('.join(_SELECTED)})"
            )
        if _SELECTED[match[1]]:
            yield from value.list() if value.kind == "list" else [value]


def _pip(sections: Sequence[tuple[str, Field]]) -> Field:
    found = [value for key, value in sections if key == _PIP]
    if len(found) > 1:
        raise found[1].error("there is a 'pip:' section already: write one with both contents")
    return found[0] if found else _NOTHING


def _platforms(field: Field, allowed: AllowedSources) -> tuple[Subdir, ...]:
    """Return those of the platforms that this server builds for: files name laptops as well."""
    named = [element.text() for element in field.list()]
    found = allowed.platforms(named)
    if named and not found:
        raise field.error(
            f"none of these is a platform this server builds for, which are"
            f" {', '.join(allowed.defaults.platforms)}"
        )
    return found
