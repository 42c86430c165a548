"""Packages that a rule names: by a match spec of conda, or by a requirement of PEP 508.

Conda's versions are compared as rattler compares them, PyPI's as :mod:`packaging` does. A version
that cannot be read meets no condition; where a rule denies, :attr:`PackagePattern.doubtful` says
whether such a version counts nevertheless.
"""

import re
from functools import lru_cache
from typing import Final

import rattler
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from builder.rules.candidate import Judged
from builder.rules.match_spec import parse_match_spec
from builder.rules.model import Manager
from builder.rules.versions import conda_version, pypi_version

#: A name with ``*``, and the rest of a match spec.
_GLOB: Final = re.compile(r"((?:[A-Za-z0-9._-]+::)?)([a-z0-9_.-]*\*[a-z0-9_.*-]*)((?:[ =<>!~].*)?)")
#: Stands for what the ``*`` of a name are while the rest is read.
_NAME: Final = "name"


class PackagePattern:
    """What a rule names.

    Args:
        manager: Who installs what it matches.
        text: A match spec, whose name may have ``*``; with ``pypi`` a requirement.

    Raises:
        ValueError: It is none. The message is a sentence.
    """

    __slots__ = ("_build", "_channel", "_glob", "_specifier", "_version", "manager", "name", "text")

    def __init__(self, text: str, manager: Manager = "conda") -> None:
        self.text = text
        self.manager = manager
        self._version: rattler.VersionSpec | None = None
        self._build: re.Pattern[str] | None = None
        self._channel = ""
        self._specifier: SpecifierSet | None = None
        self._glob: re.Pattern[str] | None = None
        if manager == "pypi":
            self._read_requirement(text)
        else:
            self._read_match_spec(text)

    @property
    def is_glob(self) -> bool:
        """Whether the name has ``*``."""
        return self._glob is not None

    @property
    def channel(self) -> str:
        """The name of the channel that it speaks of; ``""``: of any."""
        return self._channel

    @property
    def is_bare(self) -> bool:
        """Whether it matches every version of what it names."""
        return not (self._version or self._build or self._channel or self._specifier)

    def names(self, name: str) -> bool:
        """Tell whether it is about a package of that normalized name."""
        return name == self.name if self._glob is None else bool(self._glob.fullmatch(name))

    def matches(self, package: Judged, *, doubtful: bool = False) -> bool:
        """Tell whether it matches a package.

        Args:
            package: The package.
            doubtful: What is returned where its version cannot be read.
        """
        if package.manager != self.manager or not self.names(package.name):
            return False
        if self._channel and package.channel != self._channel:
            return False
        if self._build and not self._build.fullmatch(package.build):
            return False
        return self._has_version(package.version, doubtful=doubtful)

    def _has_version(self, text: str, *, doubtful: bool) -> bool:
        if self._version:
            version = conda_version(text)
            return doubtful if version is None else self._version.matches(version)
        if self._specifier:
            parsed = pypi_version(text)
            return doubtful if parsed is None else self._specifier.contains(parsed, True)
        return True

    def _read_match_spec(self, text: str) -> None:
        glob = _GLOB.fullmatch(text.strip())
        wanted = parse_match_spec(f"{glob[1]}{_NAME}{glob[3]}" if glob else text)
        self.name = glob[2] if glob else wanted.name
        if glob:
            self._glob = _compiled(glob[2])
        if wanted.conditions:
            self._version = _version_spec(wanted.conditions, text)
        if wanted.build:
            self._build = _compiled(wanted.build)
        self._channel = wanted.channel

    def _read_requirement(self, text: str) -> None:
        if re.fullmatch(r"[A-Za-z0-9*](?:[A-Za-z0-9._*-]*[A-Za-z0-9*])?", text) and "*" in text:
            self.name = re.sub(r"[-_.]+", "-", text).lower()
            self._glob = _compiled(self.name)
            return
        try:
            wanted = Requirement(text)
        except (InvalidRequirement, RecursionError) as exc:
            raise ValueError(f"{text[:100]!r} is not a requirement such as 'requests>=2'") from exc
        if wanted.url:
            raise ValueError(f"{text[:100]!r} names an address: rules are about projects of PyPI")
        self.name = canonicalize_name(wanted.name)
        self._specifier = wanted.specifier or None


def _version_spec(conditions: str, text: str) -> rattler.VersionSpec:
    try:
        return rattler.VersionSpec(conditions)
    except Exception as exc:  # rattler's exceptions have no base of their own
        raise ValueError(f"{text[:100]!r} has a version that cannot be compared") from exc


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    """Return a pattern with ``*`` as a regular expression that takes no long time."""
    parts = [re.escape(part) for part in re.split(r"\*+", glob)]
    # Lazily and atomically up to the next literal part: no backtracking over several stars.
    if len(parts) == 1:
        return re.compile(parts[0])
    middle = "".join(f"(?>.*?{part})" for part in parts[1:-1])
    return re.compile(f"{parts[0]}{middle}.*{parts[-1]}", re.DOTALL)
