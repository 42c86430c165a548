"""Reading what was scanned with the names that the channels know.

A run such as ``ruamel.yaml.numpy.ge.1.26`` is read left to right. At each place the longest
``.``-joined name that a channel knows is taken (``ruamel.yaml``, not ``ruamel``), then the
conditions that follow it. A name has at most 255 characters, so this is quick whatever it is.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from builder.errors import MalformedName, UnknownPackage
from builder.image_name.suggest import suggest, suggest_joined
from builder.image_name.tag import TagParts
from builder.image_name.tokens import OPERATORS, PYPI, is_numeric, is_suffix, is_version, quote
from builder.policy import EnvironmentPolicy
from builder.pypi.requirement import canonical_requirement, canonical_requirements
from builder.spec import (
    Channel,
    Constraint,
    EnvironmentSpec,
    Requirement,
    VirtualPackage,
    merge_requirements,
)

#: Channel name to the names of all its packages.
KnownNames = Mapping[str, AbstractSet[str]]

#: How many packages one name may ask for.
MAX_ITEMS: Final = 100

#: How many tokens a misspelt package name is looked for in.
_MOST_DOTS: Final = 3

_RELEASE: Final = re.compile(r"(?:[0-9]+!)?[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a run, whose first item comes from ``channel``; no token of it names another."""

    #: ``""`` for any of the default channels, :data:`PYPI` for PyPI.
    channel: str
    #: Decoded.
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScannedName:
    """A name of which nothing is wrong as far as can be told without package names."""

    segments: tuple[Segment, ...]
    tag: TagParts
    defaults: EnvironmentPolicy
    #: The channels whose package names :meth:`resolve` needs, by priority.
    channels: tuple[Channel, ...]

    def resolve(self, known: KnownNames, *, suggests: bool = True) -> EnvironmentSpec:
        """Return what the name asks for, in canonical form.

        Args:
            known: The package names of each of :attr:`channels`; a channel that is missing
                counts as empty.
            suggests: Whether the error of an unknown package says what may be meant: to find that
                takes the longer, the more names are known. All else does not.

        Raises:
            MalformedName: An operator without version, a version without package, or too much.
            UnknownPackage: No channel has a package of that name.
        """
        reader = _Reader(self, known, suggests=suggests)
        wanted = [item for segment in self.segments for item in reader.read(segment)]
        if len(wanted) > MAX_ITEMS:
            raise MalformedName(f"the name has {len(wanted)} items, and {MAX_ITEMS} are allowed")
        if self.tag.python:
            reader.require("python")
            wanted.append(Requirement("python", (Constraint("=", self.tag.python),)))
        defaults = self.defaults
        virtual = {(p.name, p.platform or ""): p for p in defaults.virtual_packages}
        if self.tag.cuda:
            virtual["__cuda", ""] = VirtualPackage("__cuda", self.tag.cuda)
        if self.tag.microarchitecture:
            virtual["__archspec", "linux-64"] = VirtualPackage(
                "__archspec", "1", self.tag.microarchitecture, "linux-64"
            )
        return EnvironmentSpec(
            requirements=merge_requirements(
                [*(w for w in wanted if w.channel != PYPI), *defaults.builtin]
            ),
            channels=self.channels,
            platforms=tuple(sorted(set(defaults.platforms))),
            virtual_packages=tuple(virtual[name] for name in sorted(virtual)),
            until=self.tag.until,
            base=None if self.tag.bare else defaults.base,
            user=self.tag.user or defaults.user,
            pip=canonical_requirements(_as_pip(w) for w in wanted if w.channel == PYPI),
        )


def _as_pip(wanted: Requirement) -> str:
    """Return the requirement that an item of PyPI stands for.

    Raises:
        MalformedName: A version is conda's and not PyPI's.
    """
    conditions = []
    for constraint in wanted.constraints:
        operator, version = constraint.operator, constraint.version
        if operator == "=":
            # Only the numbers of a version can be the beginning of others.
            operator, version = "==", version + (".*" if _RELEASE.fullmatch(version) else "")
        conditions.append(f"{operator}{version}")
    try:
        return canonical_requirement(wanted.name + ",".join(conditions))
    except ValueError as exc:
        raise MalformedName(
            f"{quote(','.join(conditions))} is no condition on the versions of"
            f" {quote(wanted.name)}, which are numbered as PEP 440 says"
        ) from exc


