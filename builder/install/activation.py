"""The files of a package that conda reads when an environment is activated.

Most scripts do no more than set variables: what they set is known without running a shell. For
others see :mod:`builder.build.activation`.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from builder.install.package_info import PackageInfo
from builder.install.paths import has_control_characters, is_unicode
from builder.layer import PREFIX

_ACTIVATE: Final = re.compile(r"etc/conda/activate\.d/[^/]+\.sh")
_ENV_VARS: Final = re.compile(r"etc/conda/env_vars\.d/[^/]+\.json")
_LINK_SCRIPT: Final = re.compile(r"bin/\.[^/]+-(?:post-link|pre-link|pre-unlink)\.sh")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: One word, quoted as it may be. No two parts begin alike and none gives back what it took, so the
#: time is that of reading once; within single quotes nothing is expanded.
_EXPORT: Final = re.compile(
    r"export[ \t]++([A-Za-z_][A-Za-z0-9_]*+)=((?:'[^'$]*+'|\"[^\"]*+\"|[^\s'\"]++)*+)", re.ASCII
)
_QUOTED: Final = re.compile(r"'([^']*+)'|\"([^\"]*+)\"")
#: Anything that a shell would act upon, apart from quotes.
_ACTIVE: Final = re.compile(r"[$`\\;&|<>(){}*?\[\]~#!]")
_PREFIX_VARIABLE: Final = re.compile(r"\$(?:CONDA_PREFIX(?![A-Za-z0-9_])|\{CONDA_PREFIX\})")
_MAX_FILE_BYTES: Final = 64 * 1024
_MAX_VALUE_BYTES: Final = 32 * 1024
#: Of one package, and of an environment.
_MAX_FILES: Final = 256
_MAX_BYTES: Final = 1024 * 1024
#: Of all names and values together: a program cannot be started with much more.
MAX_ENV_BYTES: Final = 256 * 1024

#: What a file of activation sets, or the text of a script where only a shell can tell.
ActivationFile = str | Mapping[str, str]


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
    content: ActivationFile

    @property
    def exports(self) -> Mapping[str, str] | None:
        """What it sets, where that is known without a shell."""
        return None if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        """What a shell would read."""
        if isinstance(self.content, str):
            return self.content
        return "".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in self.content.items()
        )


@dataclass(frozen=True, slots=True)
class EnvironmentActivation:
    """What the packages of an environment bring for activation, within its bounds."""

    #: What the JSON files set.
    variables: Mapping[str, str]
    #: In conda's order.
    scripts: tuple[ActivationScript, ...]
    #: Paths of what is beyond the bounds.
    skipped: tuple[str, ...]


class ActivationBounds:
    """How many files of activation, and how many bytes of them, are taken of one whole."""

    def __init__(self) -> None:
        self._files = _MAX_FILES
        self._bytes = _MAX_BYTES

    def take(self, size_bytes: int) -> bool:
        """Count one more file, or tell that it is too much."""
        if size_bytes > min(self._bytes, _MAX_FILE_BYTES) or not self._files:
            return False
        self._files -= 1
        self._bytes -= size_bytes
        return True


def read_activation(
    info: PackageInfo, files: Mapping[str, bytes]
) -> tuple[dict[str, ActivationFile], list[str]]:
    """Return the files of a package that activation reads, and the scripts that nothing runs.

    Args:
        info: Of the package.
        files: Content of every path for which :func:`is_activation` holds, with the build prefix
            replaced.
    """
    found: dict[str, ActivationFile] = {}
    skipped: list[str] = []
    bounds = ActivationBounds()
    for path in sorted(files):
        text = files[path].decode("utf-8", "replace")
        content: ActivationFile | None
        if "\0" in text or not bounds.take(_size_bytes(text)):
            content = None
        elif _ENV_VARS.fullmatch(path):
            content = parse_variables(text)
        else:
            exports = parse_exports(text)
            content = text if exports is None else exports
        if content is None:
            skipped.append(path)
        else:
            found[path] = content
    # Scripts for csh, fish or xonsh say the same again; link scripts are never run.
    skipped += [path for path in info.paths if is_link_script(path)]
    return found, sorted(skipped)


def in_order(files: Mapping[str, ActivationFile]) -> EnvironmentActivation:
    """Return what the JSON files of an environment set, and its scripts in conda's order.

    conda reads the JSON first, and goes by the names of files, whichever packages they are of.

    Args:
        files: Path to content, as :func:`read_activation` returns them.
    """
    variables: dict[str, str] = {}
    scripts: list[ActivationScript] = []
    skipped: list[str] = []
    bounds = ActivationBounds()
    env_bytes = 0
    for path, content in sorted(files.items(), key=lambda pair: (_is_script(pair[0]), pair[0])):
        script = ActivationScript(path, content)
        if not bounds.take(_size_bytes(script.text)):
            skipped.append(path)
        elif _is_script(path):
            scripts.append(script)
        elif (env_bytes := env_bytes + env_size(script.exports or {})) > MAX_ENV_BYTES:
            skipped.append(path)
        else:
            variables.update(script.exports or {})
    return EnvironmentActivation(variables, tuple(scripts), tuple(skipped))


def _is_script(path: str) -> bool:
    return _ACTIVATE.fullmatch(path) is not None


def _size_bytes(text: str) -> int:
    return len(text.encode())


def env_size(variables: Mapping[str, str]) -> int:
    """Return how many bytes variables take in an environment.

    >>> env_size({"A": "1"})
    4
    """
    return sum(_size_bytes(name) + _size_bytes(value) + 2 for name, value in variables.items())


def is_sound(value: str) -> bool:
    r"""Tell whether an image can have ``value`` in its ``Env``: one line of Unicode of 32 KiB.

    >>> is_sound("a\nb")
    False
    """
    if not is_unicode(value) or has_control_characters(value):
        return False
    return _size_bytes(value) <= _MAX_VALUE_BYTES


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
        if not is_sound(value):
            return None
    return found


def parse_exports(text: str) -> dict[str, str] | None:
    """Return the variables of a script of plain exports, or ``None`` if it does anything else.

    >>> parse_exports('export GDAL_DATA="$CONDA_PREFIX/share/gdal"')
    {'GDAL_DATA': '/opt/conda/share/gdal'}
    >>> parse_exports('export PATH="$HOME/bin:$PATH"')
    """
    variables: dict[str, str] = {}
    for line in (line.strip(" \t\r") for line in text.split("\n")):
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
    text = _PREFIX_VARIABLE.sub(PREFIX, text)
    if _ACTIVE.search(text):
        return None
    value = _QUOTED.sub(r"\1\2", text)
    return value if is_sound(value) else None
