"""What the catalog tells of proposals: frozen records, without anything of a database in them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from registry.catalog.records import Reason

#: How far a proposal is. ``replaced``: another version was proposed or activated in the meantime,
#: or its environment is gone.
ProposalState = Literal["open", "activated", "rejected", "replaced"]
#: How far its test is. ``none``: its environment names none.
TestState = Literal["none", "waiting", "running", "passed", "failed"]


@dataclass(frozen=True, slots=True)
class ProposalTest:
    """The test of a proposal."""

    #: For a shell; empty: there is none.
    command: str
    state: TestState
    #: One sentence on a test that did not pass; empty otherwise.
    message: str
    #: The end of what it wrote.
    output: str
    #: When it ended, or was begun last.
    at: datetime | None
    #: How long it took; ``None``: it has not ended.
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A version that is built and waits for somebody to activate it."""

    id: int
    environment_id: int
    #: The slugs of where it is now.
    namespace: str
    environment: str
    #: The version's.
    number: int
    #: Its build.
    key: str
    #: What it was, or is, compared with: the active version; ``None``: there was none.
    base: int | None
    state: ProposalState
    #: Whether it is activated when its test passes.
    is_automatic: bool
    #: Whether somebody has chosen an active version since it was asked for: then it is not
    #: activated unasked.
    is_overtaken: bool
    #: Of the version: why there is one, what was said of it, and who asked for it.
    reason: Reason
    note: str
    requested_by: str | None
    created_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    #: What whoever decided says, or what has replaced it.
    decision: str
    test: ProposalTest

    @property
    def path(self) -> str:
        """The environment's path."""
        return f"{self.namespace}/{self.environment}"


@dataclass(frozen=True, slots=True)
class ClaimedTest:
    """A test that somebody has taken up, as :meth:`Proposals.claim_test` gives it."""

    #: The proposal's number.
    proposal: int
    #: The claim: whoever knows it may tell what came of the test.
    by: str
    namespace: str
    environment: str
    #: The version's number, and its build.
    number: int
    key: str
    #: For a shell.
    command: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a test."""

    has_passed: bool
    #: One sentence on one that did not pass; empty otherwise.
    message: str = ""
    #: The end of what it wrote: at most :data:`MAX_OUTPUT` characters of it are kept.
    output: str = ""
    duration_ms: int = 0