class _Reader:
    """Reads segments with the known names of one request."""

    def __init__(self, name: ScannedName, known: KnownNames, *, suggests: bool) -> None:
        self._subdir = " or ".join(sorted(set(name.defaults.platforms)))
        self._default_channels = [channel.name for channel in name.defaults.needed(frozenset())]
        self._known = known
        self._suggests = suggests

    def require(self, package: str, channel: str = "") -> None:
        """Raise UnknownPackage unless the channels have ``package``."""
        if not self._is_known(package, channel):
            raise self._unknown((package,), channel)

    def read(self, segment: Segment) -> list[Requirement]:
        """Return the items of a segment, in the order in which they are written."""
        found = []
        tokens, channel, position = segment.tokens, segment.channel, 0
        while position < len(tokens):
            stop = self._package_end(tokens, position, channel)
            package = ".".join(tokens[position:stop])
            constraints, position = self._read_conditions(tokens, stop)
            found.append(Requirement(package, tuple(sorted(set(constraints))), channel))
            channel = ""
        return found

    def _package_end(self, tokens: tuple[str, ...], start: int, channel: str) -> int:
        """Return where the longest known name that starts at ``start`` ends."""
        if channel == PYPI:
            return start + 1
        for stop in range(len(tokens), start, -1):
            if self._is_known(".".join(tokens[start:stop]), channel):
                return stop
        here = tokens[start]
        if here in OPERATORS and (start > 0 or is_numeric("".join(tokens[1:2]))):
            raise MalformedName(
                f"'{here}' stands between a package and a version, as in 'numpy.{here}.1.26'"
            )
        if is_numeric(here):
            raise MalformedName(
                f"{quote('.'.join(tokens[start:]))} is no package: a version follows its package "
                f"after a '.', as in 'python.3.12'"
            )
        raise self._unknown(tokens[start:], channel)

    def _read_conditions(
        self, tokens: tuple[str, ...], position: int
    ) -> tuple[list[Constraint], int]:
        constraints = []
        while position < len(tokens):
            if is_numeric(tokens[position]):
                version, position = self._read_version(tokens, position)
                constraints.append(Constraint("=", version))
            elif tokens[position] in OPERATORS and is_numeric("".join(tokens[position + 1 :][:1])):
                operator = OPERATORS[tokens[position]]
                version, position = self._read_version(tokens, position + 1)
                constraints.append(Constraint(operator, version))
            else:
                break
        return constraints, position

    def _read_version(self, tokens: tuple[str, ...], start: int) -> tuple[str, int]:
        stop = start + 1
        while stop < len(tokens) and (
            is_numeric(tokens[stop])
            or (is_suffix(tokens[stop]) and not self._begins_package(tokens, stop))
        ):
            stop += 1
        version = ".".join(tokens[start:stop])
        if not is_version(version):
            raise MalformedName(
                f"{quote(version)} is not a version; a package whose name starts with a digit is "
                f"written after a '/'"
            )
        return version, stop

    def _begins_package(self, tokens: tuple[str, ...], start: int) -> bool:
        return any(
            self._is_known(".".join(tokens[start:stop]), "")
            for stop in range(start + 1, len(tokens) + 1)
        )

    def _is_known(self, package: str, channel: str) -> bool:
        return any(package in self._known.get(name, ()) for name in self._names(channel))

    def _names(self, channel: str) -> list[str]:
        return [channel] if channel else self._default_channels

    def _unknown(self, tokens: tuple[str, ...], channel: str) -> UnknownPackage:
        names = self._names(channel)
        if not self._suggests:
            return UnknownPackage(tokens[0], names, self._subdir)
        known: frozenset[str] = frozenset().union(*(self._known.get(name, ()) for name in names))
        package, suggestions = suggest_joined(tokens, known)
        for stop in range(1, min(len(tokens), _MOST_DOTS) + 1):
            if not suggestions:
                package = ".".join(tokens[:stop])
                suggestions = suggest(package, known)
        return UnknownPackage(
            package if suggestions else tokens[0], names, self._subdir, suggestions
        )
