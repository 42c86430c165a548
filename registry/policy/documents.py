"""A policy's text: TOML, the same in files, in the API and on the command line.

docs/policy.md describes the fields. Everything is checked when it is read, so that nothing of a
policy can fail when it is to hold.
"""

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from builder.platforms import NOARCH, PLATFORMS
from builder.pypi.requirement import canonical_requirement
from builder.rules.licences import canonical_identifier
from builder.rules.match_spec import parse_match_spec
from builder.rules.model import Manager, Mode
from registry.policy.durations import canonical_duration, parse_size

#: What CVSS calls how bad something is, from the least on.
Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

#: More than anybody writes by hand, and few enough to be asked for each candidate of a solve.
_MAX_ITEMS: Final = 2000
_GLOB: Final = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*._-]{0,99}")
_CHANNEL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
#: The same before ``::``, where some write a subdir behind it.
_SPEC_CHANNEL: Final = re.compile(
    rf"(?!.*/(?:{'|'.join((*PLATFORMS, NOARCH))})/?\Z){_CHANNEL.pattern}"
)
_LICENCE: Final = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*.+:-]{0,99}( WITH [A-Za-z0-9*.-]{1,99})?")
_ADVISORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
_BASE: Final = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*._:/@-]{0,254}")
#: A match spec with ``*`` in its name: its channel, the name, and the conditions.
_NAME_GLOB: Final = re.compile(
    r"((?:[A-Za-z0-9._-]+::)?)([A-Za-z0-9_.-]*\*[A-Za-z0-9_.*-]*)((?:[ =<>!~].*)?)"
)
#: Is the name while the conditions are read.
_STAND_IN: Final = "stands-for-it"
_PROJECT: Final = re.compile(r"[A-Za-z0-9*](?:[A-Za-z0-9*._-]*[A-Za-z0-9*])?")
#: A pattern that has more can take long, and says nothing that fewer could not.
_MAX_WILDCARDS: Final = 4
_MAX_NAME: Final = 128


