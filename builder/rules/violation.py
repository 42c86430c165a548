"""One rule that is broken, in words."""

from dataclasses import dataclass
from typing import Final

from builder.errors import PolicyRefused, Refusal
from builder.rules.model import Author, Manager, Mode, RuleKind

#: ``docker`` shows a message in one line of a terminal.
_MAX_LENGTH: Final = 400


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that something breaks."""

    kind: RuleKind
    author: Author
    #: What is wrong, as it stands behind a colon, e.g. ``"it is younger than 7 days"``.
    reason: str
    #: Who installs the package that breaks it; of no package where :attr:`name` is empty.
    manager: Manager = "conda"
    name: str = ""
    version: str = ""
    #: For example ``"linux-64"``; ``""``: for all.
    platform: str = ""
    #: The advisory's name, of rules about advisories.
    advisory: str = ""
    #: The version from which on the package is not affected any more, if there is one.
    fixed_in: str = ""

    @property
    def policy(self) -> str:
        """The name of the policy."""
        return self.author.policy

    @property
    def mode(self) -> Mode:
        """Whether it refuses or warns."""
        return self.author.mode

    @property
    def contact(self) -> str:
        """Who to ask, as the policy says it."""
        return self.author.contact

    @property
    def package(self) -> str:
        """The package in words, e.g. ``"numpy 2.3.1"``; ``""``: it is no package."""
        return f"{self.name} {self.version}".rstrip()

    @property
    def sentence(self) -> str:
        """What is wrong, by which policy; without a full stop."""
        what = self.package or "this environment"
        if self.mode == "warn":
            return f"{what} is against policy '{self.policy}': {self.reason}"
        return f"{what} is not allowed by policy '{self.policy}': {self.reason}"

    @property
    def left_out(self) -> str:
        """That a solve has not been offered the package, and why; without a full stop."""
        return f"{self.package} is left out by policy '{self.policy}': {self.reason}"

    @property
    def ask(self) -> str:
        """How to ask for an exception, e.g. ``"ask it@example.org"``; ``""``: nobody is named."""
        return f"ask {self.contact}" if self.contact else ""

    @property
    def told(self) -> str:
        """The sentence with whom to ask, cut to what a terminal shows."""
        return with_ask(self.sentence, self.ask)

    @property
    def refusal(self) -> Refusal:
        """The same for programs, which can ask for a waiver by it."""
        spec = f"{self.name} =={self.version}" if self.version else self.name
        packages = (spec,) if self.name else ()
        return Refusal(self.policy, self.kind, self.contact, self.manager, packages)

    def error(self) -> PolicyRefused:
        """Return it as an error."""
        return PolicyRefused(self.told, self.refusal)


def with_ask(sentence: str, ask: str) -> str:
    """Return a sentence with whom to ask, whose beginning is cut if both are too long.

    >>> with_ask("x 1 is not allowed", "ask it@example.org")
    'x 1 is not allowed; ask it@example.org'
    """
    tail = f"; {ask}" if ask else ""
    room = max(_MAX_LENGTH - len(tail), 0)
    shown = sentence if len(sentence) <= room else sentence[: max(room - 1, 0)].rstrip() + "…"
    return (shown + tail)[:_MAX_LENGTH]
