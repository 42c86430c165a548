"""A specification as policies let it be solved.

What depends on nothing but the specification is decided here: channels, platforms, bases, projects
of PyPI, what is required and what is there by default. It is done twice to no other effect than
once, so that whoever takes a specification may refuse it early, and whoever solves it does it in
any case.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import Requirement as PypiRequirement

from builder.platforms import Subdir
from builder.rules.bases import base_violations
from builder.rules.candidate import Candidate
from builder.rules.checks import channel_reason, listed, of_pypi
from builder.rules.match_spec import parse_match_spec
from builder.rules.matching import PackagePattern
from builder.rules.model import ChannelRule, Manager, RequiredRule, Rules
from builder.rules.violation import Violation
from builder.spec import Channel, EnvironmentSpec, Requirement


@dataclass(frozen=True, slots=True)
class Addition:
    """A requirement that a policy adds."""

    policy: str
    #: The match spec, as the policy writes it.
    spec: str
    #: A sentence without a full stop, e.g. ``"tzdata is added by policy 'company'"``.
    sentence: str

    @classmethod
    def by(cls, rule: RequiredRule) -> "Addition":
        """Return what a rule adds."""
        beside = f" beside {rule.condition}" if rule.condition else ""
        reason = f": {rule.reason}" if rule.reason else ""
        sentence = f"{rule.spec} is added{beside} by policy '{rule.author.policy}'{reason}"
        return cls(rule.author.policy, rule.spec, sentence)


@dataclass(frozen=True, slots=True)
class AppliedSpec:
    """What is solved."""

    spec: EnvironmentSpec
    additions: tuple[Addition, ...] = ()
    #: What rules that only warn find.
    warnings: tuple[Violation, ...] = ()
    #: Rules whose condition is known when there is a solution only.
    conditional: tuple[RequiredRule, ...] = ()


def applied(spec: EnvironmentSpec, rules: Rules) -> AppliedSpec:
    """Return what is solved of a specification.

    Raises:
        PolicyRefused: No platform, channel or base of it is allowed, or it asks for a package or
            project of which policies allow no version.
    """
    if not rules:
        return AppliedSpec(spec)
    warnings: list[Violation] = []
    platforms = _platforms(spec, rules, warnings)
    channels = _channels(spec, rules, warnings)
    found = base_violations(rules.bases, spec.base) + list(_wanted(spec, rules))
    for one in found:
        if one.mode == "enforce":
            raise one.error()
    warnings += found
    added = [rule for rule in rules.required if _is_added(rule, spec)]
    requirements = with_required(spec.requirements, added)
    return AppliedSpec(
        replace(spec, platforms=platforms, channels=channels, requirements=requirements),
        tuple(Addition.by(rule) for rule in added),
        tuple(warnings),
        tuple(rule for rule in rules.required if rule.condition and _acts(rule, spec)),
    )


def with_required(
    requirements: Sequence[Requirement], rules: Iterable[RequiredRule]
) -> tuple[Requirement, ...]:
    """Return requirements with those of rules, in canonical form."""
    wanted = {*requirements, *(parse_match_spec(rule.spec) for rule in rules)}
    return tuple(sorted(wanted))


def _acts(rule: RequiredRule, spec: EnvironmentSpec) -> bool:
    """Tell whether a rule adds anything: of a default, the specification's own word counts."""
    if rule.author.mode != "enforce" and not rule.is_default:
        return False
    name = PackagePattern(rule.spec).name
    return not (rule.is_default and any(wanted.name == name for wanted in spec.requirements))


def _is_added(rule: RequiredRule, spec: EnvironmentSpec) -> bool:
    return (
        not rule.condition
        and _acts(rule, spec)
        and parse_match_spec(rule.spec) not in spec.requirements
    )


def _platforms(
    spec: EnvironmentSpec, rules: Rules, warnings: list[Violation]
) -> tuple[Subdir, ...]:
    platforms = list(spec.platforms)
    for rule in rules.platforms:
        refused = [platform for platform in platforms if platform not in rule.allowed]
        for platform in refused:
            reason = f"it is for {platform}, and {listed(rule.allowed)} alone are allowed"
            one = Violation("platforms", rule.author, reason, platform=platform)
            if rule.author.mode == "warn":
                warnings.append(one)
                continue
            # As where nothing fits: the first must be, another one is left out.
            if spec.every_platform or len(refused) == len(platforms):
                raise one.error()
            warnings.append(one)
        if rule.author.mode == "enforce":
            platforms = [platform for platform in platforms if platform in rule.allowed]
    return tuple(platforms)


def _channels(
    spec: EnvironmentSpec, rules: Rules, warnings: list[Violation]
) -> tuple[Channel, ...]:
    """Return the channels that are allowed, in the order in which the first rule names them."""
    channels = list(spec.channels)
    pinned = {wanted.channel: wanted for wanted in spec.requirements if wanted.channel}
    exempt = {
        (PackagePattern(one.spec).channel, one.policy)
        for one in rules.exemptions
        if one.manager == "conda"
    }
    for rule in rules.channels:
        refused = [channel for channel in channels if channel.name not in rule.allowed]
        for channel in refused:
            one = _of_channel(rule, channel, pinned.get(channel.name))
            if rule.author.mode == "warn":
                warnings.append(one)
        if rule.author.mode == "warn":
            continue
        # A waiver for a package of a channel needs the channel; other packages of it break rules.
        kept = [
            channel
            for channel in refused
            if not exempt.isdisjoint({(channel.name, ""), (channel.name, rule.author.policy)})
        ]
        for channel in refused:
            if channel not in kept and channel.name in pinned:
                raise _of_channel(rule, channel, pinned[channel.name]).error()
        allowed = [channel for channel in channels if channel not in refused]
        if not allowed and not kept:
            raise _of_channel(rule, channels[0], None).error()
        order = {name: place for place, name in enumerate(rule.allowed)}
        if rule is next((r for r in rules.channels if r.author.mode == "enforce"), None):
            allowed.sort(key=lambda channel: order[channel.name])
        channels = allowed + kept
    return tuple(channels)


def _of_channel(rule: ChannelRule, channel: Channel, wanted: Requirement | None) -> Violation:
    reason = channel_reason(rule, channel.name)
    return Violation("channels", rule.author, reason, name=wanted.name if wanted else "")


def _wanted(spec: EnvironmentSpec, rules: Rules) -> Iterable[Violation]:
    """Yield what requirements break by their names alone: no version would keep it."""
    exempt = {(one.manager, PackagePattern(one.spec, one.manager).name) for one in rules.exemptions}
    for name in sorted({PypiRequirement(text).name for text in spec.pip}):
        if ("pypi", name) in exempt:
            continue
        wheel = Candidate("pypi", name, "")
        for rule in rules.pypi:
            check = of_pypi(rule, name)
            if check is not None and (found := check(wheel)) is not None:
                yield found
        yield from _denied(rules, "pypi", name)
    for name in sorted({wanted.name for wanted in spec.requirements}):
        if ("conda", name) not in exempt:
            yield from _denied(rules, "conda", name)


def _denied(rules: Rules, manager: Manager, name: str) -> Iterable[Violation]:
    for rule in rules.denied:
        if rule.manager != manager:
            continue
        pattern = PackagePattern(rule.spec, manager)
        if pattern.is_bare and pattern.names(name):
            why = f" ({rule.reason})" if rule.reason else ""
            reason = f"'{rule.spec}' is denied{why}"
            yield Violation("packages", rule.author, reason, manager, name)
