"""Proposals: versions that are built, and wait for somebody to activate them.

Whoever sees an environment sees its proposals; to all others there are none. Whoever may activate
a version of it decides.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.differences import VersionPackages
from registry.catalog.proposal_records import Proposal
from registry.catalog.records import EVERYTHING
from registry.errors import BuildUnknown, ProposalUnknown, VersionNotBuilt, VersionUnknown
from registry.policy.advisory_changes import advisory_changes
from registry.web.api.answers import answer, page_answer
from registry.web.api.diff_documents import DiffDocument
from registry.web.api.diffs import known_bytes, lock_diff
from registry.web.api.documents import diff_document
from registry.web.api.endpoints import Call, Further, RoleThere
from registry.web.api.models import NoBody, NoQuery, ProposalDecision, ProposalsQuery
from registry.web.api.proposal_documents import (
    ProposalAdvisories,
    ProposalDetails,
    ProposalDocument,
    advisories_document,
    findings_document,
    proposal_document,
)

#: So much of what policies have against a proposal is told.
_MAX_FINDINGS: Final = 20


async def get_proposals(call: Call[ProposalsQuery, NoBody]) -> ASGIApp:
    """List the proposals that you may see, the newest first."""
    page = await call.catalog.proposals.list(
        visible=call.visible,
        namespace=call.query.namespace,
        environment=call.query.environment,
        state=call.query.state,
        before=call.query.number,
        limit=call.query.limit,
    )
    documents = {one.id: await _document(call, one) for one in page.items}
    return page_answer(call, page, lambda one: documents[one.id])


async def get_proposal(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a proposal, and what has to be known to decide about it."""
    proposal = await _proposal(call)
    place = (proposal.namespace, proposal.environment)
    found = await call.catalog.findings.list(
        visible=EVERYTHING,
        namespace=place[0],
        environment=place[1],
        key=proposal.key,
        limit=_MAX_FINDINGS,
    )
    is_forbidden = any(one.mode == "enforce" for one in found.items)
    document = await _document(call, proposal, is_forbidden=is_forbidden)
    diff, advisories = None, None
    if document["blocked"] is None and proposal.base is not None:
        # A version that was moved away with its environment, or whose lock is lost, has no diff.
        with suppress(VersionUnknown, VersionNotBuilt, BuildUnknown):
            a, b = await call.catalog.differences.of(*place, proposal.base, proposal.number)
            advisories = await _advisories(call, a, b)
            diff = await _diff(call, a, b)
    details: ProposalDetails = {
        **document,
        "test_output": proposal.test.output,
        "diff": diff,
        "advisories": advisories,
        "findings": findings_document(found.items),
    }
    return answer(200, details)


async def post_proposal_decision(call: Call[NoQuery, ProposalDecision]) -> ASGIApp:
    """Make a proposal the active version, on every server; or reject it."""
    proposal = await _proposal(call)
    if call.body.activate:
        await call.request.state["services"].builds.locked.blocked.require(proposal.key)
        found = await call.catalog.proposals.activate(
            call.actor, proposal.id, reason=call.body.reason
        )
    else:
        found = await call.catalog.proposals.reject(
            call.actor, proposal.id, reason=call.body.reason
        )
    return answer(200, await _document(call, found))


async def post_proposal_test(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Run the test of a proposal again, with the command that its environment has now."""
    proposal = await _proposal(call)
    await call.request.state["services"].builds.locked.blocked.require(proposal.key)
    found = await call.catalog.proposals.test_again(call.actor, proposal.id)
    return answer(202, await _document(call, found))


async def needs_of_proposal(call: Call[Any, Any]) -> Sequence[Further]:
    """Return what deciding and testing need: what activating a version does."""
    proposal = await _proposal(call)
    return [RoleThere("editor", proposal.namespace, proposal.environment)]


async def _proposal(call: Call[Any, Any]) -> Proposal:
    """Return the proposal of the address, if whoever asks may see it.

    Raises:
        ProposalUnknown: They may not, or there is none.
    """
    number = call.number("id")
    proposal = await call.catalog.proposals.get(number)
    if not call.rights.has_role("viewer", proposal.namespace, proposal.environment):
        raise ProposalUnknown(number)
    return proposal


async def _document(
    call: Call[Any, Any], proposal: Proposal, *, is_forbidden: bool = False
) -> ProposalDocument:
    blocked = await call.request.state["services"].builds.locked.blocked.sentence(proposal.key)
    return proposal_document(proposal, call.rights, blocked, is_forbidden=is_forbidden)


async def _diff(
    call: Call[NoQuery, NoBody], a: VersionPackages, b: VersionPackages
) -> DiffDocument:
    fetched = await known_bytes(call, a.key, b.key)
    return diff_document(a.key, b.key, await lock_diff(call, a, b), fetched)


async def _advisories(
    call: Call[NoQuery, NoBody], a: VersionPackages, b: VersionPackages
) -> ProposalAdvisories | None:
    """Return what becomes of advisories; ``None``: nothing is known of them, or of the packages."""
    known = call.catalog.book.advisories
    if not known or not (a.is_known and b.is_known):
        return None
    found = await asyncio.to_thread(advisory_changes, a.candidates, b.candidates, known)
    return advisories_document(found)
