"""What is told of a lock beside it, and is no part of it: nothing here changes an image."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """What policies did to an environment; each entry is a sentence without a full stop."""

    #: E.g. ``"tzdata is added by policy 'company'"``.
    added: tuple[str, ...] = ()
    #: E.g. ``"numpy 2.3.1 is left out by policy 'company': it is younger than 7 days"``.
    left_out: tuple[str, ...] = ()
    #: What a policy that only warns finds.
    warnings: tuple[str, ...] = ()

    def __add__(self, other: "Told") -> "Told":
        """Return what both say, each sentence once."""
        return Told(
            _joined(self.added, other.added),
            _joined(self.left_out, other.left_out),
            _joined(self.warnings, other.warnings),
        )

    def __bool__(self) -> bool:
        return bool(self.added or self.left_out or self.warnings)


@dataclass(frozen=True, slots=True)
class WheelFacts:
    """What an index says of a wheel that a lock need not know."""

    #: ``""``: nobody has looked; see :data:`builder.rules.candidate.NO_LICENCE`.
    licence: str = ""
    #: When it was uploaded, in milliseconds since 1970; ``None``: nobody has asked; see
    #: :data:`builder.rules.candidate.UNDATED`.
    published_ms: int | None = None


def _joined(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*some, *others)))
