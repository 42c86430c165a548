"""Rules as data: what all policies that hold for a build come to.

They are compiled by :mod:`registry.policy.compiling`. Every rule holds beside all others, so that
one more rule only ever tightens. Nothing in them depends on a clock: a moving age is a moment by
then.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

from pydantic import TypeAdapter

from builder.spec import RulesDigest

#: *enforce* refuses, *warn* builds and says so.
Mode = Literal["enforce", "warn"]
#: Who installs a package.
Manager = Literal["conda", "pypi"]
#: What a rule is about; the tables of a policy's file have the same names.
RuleKind = Literal[
    "channels",
    "packages",
    "licences",
    "age",
    "advisories",
    "bases",
    "platforms",
    "pypi",
    "limits",
]


@dataclass(frozen=True, slots=True)
class Author:
    """The policy that a rule is of."""

    policy: str
    mode: Mode = "enforce"
    #: Who to ask, as the policy says it, e.g. ``"it@example.org"``.
    contact: str = ""


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """Packages come from these channels alone."""

    author: Author
    #: Names, in order of priority.
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeniedRule:
    """What a spec matches is not installed."""

    author: Author
    #: A match spec, or with ``pypi`` a requirement as PEP 508 writes it.
    spec: str
    manager: Manager = "conda"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LicenceRule:
    """Packages have certain licences; expressions of SPDX are understood."""

    author: Author
    #: Identifiers of SPDX, ``*`` stands for any characters; empty: all that are not denied.
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    #: Whether a package may be installed of which no licence is known, or one that SPDX has not.
    allows_unknown: bool = True


@dataclass(frozen=True, slots=True)
class AgeRule:
    """Packages were published some time ago."""

    author: Author
    #: In words, e.g. ``"7 days"``.
    minimum: str
    #: The latest moment at which one may have been published, in milliseconds since 1970.
    published_until_ms: int
    #: Match specs of packages that may be younger; of wheels, by their names.
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AffectedRange:
    """Versions from ``introduced`` on, up to but without ``fixed``, or up to ``last``."""

    #: ``"0"``: from the first on.
    introduced: str
    #: ``""``: none.
    fixed: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class Affected:
    """A package that an advisory is about."""

    manager: Manager
    #: Normalized: of PyPI as PEP 503 says, of conda in lower case.
    name: str
    ranges: tuple[AffectedRange, ...] = ()
    #: Versions that are affected besides.
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advisory:
    """What is known of a vulnerability.

    Source:
        OSV schema 1.7.
    """

    id: str
    affected: tuple[Affected, ...]
    summary: str = ""
    aliases: tuple[str, ...] = ()
    #: ``low medium high critical``; ``""``: not said.
    severity: str = ""


@dataclass(frozen=True)  # no slots: the digest is computed once
class AdvisoryRule:
    """What an advisory is about is not installed."""

    author: Author
    advisories: tuple[Advisory, ...]

    @cached_property
    def digest(self) -> str:
        """Stands for exactly these advisories, whoever has the rule."""
        return digest_of_advisories(self.advisories)


@dataclass(frozen=True, slots=True)
class RequiredRule:
    """Each environment has a package."""

    author: Author
    #: A match spec.
    spec: str
    #: The package beside which it is required; ``""``: always.
    condition: str = ""
    #: Whether a specification that names the package itself, in whatever version, decides.
    is_default: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BaseRule:
    """Images are built on these."""

    author: Author
    #: Patterns of references as in ``PULLFORGE_BASES``; ``"none"`` allows images without.
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlatformRule:
    """Images are for these platforms."""

    author: Author
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PypiRule:
    """Whether, and which, projects of PyPI are installed."""

    author: Author
    is_allowed: bool = True
    #: Globs of normalized names; empty: all.
    projects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Environments are not larger than that."""

    author: Author
    #: ``None``: any number.
    packages: int | None = None
    #: Of all archives of a platform together; ``None``: any number.
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """A waiver that was given: what matches it may break rules about packages."""

    #: The waiver's number.
    waiver: int
    #: A match spec, or with ``pypi`` a requirement.
    spec: str
    manager: Manager = "conda"
    #: Of the policy with that name alone; ``""``: of any.
    policy: str = ""


