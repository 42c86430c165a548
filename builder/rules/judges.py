"""Judges, kept by the rules that they judge by."""

from collections import OrderedDict
from typing import Final

from builder.rules.judging import Judge
from builder.rules.model import Rules
from builder.spec import RulesDigest

#: For so many rules, which differ between namespaces, judges are kept.
_KEPT: Final = 16


class Judges:
    """The judges that were asked for last; making one reads every match spec of its rules."""

    def __init__(self) -> None:
        self._known: OrderedDict[RulesDigest, Judge] = OrderedDict()

    def get(self, digest: RulesDigest) -> Judge | None:
        """Return the judge by certain rules; ``None``: they must be given first."""
        judge = self._known.get(digest)
        if judge is not None:
            self._known.move_to_end(digest)
        return judge

    def of(self, rules: Rules) -> Judge:
        """Return the judge by rules; it takes milliseconds for thousands of them.

        Raises:
            ValueError: A rule has a match spec that is none.
        """
        judge = self.get(rules.digest)
        if judge is None:
            judge = self._known[rules.digest] = Judge(rules)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return judge
