"""What is wanted, from the fields of a file to the parts of a spec in canonical form."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from builder.errors import ChannelNotAllowed
from builder.inputs.allowed import AllowedSources, file_parts
from builder.inputs.document import Field
from builder.platforms import Subdir
from builder.pypi.requirement import (
    canonical_requirement,
    canonical_requirements,
    project_of,
    split_hashes,
)
from builder.rules.match_spec import parse_match_spec
from builder.spec import (
    Channel,
    Constraint,
    EnvironmentSpec,
    Requirement,
    VirtualPackage,
    merge_requirements,
)

#: More than any environment that is known asks for.
MAX_REQUIREMENTS: Final = 1000
_MAX_CHANNELS: Final = 50
_MAX_VARIABLES: Final = 200
_MAX_VALUE: Final = 4096
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
#: The image sets them itself, and nothing in it would be found with others.
_OURS: Final = frozenset({"PATH", "CONDA_PREFIX"})
#: What conda writes to keep its own default channels out.
_NO_DEFAULTS: Final = "nodefaults"
#: Directories of channels that conda lets stand behind a channel's name.
_SUBDIRS = re.compile(r"noarch|(?:linux|osx|win|emscripten|wasi|zos|freebsd)-[a-z0-9]+")

#: As :attr:`builder.spec.EnvironmentSpec.hashes`.
Hashes = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class RequestedEnvironment:
    """What a file or request asks for."""

    requirements: tuple[Requirement, ...]
    #: Empty: the default ones.
    channels: tuple[Channel, ...] = ()
    #: Empty: those the administrator chose.
    platforms: tuple[Subdir, ...] = ()
    pip: tuple[str, ...] = ()
    #: As :attr:`builder.spec.EnvironmentSpec.hashes`.
    hashes: Hashes = ()
    variables: tuple[tuple[str, str], ...] = ()
    until: datetime.date | None = None
    #: ``""``: the one the administrator chose.
    user: str = ""
    #: In place of the administrator's of the same names.
    virtual_packages: tuple[VirtualPackage, ...] = ()

    def spec(self, allowed: AllowedSources, base: str | None) -> EnvironmentSpec:
        """Return the spec; a channel that a package asks for comes after those that are listed."""
        defaults = allowed.defaults
        pinned = frozenset(wanted.channel for wanted in self.requirements if wanted.channel)
        channels = defaults.needed(pinned)
        if self.channels:
            more = (c for c in defaults.channels if c.name in pinned)
            channels = tuple(dict.fromkeys([*self.channels, *more]))
        return EnvironmentSpec(
            requirements=merge_requirements([*self.requirements, *defaults.builtin]),
            channels=channels,
            platforms=tuple(sorted(set(self.platforms or defaults.platforms))),
            virtual_packages=self._virtual_packages(allowed),
            until=self.until,
            base=base,
            pip=self.pip,
            hashes=self.hashes,
            variables=self.variables,
            every_platform=bool(self.platforms),
            user=self.user or defaults.user,
        )

    def _virtual_packages(self, allowed: AllowedSources) -> tuple[VirtualPackage, ...]:
        """Return the administrator's, and in place of some those that are asked for."""
        asked = {(v.name, v.platform) for v in self.virtual_packages}
        named = {name for name, platform in asked if platform is None}
        kept = (
            v
            for v in allowed.defaults.virtual_packages
            if v.name not in named and (v.name, v.platform) not in asked
        )
        return tuple(
            sorted([*kept, *self.virtual_packages], key=lambda v: (v.name, v.platform or ""))
        )


def read_channels(field: Field, allowed: AllowedSources) -> tuple[Channel, ...]:
    """Return the channels of a list of names and addresses, by priority, each once.

    Raises:
        InputError: It is not such a list, or one is not offered.
    """
    named = ((element, element.text()) for element in field.list(_MAX_CHANNELS))
    found = (
        read_channel(text, element, allowed) for element, text in named if text != _NO_DEFAULTS
    )
    return tuple(dict.fromkeys(found))


def read_channel(text: str, field: Field, allowed: AllowedSources) -> Channel:
    """Return the channel of a name or address that stands in ``field``.

    Raises:
        InputError: It is not offered.
    """
    try:
        return allowed.channel(text)
    except ChannelNotAllowed as exc:
        raise field.error(exc.message) from exc


