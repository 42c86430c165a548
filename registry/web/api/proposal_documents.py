"""What addresses of proposals answer, as JSON."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.rules.model import Manager, Mode
from registry.catalog.findings import Finding
from registry.catalog.proposal_records import Proposal, ProposalState, TestState
from registry.catalog.records import Reason
from registry.policy.advisory_changes import AdvisoryChange, AdvisoryChanges
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    environment_path,
    time_or_none,
    time_text,
    version_path,
)
from registry.web.api.diff_documents import DiffDocument
from registry.web.api.documents import PREFIX
from registry.web.api.rights import Rights

#: So many advisories are told of either kind: the worst; how many there are is told besides.
_MAX_ADVISORIES: Final = 100
_MAX_ALIASES: Final = 5


class ProposalTestDocument(TypedDict):
    """How far the test of a proposal is."""

    command: Annotated[str, Field(description="for a shell; empty: the environment named none")]
    state: TestState
    message: Annotated[str, Field(description="one sentence on a test that did not pass; or empty")]
    at: Annotated[Moment | None, Field(description="when it ended, or was begun last")]
    seconds: Annotated[float | None, Field(description="how long it took; null: it has not ended")]


class ProposalDocument(TypedDict):
    """A version that is built and waits for somebody to activate it."""

    id: int
    state: Annotated[
        ProposalState,
        Field(description="`replaced`: another version was proposed or activated since"),
    ]
    environment: str
    version: int
    base: Annotated[
        int | None,
        Field(description="the version that is, or was, active in its place; null: none was"),
    ]
    is_automatic: Annotated[bool, Field(description="whether it is activated when its test passes")]
    held: Annotated[
        str | None,
        Field(description="why an automatic one whose test passed waits for people; or null"),
    ]
    blocked: Annotated[
        str | None, Field(description="why nobody may have its build; null: one may")
    ]
    reason: Annotated[Reason, Field(description="why there is the version")]
    note: str
    requested_by: str | None
    created_at: Moment
    decided_by: Annotated[str | None, Field(description="null: the service itself, or nobody yet")]
    decided_at: Moment | None
    decision: Annotated[
        str, Field(description="what whoever decided says, or what has replaced it; or empty")
    ]
    test: ProposalTestDocument
    links: Annotated[
        Links, Field(description="`decision` and `test` if it is open and you may do that")
    ]


class ProposalAdvisory(TypedDict):
    """A vulnerability that one of the two versions has, and the other has not."""

    id: str
    aliases: list[str]
    severity: Annotated[str, Field(description="`low`, `medium`, `high`, `critical`; or empty")]
    summary: str
    manager: Manager
    package: str
    version: Annotated[str, Field(description="that is affected")]
    fixed_in: Annotated[str | None, Field(description="the first version without it, if known")]
    platforms: list[str]


class ProposalAdvisories(TypedDict):
    """What becomes of vulnerabilities, the worst first."""

    fixed_count: int
    fixed: Annotated[
        list[ProposalAdvisory], Field(description="the base has them; no more than a hundred")
    ]
    new_count: int
    new: Annotated[
        list[ProposalAdvisory], Field(description="the proposal has them; no more than a hundred")
    ]


class ProposalFinding(TypedDict):
    """What a policy has against a proposal."""

    policy: str
    mode: Mode
    kind: str
    package: str
    advisory: str
    sentence: str


class ProposalDetails(ProposalDocument):
    """A proposal, with what has to be known to decide about it."""

    test_output: Annotated[str, Field(description="the end of what the test wrote")]
    diff: Annotated[
        DiffDocument | None,
        Field(description="from the base to it; null: there is no base, or it is blocked"),
    ]
    advisories: Annotated[
        ProposalAdvisories | None,
        Field(description="as they are known today; null as `diff` is, or nothing is known"),
    ]
    findings: Annotated[
        list[ProposalFinding], Field(description="what policies have against it now; some of it")
    ]


class ProposalPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[ProposalDocument]
    next: str | None


def proposal_document(
    proposal: Proposal, rights: Rights, blocked: str | None, *, is_forbidden: bool = False
) -> ProposalDocument:
    """Return what is told of a proposal.

    Args:
        proposal: Which.
        rights: Of whoever asks; they may see it.
        blocked: Why nobody may have its build; ``None``: one may.
        is_forbidden: Whether a policy has something against it that it forbids.
    """
    test = proposal.test
    return {
        "id": proposal.id,
        "state": proposal.state,
        "environment": proposal.path,
        "version": proposal.number,
        "base": proposal.base,
        "is_automatic": proposal.is_automatic,
        "held": _held(proposal, blocked, is_forbidden=is_forbidden),
        "blocked": blocked,
        "reason": proposal.reason,
        "note": proposal.note,
        "requested_by": proposal.requested_by,
        "created_at": time_text(proposal.created_at),
        "decided_by": proposal.decided_by,
        "decided_at": time_or_none(proposal.decided_at),
        "decision": proposal.decision,
        "test": {
            "command": test.command,
            "state": test.state,
            "message": test.message,
            "at": time_or_none(test.at),
            "seconds": None if test.duration_ms is None else test.duration_ms / 1000,
        },
        "links": _links(proposal, rights, is_blocked=blocked is not None),
    }


def proposal_path(number: int) -> str:
    """Return the address of a proposal."""
    return f"{PREFIX}/proposals/{number}"


def advisories_document(found: AdvisoryChanges) -> ProposalAdvisories:
    """Return what becomes of vulnerabilities."""
    return {
        "fixed_count": len(found.fixed),
        "fixed": [_advisory(one) for one in found.fixed[:_MAX_ADVISORIES]],
        "new_count": len(found.new),
        "new": [_advisory(one) for one in found.new[:_MAX_ADVISORIES]],
    }


def findings_document(found: Sequence[Finding]) -> list[ProposalFinding]:
    """Return what policies have against a proposal."""
    return [
        {
            "policy": one.policy,
            "mode": "enforce" if one.mode == "enforce" else "warn",
            "kind": one.kind,
            "package": f"{one.name} {one.version}".strip(),
            "advisory": one.advisory,
            "sentence": one.sentence,
        }
        for one in found
    ]


def _advisory(one: AdvisoryChange) -> ProposalAdvisory:
    return {
        "id": one.advisory.id,
        "aliases": list(one.advisory.aliases[:_MAX_ALIASES]),
        "severity": one.advisory.severity,
        "summary": one.advisory.summary,
        "manager": one.manager,
        "package": one.name,
        "version": one.version,
        "fixed_in": one.fixed_in or None,
        "platforms": list(one.platforms),
    }


def _held(proposal: Proposal, blocked: str | None, *, is_forbidden: bool) -> str | None:
    """Return why an automatic proposal whose test passed was not activated."""
    is_due = proposal.is_automatic and proposal.test.state == "passed"
    if proposal.state != "open" or not is_due:
        return None
    if blocked is not None:
        return "its test passed, and it waits: its build is blocked"
    if proposal.is_overtaken:
        return (
            "its test passed, and it waits for somebody: the active version was chosen after it was"
            " asked for"
        )
    if is_forbidden:
        return "its test passed, and it waits for somebody: it breaks a policy by now"
    return "its test passed, and it waits for somebody: when it did, it could not be activated"


def _links(proposal: Proposal, rights: Rights, *, is_blocked: bool) -> Links:
    place = (proposal.namespace, proposal.environment)
    here = proposal_path(proposal.id)
    links = {
        "self": here,
        "environment": environment_path(*place),
        "version": version_path(*place, proposal.number),
    }
    if proposal.base is not None:
        links["base"] = version_path(*place, proposal.base)
    if proposal.state == "open" and rights.has_role("editor", *place):
        links["decision"] = f"{here}/decision"
        if not is_blocked:
            links["test"] = f"{here}/test"
    return links
