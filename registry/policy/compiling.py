"""Policies, waivers and advisories become rules for one build.

Every policy that holds adds rules, and rules hold beside each other: one more policy, or one more
rule in one, allows nothing that was not allowed before. Waivers alone lift rules. The same
arguments give the same rules, in whatever order policies come.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lru import LRU

from builder.rules.model import (
    Advisory,
    AdvisoryRule,
    AgeRule,
    Author,
    BaseRule,
    ChannelRule,
    DeniedRule,
    LicenceRule,
    LimitRule,
    PlatformRule,
    PypiRule,
    RequiredRule,
    Rules,
)
from registry.policy.documents import SEVERITIES, AdvisoriesTable, RequiredEntry
from registry.policy.durations import parse_duration
from registry.policy.policy import Policy, holds_in
from registry.policy.waivers import Waiver

#: Of so many policies what advisories count is remembered; a policy that was changed is another.
_MAX_CHOSEN: Final = 256


def compile_rules(
    policies: Iterable[Policy],
    waivers: Iterable[Waiver],
    advisories: Sequence[Advisory],
    namespace: str | None,
    environment: str | None,
    today: datetime.date,
) -> Rules:
    """Return the rules for a build.

    Args:
        policies: All there are; those count that hold in the namespace. No two have the same name
            and namespace.
        waivers: Those that have not expired; those count that hold there.
        advisories: Sorted by their ids.
        namespace: Where the build belongs, by its slug; ``None``: nowhere, as ``env/numpy``.
        environment: By its slug; ``None``: any of the namespace.
        today: From its start on, UTC, ages are counted back.
    """
    return Compiler(advisories, today).rules(policies, waivers, namespace, environment)


def policy_order(policy: Policy) -> tuple[str, str]:
    """Return what policies are sorted by: their names."""
    return policy.name, policy.namespace or ""


@dataclass
class Compiler:
    """Compiles policies of one day; remembers what is the same in all namespaces.

    Args:
        advisories: Sorted by their ids.
        today: From its start on, UTC, ages are counted back.
    """

    advisories: Sequence[Advisory]
    today: datetime.date
    #: By policy; held by all rules that have them, so that their digests are computed once.
    _chosen: "LRU[Policy, AdvisoryRule]" = field(default_factory=lambda: LRU(_MAX_CHOSEN))

    def again(self, advisories: Sequence[Advisory], today: datetime.date) -> "Compiler":
        """Return one of another day; it knows what this one has chosen of the same advisories."""
        if advisories is not self.advisories:
            return Compiler(advisories, today)
        return replace(self, today=today)

    def rules(
        self,
        policies: Iterable[Policy],
        waivers: Iterable[Waiver],
        namespace: str | None,
        environment: str | None,
    ) -> Rules:
        """Return the rules for a build; arguments are those of :func:`compile_rules`."""
        holding = sorted((one for one in policies if one.holds_in(namespace)), key=policy_order)
        exempt = [one.exemption for one in waivers if one.holds_in(namespace, environment)]
        return Rules(
            channels=tuple(_channels(holding, namespace)),
            denied=tuple(_denied(holding)),
            licences=tuple(_licences(holding)),
            age=tuple(self._age(holding)),
            advisories=tuple(self._advisories(holding)),
            required=tuple(_required(holding)),
            bases=tuple(_bases(holding)),
            platforms=tuple(_platforms(holding)),
            pypi=tuple(_pypi(holding)),
            limits=tuple(_limits(holding)),
            exemptions=tuple(sorted(exempt, key=lambda one: one.waiver)) if holding else (),
        )

    def _age(self, policies: Iterable[Policy]) -> Iterable[AgeRule]:
        start = datetime.datetime.combine(self.today, datetime.time(), datetime.UTC)
        for policy in policies:
            if table := policy.document.age:
                until = start - datetime.timedelta(seconds=parse_duration(table.minimum))
                yield AgeRule(
                    author_of(policy),
                    table.minimum,
                    int(until.timestamp()) * 1000,
                    tuple(sorted(set(table.exempt))),
                )

    def _advisories(self, policies: Iterable[Policy]) -> Iterable[AdvisoryRule]:
        for policy in policies:
            if table := policy.document.advisories:
                chosen = self._chosen.get(policy)
                if chosen is None:
                    counted = counting(self.advisories, table)
                    chosen = self._chosen[policy] = AdvisoryRule(author_of(policy), counted)
                yield chosen


def author_of(policy: Policy) -> Author:
    """Return who a policy's rules are of."""
    return Author(policy.name, policy.mode, policy.contact)


def counting(advisories: Sequence[Advisory], table: AdvisoriesTable) -> tuple[Advisory, ...]:
    """Return the advisories that count for a policy."""
    severities: set[str] = set(SEVERITIES[SEVERITIES.index(table.minimum_severity) :])
    if table.unscored:
        severities.add("")
    ignored = frozenset(table.ignore)
    return tuple(
        one
        for one in advisories
        if one.severity in severities
        and one.id not in ignored
        and (not ignored or ignored.isdisjoint(one.aliases))
    )


def _channels(policies: Iterable[Policy], namespace: str | None) -> Iterable[ChannelRule]:
    # The first rule says which channel goes before which: never a namespace's own, whatever names
    # the administrators' policies have.
    for policy in sorted(policies, key=lambda one: one.namespace is not None):
        if table := policy.document.channels:
            here = (
                name
                for name in table.allowed
                if name not in table.only_in or holds_in(table.only_in[name], namespace)
            )
            yield ChannelRule(author_of(policy), tuple(here))


def _denied(policies: Iterable[Policy]) -> Iterable[DeniedRule]:
    for policy in policies:
        if table := policy.document.packages:
            for entry in table.denied:
                yield DeniedRule(author_of(policy), entry.spec, entry.manager, entry.reason)


def _licences(policies: Iterable[Policy]) -> Iterable[LicenceRule]:
    for policy in policies:
        table = policy.document.licences
        if table and (table.allowed or table.denied or table.unknown == "deny"):
            yield LicenceRule(
                author_of(policy),
                tuple(table.allowed),
                tuple(table.denied),
                allows_unknown=table.unknown == "allow",
            )


def _required(policies: Iterable[Policy]) -> Iterable[RequiredRule]:
    for policy in policies:
        if table := policy.document.packages:
            for entry in table.required:
                yield _required_rule(policy, entry, is_default=False)
            for entry in table.default:
                yield _required_rule(policy, entry, is_default=True)


def _required_rule(policy: Policy, entry: RequiredEntry, *, is_default: bool) -> RequiredRule:
    return RequiredRule(
        author_of(policy),
        entry.spec,
        entry.condition or "",
        is_default=is_default,
        reason=entry.reason,
    )


def _bases(policies: Iterable[Policy]) -> Iterable[BaseRule]:
    for policy in policies:
        if table := policy.document.bases:
            yield BaseRule(author_of(policy), tuple(table.allowed))


def _platforms(policies: Iterable[Policy]) -> Iterable[PlatformRule]:
    for policy in policies:
        if table := policy.document.platforms:
            yield PlatformRule(author_of(policy), tuple(table.allowed))


def _pypi(policies: Iterable[Policy]) -> Iterable[PypiRule]:
    for policy in policies:
        table = policy.document.pypi
        if table and (table.projects or not table.allowed):
            yield PypiRule(author_of(policy), table.allowed, tuple(table.projects))


def _limits(policies: Iterable[Policy]) -> Iterable[LimitRule]:
    for policy in policies:
        table = policy.document.limits
        if table and (table.packages is not None or table.size is not None):
            yield LimitRule(author_of(policy), table.packages, table.size)
