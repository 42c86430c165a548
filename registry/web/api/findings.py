"""Findings: what policies have against builds that there are, or would have."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.findings import Finding
from registry.catalog.records import Page
from registry.catalog.trials import TrialResult, WouldFind
from registry.errors import ParameterInvalid
from registry.policy.dry_run import DryRunResult
from registry.policy.policy import OWN, Policy, is_policy_name, read_policy
from registry.web.api.answers import answer, page_answer
from registry.web.api.catalog_documents import environment_path, policy_document, time_text
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import Call, Further, NeedServiceRole, RoleThere
from registry.web.api.models import FindingsQuery, NoBody, NoQuery, PolicyTrial, is_on, parse_body
from registry.web.api.policies import decoded, is_json, remarks_of
from registry.web.api.policy_documents import (
    FindingDocument,
    TrialDocument,
    TrialExisting,
    TrialSpecification,
)
from registry.web.api.specifications import require_readable

#: What a policy is called that has no name yet.
_NAMELESS: Final = "trial"


async def get_findings(call: Call[FindingsQuery, NoBody]) -> ASGIApp:
    """List what policies have against builds of what you may see, the newest first."""
    return page_answer(call, await _page(call, call.query.namespace), finding_document)


async def get_namespace_findings(call: Call[FindingsQuery, NoBody]) -> ASGIApp:
    """List what policies have against builds of a namespace, the newest first.

    Raises:
        ParameterInvalid: Another namespace is named.
    """
    namespace = call.field("namespace")
    if call.query.namespace not in {None, namespace}:
        raise ParameterInvalid("the address has the namespace already: leave it out")
    return page_answer(call, await _page(call, namespace), finding_document)


async def post_policy_test(call: Call[NoQuery, bytes]) -> ASGIApp:
    """Tell what a policy would do to a specification, and what it would find; nothing is kept.

    The body is TOML, or JSON with `text` and perhaps `name`, `namespace` and `specification`. With
    a `namespace`, it is tried as that namespace's own.
    """
    trial = _trial(call)
    policy = await _policy(trial)
    tried = None
    if trial.specification is not None:
        data = trial.specification.encode()
        await require_readable(call.request, data)
        rules = call.catalog.trials.rules_with(policy, trial.namespace)
        dry_run = call.request.state["services"].builds.dry_run
        tried = await dry_run.of(data, rules)
    document: TrialDocument = {
        "name": policy.name,
        "mode": policy.mode,
        "sentences": list(policy.sentences()),
        "remarks": remarks_of(call, policy),
        "specification": None if tried is None else _specification(tried),
        "existing": _existing(await call.catalog.trials.everything(policy)),
    }
    return answer(200, document)


async def needs_of_policy_test(call: Call[NoQuery, bytes]) -> Sequence[Further]:
    """Return what trying needs: to be one who could set it."""
    trial = _trial(call)
    if trial.namespace is not None:
        return [RoleThere("admin", trial.namespace)]
    return [NeedServiceRole("administrator")]


def finding_document(finding: Finding) -> FindingDocument:
    """Return what is told of a finding."""
    place = finding.namespace, finding.environment
    return _document(
        finding.id,
        finding.key,
        finding,
        path="/".join(filter(None, place)) or None,
        active=finding.is_active,
        versions=finding.versions,
        owner=finding.owner,
        created_by=finding.created_by,
        found_at=time_text(finding.found_at),
    )


def change_of(found: Any, path: str | None) -> str:
    """Return what to do about a finding.

    Args:
        found: What is found: its kind, name, version and the version that fixes it.
        path: Of its environment.
    """
    again = f"'pullforge env update {path} --renew'" if path else "solving it again"
    if found.mode == "warn":
        return _change_of_warned(found)
    if found.fixed_in:
        return (
            f"{again} takes {found.name} {found.fixed_in} or newer if the specification lets it:"
            f" '{found.name} >={found.fixed_in}'"
        )
    if found.kind == "age":
        return f"it passes with time, or {again} takes an older version"
    if found.kind == "advisories":
        return f"no version without it is known: take {found.name} out, or ask for a waiver"
    if found.name:
        return f"{again} takes another version if there is one; else take {found.name} out"
    is_required = found.kind == "packages"
    return f"{again} adds what a policy requires" if is_required else "change what it asks for"


def _change_of_warned(found: Any) -> str:
    """Return what to do about a finding of a policy that warns: no solve keeps to it."""
    if found.fixed_in:
        return f"have the specification ask for '{found.name} >={found.fixed_in}'"
    if found.kind == "age":
        return "it passes with time, or have the specification ask for an older version"
    if found.kind == "advisories":
        return f"no version without it is known: take {found.name} out"
    if found.name:
        return f"have the specification ask for another version, or take {found.name} out"
    return "change what the specification asks for"


async def _page(call: Call[FindingsQuery, NoBody], namespace: str | None) -> Page[Finding]:
    return await call.catalog.findings.list(
        visible=call.visible,
        policy=call.query.policy,
        namespace=namespace,
        environment=call.query.environment,
        active_only=is_on(call.query.active),
        after=call.query.number,
        limit=call.query.limit,
    )


def _trial(call: Call[NoQuery, bytes]) -> PolicyTrial:
    body = call.body
    if not is_json(call):
        body = json.dumps({"text": decoded(body)}).encode()
    sent = parse_body(PolicyTrial, body)
    assert isinstance(sent, PolicyTrial)
    return sent


async def _policy(trial: PolicyTrial) -> Policy:
    name = trial.name or _NAMELESS
    if trial.namespace is not None:
        return await asyncio.to_thread(
            read_policy, OWN, trial.text, namespace=trial.namespace, source="database"
        )
    if not is_policy_name(name):
        raise ParameterInvalid(f"'{name[:50]}' can be no name of a policy", field="name")
    return await asyncio.to_thread(read_policy, name, trial.text, source="database")


def _specification(tried: DryRunResult) -> TrialSpecification:
    return {
        "built": not tried.refused,
        "refused": tried.refused or None,
        "by_policy": tried.is_by_policy,
        "policy": policy_document(tried.told),
        "key": tried.key or None,
        "packages": {
            platform: [
                {
                    "manager": one.manager,
                    "name": one.name,
                    "version": one.version,
                    "build": one.build,
                }
                for one in packages
            ]
            for platform, packages in tried.packages.items()
        },
    }


def _existing(result: TrialResult) -> TrialExisting:
    return {
        "builds": result.judged,
        "findings": result.count,
        "environments": result.environments,
        "active": result.active,
        "items": [_would_find(number, one) for number, one in enumerate(result.found, 1)],
    }


def _would_find(number: int, one: WouldFind) -> FindingDocument:
    place = one.place
    return _document(
        number,
        one.key,
        one.violation,
        path=f"{place.namespace}/{place.slug}" if place.id else None,
        active=one.is_active,
        versions=(place.active_version,) if one.is_active and place.active_version else (),
        owner=place.owner,
        created_by=None,
        found_at=None,
    )


def _document(
    number: int,
    key: str,
    found: Any,
    *,
    path: str | None,
    active: bool,
    versions: Sequence[int],
    owner: str | None,
    created_by: str | None,
    found_at: str | None,
) -> FindingDocument:
    links = {"build": f"{PREFIX}/builds/{key}"}
    if path is not None:
        links["environment"] = environment_path(*path.split("/", 1))
    return {
        "id": number,
        "policy": found.policy,
        "mode": found.mode,
        "kind": found.kind,
        "sentence": found.sentence,
        "change": change_of(found, path),
        "environment": path,
        "active": active,
        "versions": list(versions),
        "owner": owner,
        "created_by": created_by,
        "key": key,
        "platform": found.platform,
        "manager": found.manager if found.name else "",
        "package": found.name,
        "version": found.version,
        "advisory": found.advisory,
        "fixed_in": found.fixed_in,
        "found_at": found_at,
        "links": links,
    }
