"""What may be built: every lock is held against policies and blocks before an image is made of it.

::

    spec ─→ apply ─→ solved by its rules ─→ judge ─→ built
    lock, list ─→ ask of wheels ───────────→ judge ─→ built

A solve leaves out what rules refuse. Judging what it came to is a net below that, and what finds
the warnings.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from lru import LRU

from builder.errors import PolicyRefused
from builder.lock import Lock, Told
from builder.records import without_credentials
from builder.rules.applying import applied
from builder.rules.judging import Judge, judge_lock
from builder.rules.model import NO_RULES, Rules
from builder.rules.violation import Violation
from builder.spec import Channel, EnvironmentSpec
from registry.images.blocked import BlockedBuilds
from registry.images.rules import RulesRecords

#: So many locks are judged at once.
_PARALLEL: Final = 2
#: For so many places the rules are at hand as judges have them.
_REMEMBERED: Final = 8

#: Returns the rules that hold for what has no namespace.
GlobalRules = Callable[[], Awaitable[Rules]]
#: Returns a lock with what rules want to know of its wheels.
WheelFactsOf = Callable[[Lock, Rules], Awaitable[Lock]]


async def no_rules() -> Rules:
    """Return none: for where there are no policies."""
    return NO_RULES


async def no_facts(lock: Lock, rules: Rules) -> Lock:
    """Return the lock as it is: nobody is asked of its wheels."""
    del rules
    return lock


class BuildJudge:
    """Holds what is to be built against policies and blocks.

    Args:
        channels: What the administrator offers, by which channels have names.
        records: Keep rules.
        blocked: Knows which builds are blocked.
        everywhere: Returns the rules that hold for what has no namespace.
        facts: Asks the index of wheels that were sent when they were uploaded, and them for their
            licences, if rules are about that.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        records: RulesRecords,
        blocked: BlockedBuilds,
        everywhere: GlobalRules = no_rules,
        facts: WheelFactsOf = no_facts,
    ) -> None:
        self._channels = {without_credentials(one.url): one.name for one in channels}
        #: Where rules are kept.
        self.records = records
        #: Which builds nobody may have.
        self.blocked = blocked
        self._everywhere = everywhere
        self._facts = facts
        self._turns = asyncio.Semaphore(_PARALLEL)
        #: By the identity of their rules, which they hold: what is known of many policies and
        #: advisories is read once.
        self._judges: LRU[int, Judge] = LRU(_REMEMBERED)

    async def everywhere(self) -> Rules:
        """Return the rules for what has no namespace; the same object until one changes.

        Raises:
            StoreUnavailable: They are in the store, which does not answer.
        """
        return await self._everywhere()

    async def apply(self, spec: EnvironmentSpec, rules: Rules) -> tuple[EnvironmentSpec, Told]:
        """Return what is solved of a specification, and what is told of it.

        The rules are in the store then, for whoever solves it.

        Raises:
            PolicyRefused: It cannot be had by these rules.
            StoreUnavailable: The store does not answer.
        """
        if not rules:
            return spec, Told()
        done = await asyncio.to_thread(applied, spec, rules)
        told = Told(
            added=tuple(one.sentence for one in done.additions),
            warnings=tuple(one.sentence for one in done.warnings),
        )
        digest = await self.records.keep(rules)
        # The solve leaves channels out itself, and says so of a package that only those have.
        return replace(done.spec, channels=spec.channels, rules=digest), told

    async def informed(self, lock: Lock, rules: Rules) -> Lock:
        """Return a lock that was sent with what rules want to know of its wheels.

        Raises:
            SolveError: The index does not answer.
            PackageError: A wheel whose licence matters cannot be had.
            UnsupportedItem: It has wheels, and none are offered.
        """
        return await self._facts(lock, rules) if rules else lock

    async def judge(self, lock: Lock, rules: Rules) -> Told:
        """Return what is told of a lock that may be built.

        Raises:
            PolicyRefused: It breaks a rule.
            BuildBlocked: It is blocked.
        """
        told = await self.hold(lock, rules)
        await self.blocked.require_lock(lock)
        return told

    async def hold(self, lock: Lock, rules: Rules) -> Told:
        """Return what rules say of a lock that they allow.

        Raises:
            PolicyRefused: It breaks one.
        """
        found: Sequence[Violation] = ()
        if rules:
            async with self._turns:
                # Not in a process: rules with all advisories of PyPI are larger than the lock.
                found = await asyncio.to_thread(self._violations, lock, rules)
        refused = [violation for violation in found if violation.mode == "enforce"]
        if refused:
            raise _error(refused)
        return Told(warnings=tuple(violation.sentence for violation in found))

    def _violations(self, lock: Lock, rules: Rules) -> Sequence[Violation]:
        judge = self._judges.get(id(rules))
        if judge is None:
            judge = self._judges[id(rules)] = Judge(rules)
        return judge_lock(lock, judge, self._channels)


def _error(refused: Sequence[Violation]) -> PolicyRefused:
    """Return the first refusal, with all packages for which one has to ask its policy.

    A lock has the versions that it has: one waiver alone would only lead to the next refusal.
    """
    first = refused[0].refusal
    packages = dict.fromkeys(
        package
        for violation in refused
        if (violation.policy, violation.manager) == (first.policy, first.manager)
        for package in violation.refusal.packages
    )
    return PolicyRefused(
        refused[0].told, replace(first, packages=tuple(packages) if first.packages else ())
    )
