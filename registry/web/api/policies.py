"""Policies: set by administrators, and one of its own by the admins of a namespace.

Administrators and auditors see texts, and the names of namespaces in them. Others see in plain
sentences what holds for them, and who has set it.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp

from builder.rules.model import NO_RULES
from registry.catalog.policy_rows import PolicyRecord, PolicyText
from registry.errors import ParameterInvalid, PolicyInFile
from registry.policy.holding import sentences_in
from registry.policy.policy import OWN, Policy, read_policy
from registry.policy.remarks import remarks_on
from registry.web.api.answers import answer, expected_revision, page_answer, revised
from registry.web.api.catalog_documents import time_or_none, time_text
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NoQuery, NumberPageQuery, PolicyBody, parse_body
from registry.web.api.policy_documents import (
    NamedPolicyDocument,
    OwnPolicyDocument,
    PolicyProblemDocument,
    PolicyTextDocument,
)
from registry.web.asgi.responses import BytesResponse


async def get_policies(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """List the policies that hold everywhere; for administrators and auditors, all of them.

    They also get what is wrong with files.
    """
    book = call.catalog.book
    if call.rights.service_role is None:
        held = [one for one in book.policies_of(None) if one.namespace is None]
        return answer(200, {"items": [_document(one, None, None) for one in held], "problems": []})
    records = {one.name: one for one in await call.catalog.policies.some()}
    items = [
        _document(one, records.get(one.name), None, whole_for=call)
        for one in book.policies()
        if one.namespace is None
    ]
    problems: list[PolicyProblemDocument] = [
        {"file": one.file, "line": one.line, "field": one.field, "message": one.message}
        for one in book.problems()
    ]
    return answer(200, {"items": items, "problems": problems})


async def get_policy(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a policy."""
    name = call.field("policy")
    policy = call.catalog.book.policy(name)
    if policy is not None and policy.source == "file":
        return revised(200, _document(policy, None, None, whole_for=call), 0)
    record = await call.catalog.policies.get(name)
    return await _of_record(call, record)


async def put_policy(call: Call[NoQuery, bytes]) -> ASGIApp:
    """Set a policy, on every server from now on; `If-Match` has the version that was read.

    The body is TOML, or JSON with the field `text`. What there is is judged by it soon after.
    """
    record = await call.catalog.policies.set(
        call.actor, call.field("policy"), text_of(call), version=expected_revision(call.request)
    )
    return await _of_record(call, record)


