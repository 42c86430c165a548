"""Many packages against rules: computed in processes of their own, in parts of a bounded size."""

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from builder.records import split_match_spec
from builder.rules.candidate import Candidate
from builder.rules.judging import Judge, Whole
from builder.rules.model import Advisory, Rules, digest_of_advisories
from builder.rules.violation import Violation
from registry.policy.policy import Policy
from registry.policy.waivers import Waiver


@dataclass(frozen=True, slots=True)
class WholeLock:
    """What is judged of a lock beside its packages one by one, for one platform."""

    key: str
    whole: Whole
    #: Those that :func:`names_together` names.
    packages: tuple[Candidate, ...] = ()


class Held(Protocol):
    """Knows what holds; :class:`registry.policy.book.PolicyBook`."""

    @property
    def advisories(self) -> Sequence[Advisory]:
        """All advisories; the same object until they change."""
        ...

    def policies(self) -> Sequence[Policy]:
        """Return all policies, sorted."""
        ...

    def waivers(self) -> Sequence[Waiver]:
        """Return all waivers, sorted."""
        ...


def judge_packages(
    rules: bytes, packages: Sequence[Candidate]
) -> list[tuple[int, tuple[Violation, ...]]]:
    """Return what packages break, of both modes, by their places; of those that break anything.

    Args:
        rules: As :meth:`Rules.to_json` writes them.
        packages: A part of a bounded size.
    """
    judge = _judge(rules)
    found = ((place, judge.violations(package)) for place, package in enumerate(packages))
    return [(place, violations) for place, violations in found if violations]


def judge_wholes(
    rules: bytes, locks: Sequence[WholeLock]
) -> list[tuple[str, tuple[Violation, ...]]]:
    """Return what locks break as a whole, by their keys; of those that break anything."""
    judge = _judge(rules)
    found = ((lock.key, judge.together(lock.whole, lock.packages)) for lock in locks)
    return [(key, violations) for key, violations in found if violations]


def names_together(rules: Rules) -> frozenset[str]:
    """Return the names of packages by which a lock is judged as a whole."""
    names = {rule.condition for rule in rules.required if not rule.is_default} - {""}
    for rule in rules.required:
        split = split_match_spec(rule.spec)
        if split is not None and not rule.is_default:
            names.add(split[0])
    return frozenset(names)


def fingerprint(held: Held, today: datetime.date) -> str:
    """Return what stands for all that locks are judged by: the same on every server.

    It takes a while where there are many advisories: call it in a thread.
    """
    policies = held.policies()
    moves = any(policy.document.age is not None for policy in policies)
    judged = hashlib.sha256(f"{today if moves else ''}\n".encode())
    for policy in policies:
        judged.update(repr((policy.name, policy.namespace, policy.text)).encode())
    if policies:
        for waiver in held.waivers():
            judged.update(repr(waiver).encode())
        if any(policy.document.advisories is not None for policy in policies):
            judged.update(digest_of_advisories(held.advisories).encode())
    return judged.hexdigest()[:32]


@lru_cache(maxsize=4)
def _judge(rules: bytes) -> Judge:
    return Judge(Rules.from_json(rules))
