"""The phases of a build, one after the other, as its status and its log tell of them."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from builder.ports import Progress, Stage
from registry.requests.status import RequestStatus

#: The builder's stages, with what comes before them.
Phase = Literal["queue", "solve", "pypi", "base", "download", "plan", "assemble", "finish"]
PhaseState = Literal["done", "now", "later", "failed", "skipped"]

_STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
_BY_WORDS: Final[Mapping[str, Stage]] = {str(Progress(stage)): stage for stage in _STAGES}
PHASES: Final[Mapping[Phase, str]] = {
    "queue": "waiting for its turn",
    **{stage: words for words, stage in _BY_WORDS.items()},
}


def phase_of(status: RequestStatus | None) -> Phase:
    """Return the phase in which a request is, or was when it ended."""
    if status is None:
        return "queue"
    if status.key is not None and status.has_ended:  # its version is told in a moment
        return "finish"
    return _BY_WORDS.get(status.progress.partition(" (")[0], "queue")


def phase_states(
    status: RequestStatus | None, *, has_ended: bool, has_failed: bool
) -> Sequence[tuple[Phase, PhaseState]]:
    """Return all phases with how far they are.

    Args:
        status: Of the request; ``None``: there is none yet, or no more.
        has_ended: Whether nothing more will happen.
        has_failed: Whether it came to nothing.
    """
    here = phase_of(status)
    begun = {"queue", *_begun(status)}
    found: list[tuple[Phase, PhaseState]] = []
    is_before = True
    for phase in PHASES:
        if has_ended and not has_failed:
            state: PhaseState = "done" if status is None or phase in begun else "skipped"
        elif phase == here:
            state, is_before = "failed" if has_ended else "now", False
        elif is_before:
            state = "done" if phase in begun else "skipped"
        else:
            state = "later"
        found.append((phase, state))
    return found


def _begun(status: RequestStatus | None) -> Sequence[Stage]:
    """Return the stages that the log tells of: its lines are a time and words."""
    if status is None:
        return ()
    words = {line.partition(" ")[2].partition(" (")[0] for line in status.log}
    return [stage for said, stage in _BY_WORDS.items() if said in words]