def _of(change: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(change)


def _grammar(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text) or text.count("*") > _MAX_WILDCARDS:
            raise ValueError(f"{text[:60]!r} is not {what}")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the text has characters that cannot be printed in one line")
    return text.strip()


def _lines(text: str) -> str:
    if not all(one.isprintable() or one in "\n\t" for one in text):
        raise ValueError("the text has characters that cannot be printed")
    return text.strip()


def canonical_spec(text: str) -> str:
    """Return a match spec, whose name may have ``*``, in one form for all of the same meaning.

    >>> canonical_spec("OpenSSL<3.0.8"), canonical_spec("conda-forge::blas=*=*mkl")
    ('openssl <3.0.8', 'conda-forge::blas * *mkl')
    >>> canonical_spec("acme::Evil-*>=2"), canonical_spec("python=3.11=*_cpython")
    ('acme::evil-* >=2', 'python ==3.11 *_cpython')
    >>> canonical_spec("python=3.11.*=*_cpython")
    'python 3.11.* *_cpython'

    Raises:
        ValueError: It is none. The message is a sentence.
    """
    glob = _NAME_GLOB.fullmatch(text.strip())
    if glob is None:
        wanted = parse_match_spec(text)
        if "*" in wanted.channel:
            raise ValueError(f"{text[:60]!r} has a wildcard in the name of its channel")
        if wanted.channel and not _SPEC_CHANNEL.fullmatch(wanted.channel):
            # Packages have the name of their channel beside them: it would match none.
            raise ValueError(
                f"{text[:60]!r} has an address or a subdir for a channel: write its name, as in"
                " 'conda-forge::zlib'"
            )
        return str(wanted)
    channel, name, rest = glob.groups()
    if len(name) > _MAX_NAME:
        raise ValueError(f"{text[:60]!r} has a name of more than {_MAX_NAME} characters")
    if name.count("*") > _MAX_WILDCARDS:
        raise ValueError(f"{text[:60]!r} has more than {_MAX_WILDCARDS} wildcards in its name")
    try:
        wanted = parse_match_spec(f"{channel}{_STAND_IN}{rest}")
    except ValueError as exc:
        raise ValueError(f"{text[:60]!r} is not a match spec such as 'evil-* >=2'") from exc
    return str(wanted).replace(_STAND_IN, name.lower(), 1)


def canonical_named_spec(text: str) -> str:
    """Return a match spec of one package, as :func:`canonical_spec` does.

    Raises:
        ValueError: It is none, or its name has wildcards. The message is a sentence.
    """
    return str(parse_match_spec(text))


def canonical_package(text: str) -> str:
    """Return the name of a conda package.

    Raises:
        ValueError: It is none, or more than a name. The message is a sentence.
    """
    wanted = parse_match_spec(text)
    if str(wanted) != wanted.name:
        raise ValueError(f"{text[:60]!r} is more than the name of a package: write {wanted.name!r}")
    return wanted.name


def _as_table(value: object) -> object:
    """Return the table that a text stands for, where a spec alone says all."""
    return {"spec": value} if isinstance(value, str) else value


def _licence(text: str) -> str:
    return text if "*" in text else canonical_identifier(text)


def _normalized(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _namespaces_glob(text: str) -> str:
    return "*" if not text.strip("*") else text.lower()


_Line = Annotated[str, Field(max_length=300), _of(_one_line)]
_Spec = Annotated[str, _of(canonical_spec)]
_Namespace = Annotated[
    str, _grammar(_GLOB, "a name of namespaces such as 'team-*'"), _of(_namespaces_glob)
]
_ChannelName = Annotated[str, _grammar(_CHANNEL, "the name of a channel")]
_Licence = Annotated[
    str, _grammar(_LICENCE, "an identifier of SPDX such as 'GPL-3.0-*'"), _of(_licence)
]
_AdvisoryId = Annotated[str, _grammar(_ADVISORY, "the id of an advisory such as 'CVE-2026-1234'")]
_Base = Annotated[str, _grammar(_BASE, "a base such as 'docker.io/library/debian:*', or 'none'")]
_Project = Annotated[
    str,
    Field(max_length=128),
    _grammar(_PROJECT, "a project of PyPI such as 'requests' or 'acme-*'"),
    _of(_normalized),
]


class _Table(BaseModel):
    """A table whose fields are all known: a rule that is misspelt would be none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ChannelsTable(_Table):
    """Where packages may come from."""

    #: Names, in order of priority.
    allowed: Annotated[list[_ChannelName], Field(min_length=1, max_length=100)]
    #: By channel, globs of the namespaces in which alone it is allowed.
    only_in: Annotated[
        dict[_ChannelName, Annotated[list[_Namespace], Field(max_length=_MAX_ITEMS)]],
        Field(max_length=100),
    ] = {}

    @model_validator(mode="after")
    def _only_in_is_allowed(self) -> "ChannelsTable":
        for name in self.only_in:
            if name not in self.allowed:
                raise ValueError(
                    f"'only_in' names {name!r}, which is not among 'allowed': write it there too"
                )
        if len(set(self.allowed)) < len(self.allowed):
            raise ValueError("'allowed' names a channel twice")
        return self


class DeniedEntry(_Table):
    """What is not installed."""

    spec: str
    manager: Manager = "conda"
    reason: _Line = ""

    @model_validator(mode="after")
    def _spec_is_one(self) -> "DeniedEntry":
        # Not by a validator of the field: it is read by what follows it.
        spec = canonical_spec(self.spec) if self.manager == "conda" else _denied_wheel(self.spec)
        object.__setattr__(self, "spec", spec)
        return self


class RequiredEntry(_Table):
    """What each environment has."""

    spec: Annotated[str, _of(canonical_named_spec)]
    #: The package beside which it is required.
    condition: Annotated[str, _of(canonical_package)] | None = Field(default=None, alias="if")
    reason: _Line = ""


_Denied = Annotated[DeniedEntry, BeforeValidator(_as_table)]
_Required = Annotated[RequiredEntry, BeforeValidator(_as_table)]


class PackagesTable(_Table):
    """What is installed, and what is not."""

    denied: Annotated[list[_Denied], Field(max_length=_MAX_ITEMS)] = []
    required: Annotated[list[_Required], Field(max_length=100)] = []
    default: Annotated[list[_Required], Field(max_length=100)] = []


class LicencesTable(_Table):
    """What licences packages have."""

    allowed: Annotated[list[_Licence], Field(max_length=_MAX_ITEMS)] = []
    denied: Annotated[list[_Licence], Field(max_length=_MAX_ITEMS)] = []
    unknown: Literal["allow", "deny"] = "allow"


class AgeTable(_Table):
    """How long ago packages were published."""

    minimum: Annotated[str, _of(canonical_duration)]
    exempt: Annotated[list[_Spec], Field(max_length=_MAX_ITEMS)] = []

    @field_validator("minimum", mode="before")
    @classmethod
    def _minimum_has_a_unit(cls, minimum: object) -> object:
        if not isinstance(minimum, str):
            raise ValueError("a duration is text with a unit, such as '7 days'")  # noqa: TRY004
        return minimum


class AdvisoriesTable(_Table):
    """Which advisories count."""

    minimum_severity: Severity = "low"
    #: Whether those count that do not say how bad it is.
    unscored: bool = True
    ignore: Annotated[list[_AdvisoryId], Field(max_length=_MAX_ITEMS)] = []


class BasesTable(_Table):
    """What images are built on."""

    allowed: Annotated[list[_Base], Field(min_length=1, max_length=_MAX_ITEMS)]


class PlatformsTable(_Table):
    """What images are for."""

    allowed: Annotated[list[str], Field(min_length=1, max_length=100)]

    @field_validator("allowed")
    @classmethod
    def _platforms_are_known(cls, allowed: list[str]) -> list[str]:
        for name in allowed:
            if name not in PLATFORMS:
                raise ValueError(f"{name[:40]!r} is none of {', '.join(PLATFORMS)}")
        return sorted(set(allowed))


class PypiTable(_Table):
    """What is taken from PyPI."""

    allowed: bool = True
    #: Globs of normalized names; empty: all.
    projects: Annotated[list[_Project], Field(max_length=_MAX_ITEMS)] = []


class LimitsTable(_Table):
    """How large environments are."""

    packages: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    size: int | None = None

    @field_validator("size", mode="before")
    @classmethod
    def _size_has_a_unit(cls, size: object) -> object:
        if not isinstance(size, str):
            raise ValueError("a size is text with a unit, such as '5 GB'")  # noqa: TRY004
        return parse_size(size)


class PolicyDocument(_Table):
    """What a policy's text says."""

    description: Annotated[str, Field(max_length=2000), _of(_lines)] = ""
    mode: Mode = "enforce"
    contact: _Line = ""
    namespaces: Annotated[list[_Namespace], Field(min_length=1, max_length=_MAX_ITEMS)] = ["*"]
    channels: ChannelsTable | None = None
    packages: PackagesTable | None = None
    licences: LicencesTable | None = None
    age: AgeTable | None = None
    advisories: AdvisoriesTable | None = None
    bases: BasesTable | None = None
    platforms: PlatformsTable | None = None
    pypi: PypiTable | None = None
    limits: LimitsTable | None = None


def _denied_wheel(text: str) -> str:
    if "*" in text and _PROJECT.fullmatch(text) and text.count("*") <= _MAX_WILDCARDS:
        return _normalized(text)
    canonical = canonical_requirement(text)
    if "[" in canonical or ";" in canonical:
        raise ValueError(f"{text[:60]!r} has extras or a marker: name the project and its versions")
    return canonical