def read_requirements(fields: Sequence[Field], allowed: AllowedSources) -> tuple[Requirement, ...]:
    """Return the conda packages that match specs ask for, in their order.

    Raises:
        InputError: One is not a match spec, or asks for what is not offered.
    """
    found = []
    for field in fields:
        text = field.text()
        try:
            wanted = _of_address(text, allowed) if "://" in text else None
            wanted = wanted or parse_match_spec(text)
        except ValueError as exc:
            raise field.error(str(exc)) from exc
        channel = _channel_of(wanted, field, allowed).name if wanted.channel else ""
        found.append(
            Requirement(wanted.name, wanted.constraints, channel, wanted.version, wanted.build)
        )
    return tuple(found)


def _of_address(text: str, allowed: AllowedSources) -> Requirement | None:
    """Return what the address of an archive asks for, as conda takes it for a package.

    Raises:
        ValueError: It is no package of a channel of this server, or has a checksum, which only
            a list can.
    """
    address, _, checksum = text.partition("#")
    if not address.endswith((".conda", ".tar.bz2")):
        return None
    if checksum:
        raise ValueError(
            "the address of a package has a checksum: write all packages with theirs, in an"
            " @EXPLICIT list"
        )
    place = allowed.package(address)
    if place.channel is None:
        raise ValueError(
            f"{address[:200]!r} lies in no channel of this server: write name, version and build"
        )
    name, version, build = file_parts(place.path)
    return Requirement(name, (Constraint("==", version),), place.channel.name, "", build)


def _channel_of(wanted: Requirement, field: Field, allowed: AllowedSources) -> Channel:
    channel, _, subdir = wanted.channel.rpartition("/")
    if channel and _SUBDIRS.fullmatch(subdir):
        raise field.error(
            f"'{wanted.channel[:100]}' names the directory of a channel: write"
            f" '{channel[:80]}::{wanted.name}', and the platform under 'platforms'"
        )
    return read_channel(wanted.channel, field, allowed)


def read_pip(field: Field, allowed: AllowedSources) -> tuple[tuple[str, ...], Hashes]:
    """Return requirements for PyPI in canonical form, and the hashes that stand behind them.

    Raises:
        InputError: One is not a requirement, asks for more than a project of the index, or PyPI
            is not offered.
    """
    elements = field.list(MAX_REQUIREMENTS)
    if elements and not allowed.defaults.pypi:
        raise elements[0].error("this server does not offer packages of PyPI")
    wanted = []
    hashes: dict[str, set[str]] = {}
    for element in elements:
        try:
            requirement, given = split_hashes(element.text())
            wanted.append(canonical_requirement(requirement))
        except ValueError as exc:
            raise element.error(str(exc)) from exc
        if given:
            hashes.setdefault(project_of(wanted[-1]), set()).update(given)
    found = tuple((name, tuple(sorted(digits))) for name, digits in sorted(hashes.items()))
    return canonical_requirements(wanted), found


def read_variables(field: Field) -> tuple[tuple[str, str], ...]:
    """Return variables with their values, sorted; a number stands as it is written.

    Raises:
        InputError: A name or value cannot be one, or the image sets the variable itself.
    """
    if field.kind == "nothing":
        return ()
    entries = field.mapping()
    if len(entries) > _MAX_VARIABLES:
        raise field.error(f"there are {len(entries)} variables, and {_MAX_VARIABLES} are allowed")
    for name, value in entries.items():
        check_variable(name, value)
    return tuple(sorted((name, value.written) for name, value in entries.items()))


def check_variable(name: str, value: Field) -> None:
    """Check one variable; its value may have line breaks and tabs.

    Raises:
        InputError: Its name or value cannot be one, or the image sets it itself.
    """
    if not _VARIABLE.fullmatch(name):
        raise value.error("a variable's name is made of letters, digits and '_'")
    if name in _OURS:
        raise value.error(f"{name} is set by the image itself")
    if value.kind not in {"text", "number"}:
        raise value.error("the value of a variable is text: put it in quotes")
    if len(value.written) > _MAX_VALUE:
        raise value.error(f"a value of {len(value.written)} characters; {_MAX_VALUE} are allowed")
    if not re.sub(r"[\n\t]", "", value.written).isprintable():
        raise value.error("the value has characters that cannot be printed")
