"""What addresses of waivers answer, as JSON."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from packaging.utils import canonicalize_name
from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.rules.affecting import is_affected
from builder.rules.candidate import Candidate
from builder.rules.model import Advisory, Affected, Manager
from registry.catalog.records import WaiverRecord, WaiverScope, WaiverState
from registry.catalog.waiver_specs import package_of
from registry.policy.book import PolicyBook
from registry.policy.documents import SEVERITIES
from registry.policy.holding import sentences_about
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    environment_path,
    time_or_none,
    time_text,
    version_path,
)
from registry.web.api.documents import PREFIX
from registry.web.api.rights import Rights

#: A package has few that matter, and a policy few rules of one kind.
_MAX_ADVISORIES: Final = 20
_MAX_SENTENCES: Final = 20
_MAX_ALIASES: Final = 5
_EXACT: Final = re.compile(r".*===?\s*([^\s,;*]+)")


class WaiverDocument(TypedDict):
    """An exception from a policy that somebody asked for."""

    id: int
    state: WaiverState
    policy: str
    kind: Annotated[str, Field(description="what the rule is about that refused; or empty")]
    rule: Annotated[
        list[str], Field(description="what that policy says of it now; empty: it holds no more")
    ]
    refused: Annotated[
        str | None, Field(description="why the version was refused, as long as it is; or null")
    ]
    manager: Manager
    package: str
    spec: Annotated[str, Field(description="what it lets pass, of one package")]
    environment: Annotated[str | None, Field(description="for which it was asked")]
    version: Annotated[int | None, Field(description="that was refused, and goes on by itself")]
    scope: Annotated[WaiverScope, Field(description="where it holds, or would hold")]
    holds_for: Annotated[str, Field(description="the same in words")]
    reason: str
    requested_by: str
    requested_at: Moment
    decided_by: str | None
    decided_at: Moment | None
    decision: Annotated[str, Field(description="what whoever decided says")]
    expires_at: Annotated[Moment | None, Field(description="null: it has no end")]
    links: Annotated[
        Links, Field(description="`decision` if you may decide, `withdraw` if you may withdraw it")
    ]


class KnownAdvisory(TypedDict):
    """A vulnerability that is known of what a waiver is to let pass."""

    id: str
    aliases: list[str]
    severity: Annotated[str, Field(description="`low`, `medium`, `high`, `critical`; or empty")]
    summary: str
    fixed_in: Annotated[str | None, Field(description="the first version without it, if known")]


class WaiverDetails(WaiverDocument):
    """A waiver, with what has to be known to decide about it."""

    advisories: Annotated[
        list[KnownAdvisory],
        Field(description="those that are known of what it lets pass, the worst first"),
    ]


class WaiverPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[WaiverDocument]
    next: str | None


def waiver_document(waiver: WaiverRecord, rights: Rights, book: PolicyBook) -> WaiverDocument:
    """Return what is told of a waiver.

    Args:
        waiver: Which.
        rights: Of whoever asks; they may see it.
        book: What policies say.
    """
    package = package_of(waiver.spec, waiver.manager)
    policy = book.policy(waiver.policy, waiver.namespace if waiver.is_own else None)
    sentences: Sequence[str] = ()
    if policy is not None and policy.holds_in(waiver.namespace):
        sentences = sentences_about(policy, waiver.namespace, waiver.kind, package, waiver.manager)
    return {
        "id": waiver.id,
        "state": waiver.state,
        "policy": waiver.policy,
        "kind": waiver.kind,
        "rule": list(sentences[:_MAX_SENTENCES]),
        "refused": waiver.refused or None,
        "manager": waiver.manager,
        "package": package,
        "spec": waiver.spec,
        "environment": waiver.path,
        "version": waiver.version,
        "scope": waiver.scope,
        "holds_for": _in_words(waiver),
        "reason": waiver.reason,
        "requested_by": waiver.requested_by,
        "requested_at": time_text(waiver.requested_at),
        "decided_by": waiver.decided_by,
        "decided_at": time_or_none(waiver.decided_at),
        "decision": waiver.decision,
        "expires_at": time_or_none(waiver.expires_at),
        "links": _links(waiver, rights),
    }


def known_advisories(waiver: WaiverRecord, advisories: Sequence[Advisory]) -> list[KnownAdvisory]:
    """Return what is known of what a waiver lets pass; of more than one version, of all.

    A package of conda is taken for the project of PyPI with its name. Twenty thousand advisories
    take some milliseconds: call it in a thread.
    """
    found = sorted(_about(waiver, advisories), key=lambda one: (_rank(one), one["id"]))
    return found[:_MAX_ADVISORIES]


def _about(waiver: WaiverRecord, advisories: Sequence[Advisory]) -> Iterator[KnownAdvisory]:
    name = package_of(waiver.spec, waiver.manager)
    names: set[tuple[Manager, str]] = {(waiver.manager, name), ("pypi", canonicalize_name(name))}
    exact = _EXACT.fullmatch(waiver.spec.split(" ", 2)[1] if " " in waiver.spec else waiver.spec)
    for advisory in advisories:
        entries = [one for one in advisory.affected if (one.manager, one.name) in names]
        if not entries:
            continue
        fixed = _fixed(entries, Candidate(waiver.manager, name, exact[1]) if exact else None)
        if fixed is not None:
            yield {
                "id": advisory.id,
                "aliases": list(advisory.aliases[:_MAX_ALIASES]),
                "severity": advisory.severity,
                "summary": advisory.summary,
                "fixed_in": fixed or None,
            }


def _fixed(entries: Sequence[Affected], package: Candidate | None) -> str | None:
    """Return in which version it is fixed, or ``""``; ``None``: it is not about the package."""
    if package is None:
        return next((one.fixed for entry in entries for one in entry.ranges if one.fixed), "")
    found = [
        fixed for one in entries for affected, fixed in [is_affected(one, package)] if affected
    ]
    return None if not found else next(filter(None, found), "")


def _rank(one: KnownAdvisory) -> int:
    severity = one["severity"]
    return -SEVERITIES.index(severity) if severity in SEVERITIES else -1


def _links(waiver: WaiverRecord, rights: Rights) -> Links:
    here = f"{PREFIX}/waivers/{waiver.id}"
    links = {"self": here}
    if waiver.state in {"waiting", "granted"} and may_decide(waiver, rights):
        links["decision"] = f"{here}/decision"
    if waiver.state == "waiting" and waiver.requested_by == rights.name:
        links["withdraw"] = here
    if waiver.namespace is not None and waiver.environment is not None:
        links["environment"] = environment_path(waiver.namespace, waiver.environment)
        if waiver.version is not None:
            place = (waiver.namespace, waiver.environment)
            links["version"] = version_path(*place, waiver.version)
    return links


def may_decide(waiver: WaiverRecord, rights: Rights) -> bool:
    """Tell whether they decide about a waiver: whoever may set the policy does."""
    if waiver.is_own and waiver.namespace is not None:
        return rights.has_role("admin", waiver.namespace)
    return rights.service_role == "administrator"


def _in_words(waiver: WaiverRecord) -> str:
    if waiver.scope == "everything":
        return "everybody: all environments, and images by the names of their packages"
    if waiver.namespace is None or (waiver.scope == "environment" and waiver.environment is None):
        return "nothing: what it was asked for is deleted or has moved"
    if waiver.scope == "namespace":
        return f"all environments of '{waiver.namespace}'"
    return f"'{waiver.path}'"
