"""All policies, waivers and advisories that hold, in memory.

Files and the database are read elsewhere; whoever reads them puts here what they say. What holds
for a build is answered from memory, and compiled once for each environment, change and day.
"""

import asyncio
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog
from lru import LRU

from builder.rules.model import Advisory, Rules
from registry.errors import PolicyTextInvalid
from registry.policy.compiling import Compiler, policy_order
from registry.policy.policy import Policy
from registry.policy.waivers import Waiver

_log = structlog.get_logger("registry.policy")

#: For so many environments rules are remembered; the others' are compiled in a moment.
_MAX_REMEMBERED: Final = 4096

_Place = tuple[str | None, str | None]


def utc_now() -> datetime.datetime:
    """Return the time, with its zone."""
    return datetime.datetime.now(datetime.UTC)


class PolicyBook:
    """Knows what holds where. It belongs to an event loop, and does nothing that waits.

    Args:
        now: The time, with its zone.
        on_problems: Told of what place how many texts cannot be used, when that is known anew.
    """

    def __init__(
        self,
        now: Callable[[], datetime.datetime] = utc_now,
        on_problems: Callable[[str, int], None] = lambda _place, _count: None,
    ) -> None:
        self._now = now
        self._on_problems = on_problems
        self._of_files: dict[str, Policy] = {}
        self._of_database: dict[tuple[str | None, str], Policy] = {}
        self._waivers: dict[int, Waiver] = {}
        self._advisories: tuple[Advisory, ...] = ()
        self._problems: dict[str, tuple[PolicyTextInvalid, ...]] = {}
        self._changes = 0
        self._changed = asyncio.Event()
        self._compiler = Compiler((), datetime.date.min)
        self._remembered: LRU[_Place, Rules] = LRU(_MAX_REMEMBERED)
        #: When what is remembered has to be compiled again, though nothing was put here.
        self._until = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    @property
    def changes(self) -> int:
        """How often something was put here that changed what holds; also over midnight."""
        return self._changes

    def rules(self, namespace: str | None, environment: str | None = None) -> Rules:
        """Return the rules for a build, the same object until something changes; never raises.

        Args:
            namespace: Where it belongs, by its slug; ``None``: nowhere, as ``env/numpy`` and
                ``/api/v1/builds``.
            environment: By its slug; ``None``: any of the namespace.
        """
        now = self._now()
        if now >= self._until:
            self._begin(now)
        place = (namespace, environment)
        found = self._remembered.get(place)
        if found is None:
            found = self._compiler.rules(
                self.policies(), self._waivers.values(), namespace, environment
            )
            self._remembered[place] = found
        return found

    def policies(self) -> Sequence[Policy]:
        """Return all policies that are heeded, sorted by name: of one name, the file's."""
        heeded = dict(self._of_database)
        heeded.update({(None, name): policy for name, policy in self._of_files.items()})
        return sorted(heeded.values(), key=policy_order)

    def policies_of(self, namespace: str | None) -> Sequence[Policy]:
        """Return the policies that hold in a namespace, sorted by name."""
        return [policy for policy in self.policies() if policy.holds_in(namespace)]

    def policy(self, name: str, namespace: str | None = None) -> Policy | None:
        """Return the policy with that name that is heeded, if there is one."""
        found = self._of_files.get(name) if namespace is None else None
        return found or self._of_database.get((namespace, name))

    def is_kept_in_file(self, name: str) -> bool:
        """Tell whether an administrator's policy is a file's: nobody else changes it."""
        return name in self._of_files

    def waivers(self) -> Sequence[Waiver]:
        """Return the waivers that were put here, sorted by number."""
        return [waiver for _, waiver in sorted(self._waivers.items())]

    @property
    def advisories(self) -> Sequence[Advisory]:
        """All advisories that are known, sorted by their ids."""
        return self._advisories

    def problems(self) -> Sequence[PolicyTextInvalid]:
        """Return what cannot be used of what was last read, sorted by file."""
        found = (problem for problems in self._problems.values() for problem in problems)
        return sorted(found, key=lambda problem: (problem.file, problem.line or 0))

    async def changed(self, seen: int, timeout_seconds: float | None = None) -> int:
        """Return :attr:`changes` when it is no longer ``seen``, or in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._changes == seen:
                    await self._changed.wait()
        return self._changes

    def put_policy(self, policy: Policy) -> None:
        """Know a policy of the database, in place of the one with its name and namespace."""
        key = (policy.namespace, policy.name)
        if self._of_database.get(key) != policy:
            self._of_database[key] = policy
            self._change()

    def remove_policy(self, name: str, namespace: str | None = None) -> None:
        """Forget a policy of the database; harmless if there is none."""
        if self._of_database.pop((namespace, name), None) is not None:
            self._change()

    def put_waiver(self, waiver: Waiver) -> None:
        """Know a waiver that was given, in place of the one with its number."""
        if self._waivers.get(waiver.number) != waiver:
            self._waivers[waiver.number] = waiver
            self._change()

    def remove_waiver(self, number: int) -> None:
        """Forget a waiver; harmless if there is none."""
        if self._waivers.pop(number, None) is not None:
            self._change()

    def replace_stored(self, policies: Iterable[Policy], waivers: Iterable[Waiver]) -> None:
        """Know these of the database and no others, as when all of it was read."""
        stored = {(policy.namespace, policy.name): policy for policy in policies}
        given = {waiver.number: waiver for waiver in waivers}
        if (stored, given) != (self._of_database, self._waivers):
            self._of_database, self._waivers = stored, given
            self._change()

    def put_files(self, policies: Mapping[str, Policy]) -> None:
        """Know these policies of files, by their names, and no others."""
        if self._of_files != policies:
            self._of_files = dict(policies)
            self._change()

    def put_advisories(self, advisories: tuple[Advisory, ...]) -> None:
        """Know these advisories and no others.

        They are not compared with those that are known: with thousands, that takes a while.

        Args:
            advisories: Sorted by their ids, as :func:`registry.policy.advisories.united` has them.
        """
        self._advisories = advisories
        self._change()

    def put_problems(self, place: str, problems: Iterable[PolicyTextInvalid]) -> None:
        """Know what cannot be used of what was read of one place, and nothing else of it.

        Args:
            place: ``"policies"``, ``"advisories"`` or ``"database"``.
            problems: Empty, once all can be used.
        """
        before = {problem.message for problem in self._problems.get(place, ())}
        found = self._problems[place] = tuple(problems)
        self._on_problems(place, len(found))
        for problem in found:
            if problem.message not in before:
                _log.error("failed to use a text, what it said before holds", why=problem.message)

    def _change(self) -> None:
        self._begin(self._now())

    def _begin(self, now: datetime.datetime) -> None:
        """Forget what was compiled, and wake who waits for a change."""
        now = now.astimezone(datetime.UTC)
        self._waivers = {
            number: waiver for number, waiver in self._waivers.items() if not waiver.is_expired(now)
        }
        midnight = datetime.datetime.combine(
            now.date() + datetime.timedelta(days=1), datetime.time(), datetime.UTC
        )
        expiring = (one.expires_at for one in self._waivers.values() if one.expires_at is not None)
        self._until = min([midnight, *expiring])
        self._compiler = self._compiler.again(self._advisories, now.date())
        self._remembered.clear()
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()
