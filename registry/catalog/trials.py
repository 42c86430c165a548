"""What a policy would find among everything that there is, before it is switched on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from builder.rules.model import Rules
from builder.rules.violation import Violation
from registry.catalog.findings import Place
from registry.catalog.judged import all_judged
from registry.catalog.judging import Judging
from registry.database import Database
from registry.errors import TrialTooLong
from registry.policy.book import PolicyBook
from registry.policy.compiling import Compiler
from registry.policy.policy import Policy

#: So many findings are told; how many there are is told besides.
MAX_TOLD: Final = 500
#: So many trials are made at once: each judges everything.
_AT_ONCE: Final = 1
#: Whoever asks waits no longer; ten thousand locks take two.
_WAIT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class WouldFind:
    """What a policy would have against a build."""

    key: str
    place: Place
    violation: Violation

    @property
    def is_active(self) -> bool:
        """Whether it is the build of the active version."""
        return self.key == self.place.active_key


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a policy would find."""

    #: Those of active versions first.
    found: Sequence[WouldFind]
    #: Of how many there are in all.
    count: int
    #: In how many environments, and in the active versions of how many.
    environments: int
    active: int
    #: How many builds were judged.
    judged: int


class Trials:
    """Tries policies.

    Args:
        database: Has rows of locks.
        book: What holds.
        judging: Holds locks against rules.
    """

    def __init__(self, database: Database, book: PolicyBook, judging: Judging) -> None:
        self._database = database
        self._book = book
        self._judging = judging
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def rules_with(
        self, policy: Policy, namespace: str | None, environment: str | None = None
    ) -> Rules:
        """Return all rules that would hold for a build, in place of what has the policy's name."""
        others = [
            one
            for one in self._book.policies_of(namespace)
            if (one.name, one.namespace) != (policy.name, policy.namespace)
        ]
        return self._compiled([*others, policy], namespace, environment)

    async def everything(self, policy: Policy) -> TrialResult:
        """Return what a policy would find among everything where it would hold.

        Raises:
            DatabaseUnavailable: It does not answer.
            TrialTooLong: Others try theirs, or processes have other things to do.
        """
        try:
            async with asyncio.timeout(_WAIT_SECONDS) as limit:
                return await self._everything(policy)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise TrialTooLong from exc

    async def _everything(self, policy: Policy) -> TrialResult:
        async with self._turns:
            judged = await all_judged(self._database, policy.namespace)
            found = await self._judging.assess(
                lambda namespace, environment: self._compiled([policy], namespace, environment),
                judged,
            )
        places = judged.places
        some = [
            WouldFind(key, places[number], violation)
            for number, violations in found.items()
            for key, violation in violations
        ]
        some.sort(key=lambda one: (not one.is_active, one.place.namespace, one.place.slug, one.key))
        return TrialResult(
            some[:MAX_TOLD],
            len(some),
            len({one.place.id for one in some if one.place.id}),
            len({one.place.id for one in some if one.is_active}),
            len(judged.all_keys()),
        )

    def _compiled(
        self, policies: Sequence[Policy], namespace: str | None, environment: str | None
    ) -> Rules:
        today = self._database.now().date()
        compiler = Compiler(self._book.advisories, today)
        return compiler.rules(policies, self._book.waivers(), namespace, environment)