async def delete_policy(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Have a policy hold no more; its texts can still be read."""
    version = expected_revision(call.request)
    await call.catalog.policies.delete(call.actor, call.field("policy"), version=version)
    return BytesResponse(204, [])


async def get_policy_versions(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """List what a policy said, the newest first."""
    name = call.field("policy")
    if call.catalog.book.is_kept_in_file(name):
        raise PolicyInFile(name)
    page = await call.catalog.policies.versions(
        name, after=call.query.number, limit=call.query.limit
    )
    return page_answer(call, page, _text_document)


async def get_own_policy(call: Call[NoQuery, Any]) -> ASGIApp:
    """Tell what holds in a namespace, in sentences with who has set each, and its own policy."""
    namespace = call.field("namespace")
    await call.catalog.namespaces.get(namespace)
    records = {
        (one.name, one.namespace): one for one in await call.catalog.policies.some(namespace)
    }
    held = call.catalog.book.policies_of(namespace)
    own = records.get((OWN, namespace))
    document: OwnPolicyDocument = {
        "namespace": namespace,
        "own": None if own is None else _own_text(own),
        "remarks": [line for one in held if one.namespace for line in remarks_of(call, one)],
        "holds": [
            _document(one, records.get((one.name, one.namespace)), namespace) for one in held
        ],
        "links": {
            "self": f"{PREFIX}/namespaces/{namespace}/policy",
            "findings": f"{PREFIX}/namespaces/{namespace}/findings",
        },
    }
    return revised(200, document, own.version if own is not None else 0)


async def put_own_policy(call: Call[NoQuery, bytes]) -> ASGIApp:
    """Set the own policy of a namespace, which adds rules to those that hold there anyway."""
    await call.catalog.policies.set(
        call.actor,
        OWN,
        text_of(call),
        namespace=call.field("namespace"),
        version=expected_revision(call.request),
    )
    return await get_own_policy(call)


async def delete_own_policy(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Take a namespace's own rules away; all others stay."""
    await call.catalog.policies.delete(
        call.actor,
        OWN,
        namespace=call.field("namespace"),
        version=expected_revision(call.request),
    )
    return BytesResponse(204, [])


def remarks_of(call: Call[Any, Any], policy: Policy) -> list[str]:
    """Return what of a policy does nothing on this server."""
    channels = call.request.state["services"].builds.packages.channels(NO_RULES)
    names = {channel.name for channel in channels}
    knows = bool(call.catalog.book.advisories)
    return list(remarks_on(policy.document, names, knows_advisories=knows))


def text_of(call: Call[Any, bytes]) -> str:
    """Return the text that was sent.

    Raises:
        ParameterInvalid: It is none.
    """
    if is_json(call):
        sent = parse_body(PolicyBody, call.body)
        assert isinstance(sent, PolicyBody)
        return sent.text
    return decoded(call.body)


def decoded(data: bytes) -> str:
    """Return text that was sent as it is.

    Raises:
        ParameterInvalid: It is none.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise ParameterInvalid("the text of a policy is UTF-8") from exc


def is_json(call: Call[Any, bytes]) -> bool:
    """Tell whether JSON was sent, as its header or its first character says."""
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return True
    try:
        return call.body.lstrip()[:1] == b"{" and isinstance(json.loads(call.body), dict)
    except (ValueError, RecursionError):
        return False


async def _of_record(call: Call[Any, Any], record: PolicyRecord) -> ASGIApp:
    """Answer a policy of the database; what this server knows may be older by a moment."""
    policy = await asyncio.to_thread(
        read_policy, record.name, record.text, version=record.version, source="database"
    )
    return revised(200, _document(policy, record, None, whole_for=call), record.version)


def _document(
    policy: Policy,
    record: PolicyRecord | None,
    namespace: str | None,
    *,
    whole_for: Call[Any, Any] | None = None,
) -> NamedPolicyDocument:
    """Return what is told of a policy.

    Args:
        policy: It.
        record: The same in the database, with who has set it.
        namespace: In which it is told what it says; ``None``: in none.
        whole_for: What it is told to, if all of it may be known there.
    """
    is_whole = whole_for is not None
    is_file = policy.source == "file"
    if is_file:
        record = None
    links = {} if policy.namespace else {"self": f"{PREFIX}/policies/{policy.name}"}
    return {
        "name": policy.name,
        "mode": policy.mode,
        "description": policy.description,
        "contact": policy.contact,
        "source": "file" if is_file else "namespace" if policy.namespace else "database",
        "set_by": record.updated_by if record is not None else None,
        "set_at": time_or_none(record.updated_at) if record is not None else None,
        "version": policy.version,
        "sentences": list(policy.sentences() if is_whole else sentences_in(policy, namespace)),
        "namespaces": list(policy.namespaces) if is_whole else None,
        "text": policy.text if is_whole else None,
        "remarks": [] if whole_for is None else remarks_of(whole_for, policy),
        "links": links if is_whole else {},
    }


def _own_text(record: PolicyRecord) -> PolicyTextDocument:
    return {
        "version": record.version,
        "text": record.text,
        "by": record.updated_by,
        "at": time_text(record.updated_at),
    }


def _text_document(one: PolicyText) -> Mapping[str, Any]:
    document: PolicyTextDocument = {
        "version": one.version,
        "text": one.text,
        "by": one.by,
        "at": time_text(one.at),
    }
    return document
