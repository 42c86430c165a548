"""What ``conda list --export`` writes: exact packages without addresses, so they are solved.

::

    # This file may be used to create an environment using:
    # $ conda create --name <env> --file <this file>
    # platform: linux-64
    numpy=1.26.4=py312heda63a1_0
    requests=2.31.0=pypi_0

The build ``pypi_0`` is conda's word for what pip has installed.
"""

import re
from typing import Final

from builder.errors import InputError
from builder.inputs.allowed import AllowedSources
from builder.inputs.document import Field
from builder.inputs.requirements import (
    MAX_REQUIREMENTS,
    RequestedEnvironment,
    read_pip,
    read_requirements,
)
from builder.spec import EnvironmentSpec

_ENTRY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*=[^=<>!~\s]+=(?:[^=<>!~\s]+|<pip>)")
_PLATFORM = re.compile(r"#\s*platform:\s*([a-z0-9_-]+)")
_FROM_PIP: Final = ("=pypi_0", "=<pip>")


def is_exported(text: str) -> bool:
    """Tell whether each line of ``text`` is a comment, or one package as conda exports it."""
    lines = [line.strip() for line in text.split("\n")]
    entries = [line for line in lines if line and not line.startswith("#")]
    return bool(entries) and all(_ENTRY.fullmatch(entry) for entry in entries)


def read_exported(text: str, allowed: AllowedSources) -> EnvironmentSpec:
    """Return what such a list asks for, of this server's default channels.

    Raises:
        InputError: A line is no package, or the list is for a platform that is not built here.
    """
    packages, pip, platforms = [], [], set()
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip()
        if match := _PLATFORM.fullmatch(entry):
            platforms.add(match[1])
        if not entry or entry.startswith("#"):
            continue
        if entry.endswith(_FROM_PIP):
            name, version, _ = entry.split("=")
            pip.append(Field("text", f"{name}=={version}", line=number))
        else:
            packages.append(Field("text", entry, line=number))
    if len(packages) > MAX_REQUIREMENTS:
        raise InputError(
            f"the list has {len(packages)} packages, and {MAX_REQUIREMENTS} are allowed"
        )
    found = allowed.platforms(sorted(platforms))
    if platforms and not found:
        raise InputError(
            f"it has packages for {', '.join(sorted(platforms))[:100]}, and this server builds for"
            f" {', '.join(allowed.defaults.platforms)}"
        )
    wanted, hashes = read_pip(Field("list", elements=tuple(pip)), allowed)
    requested = RequestedEnvironment(
        read_requirements(packages, allowed), (), found, wanted, hashes
    )
    return requested.spec(allowed, allowed.defaults.base)