@dataclass(frozen=True)  # no slots: with thousands of advisories, digests are computed once
class Rules:
    """All rules for a build; in the order of their policies' names."""

    channels: tuple[ChannelRule, ...] = ()
    denied: tuple[DeniedRule, ...] = ()
    licences: tuple[LicenceRule, ...] = ()
    age: tuple[AgeRule, ...] = ()
    advisories: tuple[AdvisoryRule, ...] = ()
    required: tuple[RequiredRule, ...] = ()
    bases: tuple[BaseRule, ...] = ()
    platforms: tuple[PlatformRule, ...] = ()
    pypi: tuple[PypiRule, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    exemptions: tuple[Exemption, ...] = ()

    @cached_property
    def digest(self) -> RulesDigest:
        """Stands for exactly these; ``""`` if there are none."""
        if not self:
            return RulesDigest("")
        digest = hashlib.sha256(_RULES.dump_json(self._without_advisories()))
        for rule in self.advisories:
            digest.update(rule.digest.encode())
        return RulesDigest(digest.hexdigest())

    @cached_property
    def identity(self) -> RulesDigest:
        """Stands for them as long as no policy changes, however far a moving age has moved."""
        still = tuple(replace(rule, published_until_ms=0) for rule in self.age)
        return replace(self, age=still).digest

    def __bool__(self) -> bool:
        return self != NO_RULES

    def to_json(self) -> bytes:
        """Return them as lines of JSON, the same for equal ones.

        The first has all but advisories; each other has some of those, and of which rule they are.
        """
        lines = [_RULES.dump_json(self._without_advisories())]
        for place, rule in enumerate(self.advisories):
            lines += [_SOME.dump_json((place, part)) for part in _parts(rule.advisories)]
        return b"\n".join(lines)

    @classmethod
    def from_json(cls, data: bytes) -> "Rules":
        """Return what :meth:`to_json` has written.

        Raises:
            ValueError: It has not.
        """
        first, *lines = data.split(b"\n")
        rules = _RULES.validate_json(first)
        found: list[list[Advisory]] = [[*rule.advisories] for rule in rules.advisories]
        for line in lines:
            place, part = _SOME.validate_json(line)
            if not 0 <= place < len(found):
                raise ValueError(f"there is no rule {place} about advisories")
            found[place] += part
        advisories = (
            AdvisoryRule(rule.author, tuple(some))
            for rule, some in zip(rules.advisories, found, strict=True)
        )
        return replace(rules, advisories=tuple(advisories))

    def _without_advisories(self) -> "Rules":
        rules = tuple(replace(rule, advisories=()) for rule in self.advisories)
        return replace(self, advisories=rules)


def digest_of_advisories(advisories: Sequence[Advisory]) -> str:
    """Return what stands for exactly these; of thousands, threads have turns in between."""
    digest = hashlib.sha256()
    for part in _parts(advisories):
        digest.update(_SOME.dump_json((0, part)))
    return digest.hexdigest()


def _parts(advisories: Sequence[Advisory]) -> Iterator[tuple[Advisory, ...]]:
    """Yield advisories in parts that are written, or read, before anybody else misses a turn."""
    for begin in range(0, len(advisories), _PART):
        yield tuple(advisories[begin : begin + _PART])


NO_RULES: Final = Rules()
#: One call into pydantic lets no other thread run, the event loop's neither: this is a millisecond.
_PART: Final = 200
_RULES: Final = TypeAdapter(Rules)
_SOME: Final = TypeAdapter(tuple[int, tuple[Advisory, ...]])
