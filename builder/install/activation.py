"""The files of a package that conda reads when an environment is activated.

Most scripts do no more than set variables: what they set is known without running a shell. For
others see :mod:`builder.activation`.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from builder.install.package_info import PackageInfo
from builder.install.paths import has_control_characters
from builder.layer import PREFIX

_ACTIVATE: Final = re.compile(r"etc/conda/activate\.d/[^/]+\.sh")
_ENV_VARS: Final = re.compile(r"etc/conda/env_vars\.d/[^/]+\.json")
_LINK_SCRIPT: Final = re.compile(r"bin/\.[^/]+-(?:post-link|pre-link|pre-unlink)\.sh")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPORT: Final = re.compile(r"export\s+([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII)
#: Anything that a shell would act upon, apart from quotes.
_ACTIVE: Final = re.compile(r"[$`\\;&|<>(){}*?\[\]~#!]")
_PREFIX_VARIABLE: Final = re.compile(r"\$(?:CONDA_PREFIX(?![A-Za-z0-9_])|\{CONDA_PREFIX\})")
#: What a variable may hold; systems take no more of all of them than some MiB.
MAX_VALUE_BYTES: Final = 32 * 1024
#: A longer script is left to the shell: to read it costs time for every image.
_MAX_EXPORTS_CHARACTERS: Final = 8 * 1024


def is_activation(path: str) -> bool:
    """Tell whether the file at ``path`` of a package has variables, and so must be read."""
    return bool(_ACTIVATE.fullmatch(path) or _ENV_VARS.fullmatch(path))


def is_link_script(path: str) -> bool:
    """Tell whether conda would run the file when the package is linked or unlinked."""
    return _LINK_SCRIPT.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class ActivationScript:
    """A script of ``activate.d``."""

    #: Relative to the prefix.
    path: str
    text: str

    @property
    def exports(self) -> dict[str, str] | None:
        """What it sets, where that can be known without a shell."""
        return parse_exports(self.text)


def read_activation(
    info: PackageInfo, files: Mapping[str, bytes]
) -> tuple[dict[str, str], list[str]]:
    """Return the files of a package that activation reads, and the scripts that nothing runs.

    Args:
        info: Of the package.
        files: Content of every path for which :func:`is_activation` holds, with the build prefix
            replaced.
    """
    texts: dict[str, str] = {}
    skipped: list[str] = []
    for path in sorted(files):
        text = files[path].decode("utf-8", "replace")
        if "\0" in text or (_ENV_VARS.fullmatch(path) and parse_variables(text) is None):
            skipped.append(path)
        else:
            texts[path] = text
    # Scripts for csh, fish or xonsh say the same again; link scripts are never run.
    skipped += [path for path in info.paths if is_link_script(path)]
    return texts, sorted(skipped)


def in_order(files: Mapping[str, str]) -> tuple[dict[str, str], tuple[ActivationScript, ...]]:
    """Return what the JSON files of an environment set, and its scripts in conda's order.

    conda reads the JSON first, and goes by the names of files, whichever packages they are of.

    Args:
        files: Path to text, as :func:`read_activation` returns them.
    """
    variables: dict[str, str] = {}
    for path in sorted(files):
        if _ENV_VARS.fullmatch(path):
            variables.update(parse_variables(files[path]) or {})
    scripts = (path for path in sorted(files) if _ACTIVATE.fullmatch(path))
    return variables, tuple(ActivationScript(path, files[path]) for path in scripts)


def parse_variables(text: str) -> dict[str, str] | None:
    """Return the variables of an ``env_vars.d`` file, or ``None`` if it is not one.

    >>> parse_variables('{"A": "1"}')
    {'A': '1'}
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    for name, value in found.items():
        if not isinstance(value, str) or not _NAME.fullmatch(name):
            return None
        if not is_value(value):
            return None
    return found


def is_value(value: str) -> bool:
    """Tell whether a text can be the value of a variable in an image."""
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return size_bytes <= MAX_VALUE_BYTES and not has_control_characters(value)


@lru_cache(maxsize=1024)
def parse_exports(text: str) -> dict[str, str] | None:
    """Return the variables of a script of plain exports, or ``None`` if it does anything else.

    >>> parse_exports('export GDAL_DATA="$CONDA_PREFIX/share/gdal"')
    {'GDAL_DATA': '/opt/conda/share/gdal'}
    >>> parse_exports('export PATH="$HOME/bin:$PATH"')
    """
    if len(text) > _MAX_EXPORTS_CHARACTERS:
        return None
    variables: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        export = _EXPORT.fullmatch(line)
        value = _plain_value(export[2]) if export else None
        if export is None or value is None:
            return None
        variables[export[1]] = value
    return variables


def _plain_value(text: str) -> str | None:
    """Return what a shell would assign, or ``None`` where that takes a shell."""
    if "'" in text and "$" in text:  # within single quotes nothing is expanded
        return None
    text = _PREFIX_VARIABLE.sub(PREFIX, text)
    if _ACTIVE.search(text):
        return None
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if not words:
        return ""
    return words[0] if len(words) == 1 and is_value(words[0]) else None
