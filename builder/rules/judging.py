"""What of a package, and of a whole environment, breaks rules.

A judge sorts its rules by the names that they are about, once for each name, so that a package that
no rule names is held against those alone that are about every package: of age, of licences and of
channels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Generic, TypeVar

from packaging.utils import canonicalize_name

from builder.lock import Lock
from builder.platforms import Subdir
from builder.records import without_credentials
from builder.rules.bases import base_violations
from builder.rules.candidate import Candidate, Judged
from builder.rules.checks import (
    Check,
    from_channel,
    listed,
    not_denied,
    of_age,
    of_pypi,
    passed,
    unaffected,
    unless_exempt,
    with_licence,
)
from builder.rules.matching import PackagePattern
from builder.rules.model import AdvisoryRule, Affected, Manager, RequiredRule, Rules
from builder.rules.violation import Violation

Of = TypeVar("Of")

#: How many names' rules a judge keeps sorted.
_NAMES: Final = 65536


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of all packages of a platform together."""

    platform: str
    #: How many there are, of both managers.
    packages: int
    #: How much their archives have together.
    size_bytes: int
    #: The reference of the base image, with tag or digest; ``None``: there is none.
    base: str | None = None


class Judge:
    """Holds packages against rules; keeps what it finds out, so one judges many of them.

    It may be used by several threads at once.

    Args:
        rules: All rules that hold.

    Raises:
        ValueError: A rule has a match spec that is none.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._denied = _ByName(
            [(PackagePattern(rule.spec, rule.manager), rule) for rule in rules.denied]
        )
        self._exempt_of_age = [
            (rule, _ByName([(PackagePattern(spec), spec) for spec in rule.exempt]))
            for rule in rules.age
        ]
        self._exemptions = _ByName(
            [(PackagePattern(one.spec, one.manager), one.policy) for one in rules.exemptions]
        )
        self._required = [(rule, PackagePattern(rule.spec)) for rule in rules.required]
        self._affected: dict[tuple[Manager, str], list[tuple[AdvisoryRule, int, Affected]]] = {}
        for rule in rules.advisories:
            for number, advisory in enumerate(rule.advisories):
                for affected in advisory.affected:
                    known = self._affected.setdefault((affected.manager, affected.name), [])
                    known.append((rule, number, affected))
        self._of_channels = [from_channel(rule) for rule in rules.channels]
        self._of_licences = [with_licence(rule) for rule in rules.licences]
        self._named = lru_cache(maxsize=_NAMES)(self._checks_of)
        self._refusing = lru_cache(maxsize=_NAMES)(self._refusal_of)

    def violations(self, package: Judged) -> tuple[Violation, ...]:
        """Return all that a package breaks, of both modes: by kind of rule, then by policy."""
        checks = self._named(package.manager, package.name, package.project)
        return tuple(found for check in checks if (found := check(package)) is not None)

    def refusal(self, package: Judged) -> Violation | None:
        """Return the first that a package breaks of the rules that refuse."""
        return self.refuses(package.manager, package.name, package.project)(package)

    def refuses(self, manager: Manager, name: str, project: str = "") -> Check:
        """Return what :meth:`refusal` does, for many packages of one name."""
        return self._refusing(manager, name, project)

    @property
    def reads_projects(self) -> bool:
        """Whether it matters of which project of PyPI a package of conda is made."""
        return any(manager == "pypi" for manager, _ in self._affected)

    @property
    def published_until_ms(self) -> int | None:
        """Up to when packages are published that no exemption is for; ``None``: whenever."""
        moments = [r.published_until_ms for r in self.rules.age if r.author.mode == "enforce"]
        return min(moments, default=None)

    def refuses_all(self, manager: Manager, name: str) -> bool:
        """Tell whether no version of a package is allowed, whatever else is known of it."""
        if self._exemptions.of(manager, name):
            return False
        denied = any(
            pattern.is_bare and rule.author.mode == "enforce"
            for pattern, rule in self._denied.of(manager, name)
        )
        return denied or any(
            rule.author.mode == "enforce" and of_pypi(rule, name) is not None
            for rule in self.rules.pypi
            if manager == "pypi"
        )

    def own_dates(self, names: Iterable[str]) -> Mapping[str, int | None]:
        """Return up to when projects of PyPI are published that exemptions are for, by name.

        Of what a waiver is for, the date is not known before the version: it is judged then.

        Args:
            names: Of those that exemptions name with ``*``, the ones that matter.
        """
        ages = [
            (rule.published_until_ms, exempt)
            for rule, exempt in self._exempt_of_age
            if rule.author.mode == "enforce"
        ]
        if not ages:
            return {}
        exact = {canonicalize_name(name) for _, exempt in ages for name in exempt.names}
        dates: dict[str, int | None] = {}
        for name in sorted({*exact, *names}):
            own = [until_ms for until_ms, exempt in ages if not exempt.of_either(name)]
            if len(own) < len(ages):
                dates[name] = min(own, default=None)
            if self._exemptions.of("pypi", name):
                dates[name] = None
        waived = (one for one in self.rules.exemptions if one.manager == "pypi")
        patterns = [PackagePattern(one.spec, one.manager) for one in waived]
        return {**dates, **{pattern.name: None for pattern in patterns if not pattern.is_glob}}

    @property
    def reads_licences(self) -> bool:
        """Whether licences of packages matter."""
        return bool(self.rules.licences)

    def environment(
        self, platform: Subdir, packages: Sequence[Candidate], base: str | None
    ) -> tuple[Violation, ...]:
        """Return all that the packages of a platform break, one by one and together.

        Args:
            platform: Theirs.
            packages: All of them, of both managers.
            base: The reference of the base image, with tag or digest; ``None``: there is none.
        """
        found = [
            replace(one, platform=platform)
            for package in packages
            for one in self.violations(package)
        ]
        size_bytes = sum(package.size_bytes for package in packages)
        whole = Whole(platform, len(packages), size_bytes, base)
        return (*found, *self.together(whole, packages))

    def together(self, whole: "Whole", packages: Sequence[Judged]) -> tuple[Violation, ...]:
        """Return what the packages of a platform break as a whole.

        Args:
            whole: What is known of all of them.
            packages: Those of the names that required packages, and their conditions, have.
        """
        found = [*self._missing(packages), *self._too_much(whole)]
        found += base_violations(self.rules.bases, whole.base)
        platform = whole.platform
        for rule in self.rules.platforms:
            if platform not in rule.allowed:
                reason = f"it is for {platform}, and {listed(rule.allowed)} alone are allowed"
                found.append(Violation("platforms", rule.author, reason))
        return tuple(replace(one, platform=platform) for one in found)

    def required(
        self, packages: Sequence[Judged], rules: Sequence[RequiredRule] | None = None
    ) -> tuple[RequiredRule, ...]:
        """Return the rules that want another package beside these, in their order."""
        installed: dict[str, list[Judged]] = {}
        for package in packages:
            if package.manager == "conda":
                installed.setdefault(package.name, []).append(package)
        return tuple(
            rule
            for rule, pattern in self._required
            if (rules is None or rule in rules)
            and (not rule.condition or rule.condition in installed)
            and not any(pattern.matches(one) for one in installed.get(pattern.name, ()))
        )

    def _missing(self, packages: Sequence[Judged]) -> list[Violation]:
        return [
            Violation("packages", rule.author, f"it lacks {rule.spec}{_beside(rule)}")
            for rule in self.required(packages)
            if not rule.is_default
        ]

    def _too_much(self, whole: "Whole") -> list[Violation]:
        found = []
        for rule in self.rules.limits:
            if rule.packages is not None and whole.packages > rule.packages:
                reason = f"it has {whole.packages} packages, and {rule.packages} are allowed"
                found.append(Violation("limits", rule.author, reason))
            size_bytes = whole.size_bytes
            if rule.size_bytes is not None and size_bytes > rule.size_bytes:
                reason = f"its archives have {size_bytes} bytes, and {rule.size_bytes} are allowed"
                found.append(Violation("limits", rule.author, reason))
        return found

    def _checks_of(self, manager: Manager, name: str, project: str) -> tuple[Check, ...]:
        """Return what a package of that name is held against, in the order of the rules."""
        checks: list[Check] = []
        if manager == "conda":
            checks += self._of_channels
        checks += [
            not_denied(rule.author, pattern, rule.reason)
            for pattern, rule in self._denied.of(manager, name)
        ]
        checks += self._of_licences
        checks += [
            of_age(rule, [pattern for pattern, _ in exempt.of_either(name)])
            for rule, exempt in self._exempt_of_age
        ]
        checks += self._not_affected(manager, name, project)
        if manager == "pypi":
            checks += [check for rule in self.rules.pypi if (check := of_pypi(rule, name))]
        exemptions = [(policy, pattern) for pattern, policy in self._exemptions.of(manager, name)]
        if not exemptions:
            return tuple(checks)
        return tuple(unless_exempt(check, exemptions) for check in checks)

    def _refusal_of(self, manager: Manager, name: str, project: str) -> Check:
        checks = self._named(manager, name, project)

        def check(package: Judged) -> Violation | None:
            for one in checks:
                found = one(package)
                if found is not None and found.author.mode == "enforce":
                    return found
            return None

        return check if checks else passed

    def _not_affected(self, manager: Manager, name: str, project: str) -> list[Check]:
        known = list(self._affected.get((manager, name), ()))
        if manager == "conda" and project:
            known += self._affected.get(("pypi", project), ())
        checks = []
        for rule in self.rules.advisories:
            numbers = sorted({number for one, number, _ in known if one is rule})
            for number in numbers:
                about = [affected for one, n, affected in known if one is rule and n == number]
                checks.append(unaffected(rule, number, about))
        return checks


def judge_lock(
    lock: Lock, rules: Rules | Judge, channels: Mapping[str, str] | None = None
) -> tuple[Violation, ...]:
    """Return all that a lock breaks, of both modes, by platform.

    Args:
        lock: The lock.
        rules: All rules that hold, or for many locks their judge.
        channels: Names of channels by their addresses, without credentials; ``None``: those that
            the lock says.
    """
    judge = rules if isinstance(rules, Judge) else Judge(rules)
    if not judge.rules:
        return ()
    names = channels or {without_credentials(one.url): one.name for one in lock.channels}
    base = f"{lock.base.name}@{lock.base.digest}" if lock.base else None
    return tuple(
        found
        for platform in lock.platforms
        for found in judge.environment(platform, candidates_of(lock, platform, names), base)
    )


def candidates_of(
    lock: Lock, platform: Subdir, channels: Mapping[str, str]
) -> tuple[Candidate, ...]:
    """Return all packages of a platform, those of conda first; arguments as of `judge_lock`."""
    packages = [
        Candidate.of_package(lock.indexed.get(one.url, one), channels)
        for one in lock.platforms[platform]
    ]
    wheels = [
        Candidate.of_wheel(wheel, lock.wheel_facts.get(wheel.sha256))
        for wheel in lock.wheels.get(platform, ())
    ]
    return (*packages, *wheels)


def _beside(rule: RequiredRule) -> str:
    beside = f", which is required beside {rule.condition}" if rule.condition else ""
    beside = beside or ", which is required"
    return f"{beside} ({rule.reason})" if rule.reason else beside


class _ByName(Generic[Of]):
    """Patterns with what each belongs to, by the names that they are about."""

    def __init__(self, patterns: Sequence[tuple[PackagePattern, Of]]) -> None:
        self._known: dict[tuple[Manager, str], list[tuple[int, PackagePattern, Of]]] = {}
        self._globs: list[tuple[int, PackagePattern, Of]] = []
        for number, (pattern, of) in enumerate(patterns):
            if pattern.is_glob:
                self._globs.append((number, pattern, of))
            else:
                key = (pattern.manager, pattern.name)
                self._known.setdefault(key, []).append((number, pattern, of))

    @property
    def names(self) -> Iterable[str]:
        """The names that are written without ``*``."""
        return (name for _, name in self._known)

    def of(self, manager: Manager, name: str) -> list[tuple[PackagePattern, Of]]:
        """Return those about a name, in their order."""
        found = list(self._known.get((manager, name), ()))
        found += [g for g in self._globs if g[1].manager == manager and g[1].names(name)]
        return [(pattern, of) for _, pattern, of in sorted(found, key=lambda one: one[0])]

    def of_either(self, name: str) -> list[tuple[PackagePattern, Of]]:
        """Return those of conda about a name that conda or PyPI has, which differ in signs."""
        if name == canonicalize_name(name):
            spellings = {name, name.replace("-", "_"), name.replace("-", ".")}
        else:
            spellings = {name}
        return [found for spelling in sorted(spellings) for found in self.of("conda", spelling)]
