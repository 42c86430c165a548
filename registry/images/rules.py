"""Rules that builds are made by: kept in the store, since workers and other servers need them.

A spec names its rules by their digest alone, so that an order stays small and equal rules are one
solve. They are written once, before anything names them, and again each day that they are used, by
which it is seen which are used no more.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from lru import LRU

from builder.errors import StoreUnavailable
from builder.ports import Store
from builder.rules.model import NO_RULES, Rules
from builder.spec import RulesDigest
from registry.storage.layout import CURRENT_RULES, RULES, rules_key

#: How long rules stay that nobody uses, in seconds.
KEPT_SECONDS: Final = 30 * 86_400
_DAY_SECONDS: Final = 86_400
#: Of so many the digest is known, as long as they are held elsewhere anyway: each environment has
#: its own.
_DIGESTS: Final = 256
#: So many are in memory that were read: of each policy's change and day there are new ones.
_REMEMBERED: Final = 16


class RulesOf(Protocol):
    """Knows which rules hold for a build; :class:`registry.policy.book.PolicyBook`."""

    def rules(self, namespace: str | None, environment: str | None = None) -> Rules:
        """Return all rules that hold there now; the same object until one changes.

        Args:
            namespace: The slug of the environment's namespace; ``None``: of what has no name of its
                own, such as images by the packages that their names list.
            environment: Its slug; ``None``: there is none yet.
        """
        ...


class NoRules:
    """Knows no rules; implements :class:`RulesOf`."""

    def rules(self, namespace: str | None, environment: str | None = None) -> Rules:
        """Return none."""
        del namespace, environment
        return NO_RULES


@dataclass(slots=True)
class _Known:
    """Rules whose digests are known: to compute them takes a while where there are advisories."""

    #: Held, so that no others get its identity.
    rules: Rules = field(repr=False)
    digest: RulesDigest
    identity: RulesDigest
    #: When it was seen in the store, in seconds since 1970.
    kept_at: float = float("-inf")


class RulesRecords:
    """Writes and reads rules.

    Args:
        store: Where they are.
        now: The time in seconds since 1970.
    """

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._known: LRU[int, _Known] = LRU(_DIGESTS)
        self._read: LRU[RulesDigest, Rules] = LRU(_REMEMBERED)

    async def keep(self, rules: Rules) -> RulesDigest:
        """Return the digest of rules, which are in the store then; ``""`` of none. Idempotent.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        known = await self._of(rules)
        now = self._now()
        if known.digest and known.kept_at <= now - _DAY_SECONDS:
            await self._write(known, now)
            known.kept_at = now
            self._read[known.digest] = rules
        return known.digest

    async def identity(self, rules: Rules) -> RulesDigest:
        """Return :attr:`~builder.rules.model.Rules.identity`, computed once for each object."""
        return (await self._of(rules)).identity

    async def get(self, digest: RulesDigest) -> Rules:
        """Return the rules of a digest.

        Raises:
            StoreUnavailable: They are not there, or the store does not answer.
        """
        if not digest:
            return NO_RULES
        rules = self._read.get(digest)
        if rules is None:
            data = await self._store.read(rules_key(digest))
            if data is None:
                raise StoreUnavailable(
                    f"the rules {digest[:12]} that a build is to be made by are not in the store:"
                    " ask for it again"
                )
            rules = self._read[digest] = await asyncio.to_thread(Rules.from_json, data)
        return rules

    async def publish(self, rules: Rules) -> None:
        """Have whoever knows no policies build by these what has no namespace. Idempotent.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        digest = await self.keep(rules)
        if await self._store.read(CURRENT_RULES) != digest.encode():
            await self._store.write(CURRENT_RULES, digest.encode())

    async def published(self) -> Rules:
        """Return what :meth:`publish` was given last; none, if that never was.

        Raises:
            StoreUnavailable: They are not there, or the store does not answer.
        """
        return await self.get(RulesDigest((await self._store.read(CURRENT_RULES) or b"").decode()))

    async def _of(self, rules: Rules) -> _Known:
        known = self._known.get(id(rules))
        if known is None:
            known = _Known(rules, *await asyncio.to_thread(_digests, rules))
            self._known[id(rules)] = known
        return known

    async def _write(self, known: _Known, now: float) -> None:
        key = rules_key(known.digest)
        async for entry in self._store.entries(key):
            if entry.key == key and entry.modified > now - _DAY_SECONDS:
                return
        await self._store.write(key, await asyncio.to_thread(known.rules.to_json))


async def forget_rules(store: Store, now: float) -> int:
    """Delete the rules that nobody has used for thirty days, and return how many those were.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    old = [
        one.key
        async for one in store.entries(RULES)
        if one.modified < now - KEPT_SECONDS and one.key != CURRENT_RULES
    ]
    for key in old:
        await store.delete(key)
    return len(old)


def _digests(rules: Rules) -> tuple[RulesDigest, RulesDigest]:
    return rules.digest, rules.identity
