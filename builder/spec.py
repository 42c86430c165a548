"""What is wanted: the canonical form of an image name, and its digest."""

import datetime
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final, Literal, NewType

from builder.platforms import Subdir

#: 64 hex digits that stand for an :class:`EnvironmentSpec`.
SpecDigest = NewType("SpecDigest", str)

#: 64 hex digits that stand for the rules of policies; ``""`` for none.
RulesDigest = NewType("RulesDigest", str)
NO_DIGEST: Final = RulesDigest("")

#: How a version is compared; ``"="`` is conda's prefix match: ``=3.12`` takes 3.12.7.
Operator = Literal["=", "==", "!=", "<", "<=", ">", ">="]

#: Raised whenever the same spec must be solved anew because solving itself has changed.
SPEC_FORMAT: Final = 2

_USER: Final = re.compile(r"(0|[1-9][0-9]{0,9})(?::(0|[1-9][0-9]{0,9}))?")
#: The highest number means "no user" to Linux.
_MAX_ID: Final = 2**32 - 2


@dataclass(frozen=True, slots=True, order=True)
class Constraint:
    """One condition on a version, such as ``>=1.26``."""

    operator: Operator
    version: str

    def __str__(self) -> str:
        return f"{self.operator}{self.version}"


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One package that is wanted, with every condition on it."""

    name: str
    #: Sorted and without repetition.
    constraints: tuple[Constraint, ...] = ()
    #: The name of the one channel it must come from, or ``""`` for any of the spec's.
    channel: str = ""
    #: A condition on the version that constraints cannot say, as conda writes it, e.g.
    #: ``"~=1.4|==2.0"``; ``""`` for none. Image names never have one, files may.
    version: str = ""
    #: A condition on the build string as conda writes it, e.g. ``"*_cpython"``; ``""`` for none.
    build: str = ""

    @property
    def conditions(self) -> str:
        """Every condition on the version as conda writes them, e.g. ``">=1.19,<2"``."""
        return self._stated(str)

    def _stated(self, write: Callable[[Constraint], str]) -> str:
        stated = [write(constraint) for constraint in self.constraints]
        if self.version:
            stated.append(f"({self.version})" if stated and "|" in self.version else self.version)
        return ",".join(stated)

    def __str__(self) -> str:
        r"""Return the conda match spec, e.g. ``bioconda::samtools >=1.19,<2``."""
        channel = f"{self.channel}::" if self.channel else ""
        conditions = (self._stated(_beside_build) or "*") if self.build else self.conditions
        return " ".join(filter(None, (f"{channel}{self.name}", conditions, self.build)))


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that packages may come from."""

    #: The name users know, for example ``"conda-forge"``.
    name: str
    #: Its address, without a slash at the end.
    url: str

    @property
    def told(self) -> str:
        """As errors name it."""
        return f"'{self.name}'"


@dataclass(frozen=True, slots=True)
class VirtualPackage:
    """A property of the target that packages may depend on, such as ``__glibc 2.36``."""

    name: str
    version: str
    build: str = "0"
    #: The platform that has it; ``None``: each has. ``__archspec`` differs between platforms.
    platform: Subdir | None = None

    @property
    def written(self) -> list[str]:
        """Name, version and build, and the platform if it is of one alone."""
        return [self.name, self.version, self.build, *([self.platform] if self.platform else [])]


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """All that decides a solve, in canonical form: equal meanings have equal digests."""

    #: Sorted and without repetition.
    requirements: tuple[Requirement, ...]
    #: In order of priority: a package comes from the first channel that has its name.
    channels: tuple[Channel, ...]
    #: Sorted.
    platforms: tuple[Subdir, ...]
    #: Sorted by name.
    virtual_packages: tuple[VirtualPackage, ...]
    #: Only packages published up to the end of that day, UTC, if any.
    until: datetime.date | None = None
    #: The reference of the base image; ``None`` for an image of packages alone.
    base: str | None = None
    #: What is wanted from PyPI beside the conda packages: requirements as PEP 508 writes them, in
    #: ``packaging``'s canonical form, sorted and without repetition, e.g. ``"requests>=2"``.
    pip: tuple[str, ...] = ()
    #: Variables of the image's environment, names and values, sorted.
    variables: tuple[tuple[str, str], ...] = ()
    #: The sha256 of which the wheels of some projects must have one, by their normalized names;
    #: sorted.
    hashes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: Whether there must be packages for each of the platforms, and not for the first alone.
    every_platform: bool = False
    #: Who runs in a container, as :func:`parse_user` returns it; ``""`` for whoever the base says.
    user: str = ""
    #: Stands for the :class:`builder.rules.model.Rules` that it is solved by; ``""`` for none.
    rules: RulesDigest = NO_DIGEST

    @property
    def digest(self) -> SpecDigest:
        """The sha256 of the spec's canonical JSON."""
        return _digest(self)


def _beside_build(constraint: Constraint) -> str:
    """Return a condition as it stands before one on the build, where ``=3.11`` is 3.11 alone."""
    return f"{constraint.version}.*" if constraint.operator == "=" else str(constraint)


def parse_user(text: str) -> str:
    """Return a user and a group by their numbers; the group is the user's where none is said.

    Numbers alone: Kubernetes cannot tell whether a name is root's.

    >>> parse_user("1000")
    '1000:1000'
    >>> parse_user("1000:0")
    '1000:0'

    Raises:
        ValueError: The text is no such number or pair.
    """
    match = _USER.fullmatch(text)
    user, group = (match[1], match[2] or match[1]) if match else ("", "")
    if not match or max(int(user), int(group)) > _MAX_ID:
        raise ValueError(f"'{text[:60]}' is not the number of a user, such as '1000' or '1000:0'")
    return f"{user}:{group}"


def merge_requirements(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Return the requirements sorted, one per package and channel.

    What is asked of a package in general is asked of it from its channel too:

    >>> ge, lt = Constraint(">=", "1"), Constraint("<", "2")
    >>> wanted = [Requirement("a", (lt,)), Requirement("b"), Requirement("a", (ge,), "c")]
    >>> [str(requirement) for requirement in merge_requirements(wanted)]
    ['c::a <2,>=1', 'b']

    Those with a :attr:`~Requirement.version` or :attr:`~Requirement.build` stay as they are.
    """
    constraints: dict[str, dict[str, set[Constraint]]] = {}
    merged = set()
    for wanted in requirements:
        if wanted.version or wanted.build:
            merged.add(wanted)
            continue
        by_channel = constraints.setdefault(wanted.name, {})
        by_channel.setdefault(wanted.channel, set()).update(wanted.constraints)
    for name, by_channel in constraints.items():
        general = by_channel.get("", set())
        for channel in [c for c in by_channel if c] or [""]:
            merged.add(Requirement(name, tuple(sorted(by_channel[channel] | general)), channel))
    return tuple(sorted(merged))


@lru_cache(maxsize=256)  # a build asks for it at each of its steps
def _digest(spec: EnvironmentSpec) -> SpecDigest:
    content = {"format": SPEC_FORMAT, **asdict(spec)}
    # Specs from before there were these have kept their digests.
    for name in ("hashes", "user", "rules"):
        if not content[name]:
            del content[name]
    # A platform is said only where there is one: specs without have kept their digest.
    content["virtual_packages"] = [
        {field: value for field, value in asdict(package).items() if value is not None}
        for package in spec.virtual_packages
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return SpecDigest(hashlib.sha256(text.encode()).hexdigest())
