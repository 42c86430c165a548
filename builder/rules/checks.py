"""One check for each rule about packages: what holds a package against it."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from builder.rules.affecting import is_affected
from builder.rules.candidate import UNDATED, Judged
from builder.rules.licences import Verdict, verdict
from builder.rules.matching import PackagePattern
from builder.rules.model import (
    AdvisoryRule,
    Affected,
    AgeRule,
    Author,
    ChannelRule,
    LicenceRule,
    PypiRule,
    RuleKind,
)
from builder.rules.violation import Violation

#: Holds a package against one rule, whatever its mode.
Check = Callable[[Judged], Violation | None]


def _broken(kind: RuleKind, author: Author, package: Judged, reason: str) -> Violation:
    return Violation(kind, author, reason, package.manager, package.name, package.version)


def passed(package: Judged) -> Violation | None:
    """Pass any package: that of a name that no rule is about."""
    del package
    return None


def from_channel(rule: ChannelRule) -> Check:
    """Return the check of one rule about channels."""

    def check(package: Judged) -> Violation | None:
        if package.channel in rule.allowed:
            return None
        reason = channel_reason(rule, package.channel)
        return _broken("channels", rule.author, package, reason)

    return check


def channel_reason(rule: ChannelRule, channel: str) -> str:
    """Return what is wrong with a channel."""
    return f"channel '{channel}' is none of those that are allowed: {listed(rule.allowed)}"


def not_denied(author: Author, pattern: PackagePattern, why: str) -> Check:
    """Return the check of one denied match spec; of versions that cannot be read, all are."""
    reason = f"'{pattern.text}' is denied"
    if why:
        reason = f"{reason} ({why})"

    def check(package: Judged) -> Violation | None:
        if not pattern.matches(package, doubtful=True):
            return None
        return _broken("packages", author, package, reason)

    return check


def with_licence(rule: LicenceRule) -> Check:
    """Return the check of one rule about licences.

    A wheel of which nobody has looked up the licence breaks none; see
    :data:`builder.rules.candidate.NO_LICENCE`.
    """
    #: What is wrong with each licence that was seen.
    known: dict[str, str] = {}

    def check(package: Judged) -> Violation | None:
        licence = package.licence
        if not licence and package.manager == "pypi":
            return None
        reason = known.get(licence)
        if reason is None:
            reason = known[licence] = _licence_reason(rule, licence)
        return _broken("licences", rule.author, package, reason) if reason else None

    return check


def of_age(rule: AgeRule, exempt: Sequence[PackagePattern]) -> Check:
    """Return the check of one rule of age.

    A wheel about which nobody has been asked breaks none.
    """

    def check(package: Judged) -> Violation | None:
        published_ms = package.published_ms
        if published_ms is None and package.manager == "pypi":
            return None
        is_dated = published_ms is not None and published_ms != UNDATED
        if is_dated and (published_ms or 0) <= rule.published_until_ms:
            return None
        # Of what a match spec says beside the name, PyPI's packages know nothing.
        if any(package.manager == "pypi" or pattern.matches(package) for pattern in exempt):
            return None
        reason = f"it is younger than {rule.minimum}"
        if not is_dated:
            reason = f"nobody says whether it is older than {rule.minimum}"
        return _broken("age", rule.author, package, reason)

    return check


def _licence_reason(rule: LicenceRule, licence: str) -> str:
    """Return what is wrong with a licence; ``""``: nothing."""
    found, expression = verdict(licence, rule)
    if found is Verdict.DENIED:
        return f"its licence {expression} is not allowed"
    if found is Verdict.UNKNOWN and not rule.allows_unknown:
        shown = expression or " ".join(licence.split())[:60]
        return f"its licence '{shown}' is none that is known" if shown else "its licence is unknown"
    return ""


def unaffected(rule: AdvisoryRule, number: int, about: Sequence[Affected]) -> Check:
    """Return the check of one advisory.

    Args:
        rule: The rule it is of.
        number: Its place there.
        about: What of it is about a package of the name in question.
    """
    advisory = rule.advisories[number]

    def check(package: Judged) -> Violation | None:
        for affected in about:
            hit, fixed = is_affected(affected, package)
            if hit:
                severity = f" ({advisory.severity})" if advisory.severity else ""
                reason = f"{advisory.id}{severity} affects it"
                if fixed:
                    reason = f"{reason}, fixed in {fixed}"
                return Violation(
                    "advisories",
                    rule.author,
                    reason,
                    package.manager,
                    package.name,
                    package.version,
                    advisory=advisory.id,
                    fixed_in=fixed,
                )
        return None

    return check


def of_pypi(rule: PypiRule, name: str) -> Check | None:
    """Return the check of a project of PyPI; ``None``: the rule allows it."""
    if not rule.is_allowed:
        reason = "packages of PyPI are not allowed"
    elif rule.projects and not any(fnmatchcase(name, pattern) for pattern in rule.projects):
        reason = f"of PyPI only {listed(rule.projects)} are allowed"
    else:
        return None
    return lambda package: _broken("pypi", rule.author, package, reason)


def unless_exempt(check: Check, exemptions: Sequence[tuple[str, PackagePattern]]) -> Check:
    """Return a check that passes what a waiver lets pass, by policy's name or ``""``."""

    def checked(package: Judged) -> Violation | None:
        found = check(package)
        if found is None:
            return None
        for policy, pattern in exemptions:
            if policy in {"", found.policy} and pattern.matches(package):
                return None
        return found

    return checked


def listed(names: Sequence[str]) -> str:
    """Return names in words, a few of them.

    >>> listed(["a", "b"])
    'a, b'
    """
    shown = ", ".join(names[:5])
    return f"{shown}, …" if len(names) > 5 else shown or "none"
