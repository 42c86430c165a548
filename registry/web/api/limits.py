"""Quotas and retention of namespaces, and having files go that nobody needs."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.types import ASGIApp
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.catalog.limits import NO_LIMIT, Limits
from registry.catalog.quotas import Quota, in_words
from registry.catalog.retention import Freed, Retention
from registry.catalog.retention import in_words as retention_in_words
from registry.catalog.unneeded import Keeping
from registry.web.api.answers import answer, expected_revision, revised
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    namespace_path,
    time_or_none,
    time_text,
)
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NoQuery, QuotaValues, RetentionTrial, RetentionValues

#: How long a request waits for what reads the whole store.
_WAIT_SECONDS: Final = 20


class SetQuotaDocument(TypedDict):
    """What was set for a namespace; null: the default."""

    size_bytes: int | Literal["none"] | None
    environments: int | Literal["none"] | None
    builds_a_day: int | Literal["none"] | None
    builds_at_once: int | Literal["none"] | None


class SetRetentionDocument(TypedDict):
    """What was set for a namespace; null: the default."""

    days: int | Literal["never"] | None
    keep: int | None


class LimitsDocument(TypedDict):
    """What a namespace may have; null: any number."""

    size_bytes: int | None
    environments: int | None
    builds_a_day: int | None
    builds_at_once: int | None


class UsedDocument(TypedDict):
    """What a namespace has at this moment."""

    size_bytes: Annotated[int, Field(description="of its images, each blob once")]
    environments: int
    builds_a_day: Annotated[int, Field(description="asked for since 0:00 UTC")]
    builds_at_once: int


class QuotaDocument(TypedDict):
    """What a namespace may have, and has."""

    namespace: str
    quota: Annotated[SetQuotaDocument, Field(description="what was set: as it is sent")]
    limits: Annotated[LimitsDocument, Field(description="what holds")]
    defaults: LimitsDocument
    used: UsedDocument
    builds_go_on_at: Annotated[
        Moment | None, Field(description="if it has had all builds of this day")
    ]
    revision: int
    links: Links


class KeepingDocument(TypedDict):
    """What of versions that are not active is kept."""

    days: Annotated[int | None, Field(description="null: for ever")]
    keep: int


class RetentionDocument(TypedDict):
    """What a namespace keeps of versions that are not active."""

    namespace: str
    retention: Annotated[SetRetentionDocument, Field(description="what was set: as it is sent")]
    keeping: Annotated[KeepingDocument, Field(description="what holds")]
    defaults: KeepingDocument
    revision: int
    links: Links


class FreedVersionDocument(TypedDict):
    """A version whose files go, or have gone."""

    environment: str
    version: int
    key: str
    since: Annotated[Moment, Field(description="when something has happened with it last")]
    size_bytes: Annotated[int, Field(description="of what goes; what several have is in each")]


class FreedDocument(TypedDict):
    """What goes, or has gone."""

    state: Annotated[
        Literal["done", "running"], Field(description="`running`: ask again for what comes of it")
    ]
    namespace: str
    versions: list[FreedVersionDocument]
    size_bytes: Annotated[int, Field(description="all together, each file once")]
    more: Annotated[bool, Field(description="there are more: ask again when these are gone")]


async def get_quota(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell what a namespace may have, and has."""
    return _quota(await call.catalog.quotas.get(call.field("namespace")))


async def put_quota(call: Call[NoQuery, QuotaValues]) -> ASGIApp:
    """Set what a namespace may have; what it has above that stays, and it gets no more."""
    said = {
        name: NO_LIMIT if value == "none" else value
        for name, value in call.body.model_dump().items()
    }
    quota = await call.catalog.quotas.set(
        call.actor, call.field("namespace"), said, revision=expected_revision(call.request)
    )
    return _quota(quota)


async def get_retention(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell what a namespace keeps of versions that are not active."""
    return _retention(await call.catalog.retentions.get(call.field("namespace")))


async def put_retention(call: Call[NoQuery, RetentionValues]) -> ASGIApp:
    """Set what a namespace keeps of versions that are not active; nothing goes at once."""
    said = {
        name: NO_LIMIT if value == "never" else value
        for name, value in call.body.model_dump().items()
    }
    retention = await call.catalog.retentions.set(
        call.actor, call.field("namespace"), said, revision=expected_revision(call.request)
    )
    return _retention(retention)


async def post_retention_preview(call: Call[NoQuery, RetentionTrial]) -> ASGIApp:
    """Tell which versions' files would go now, and how many bytes that frees; nothing goes."""
    slug, trial = call.field("namespace"), call.body
    set_ = (await call.catalog.retentions.get(slug)).keeping
    days = None if trial.days == "never" else set_.days if trial.days is None else trial.days
    keeping = Keeping(days, set_.keep if trial.keep is None else trial.keep)
    task = call.catalog.retentions.preview(slug, keeping)
    return await _freed(slug, task)


async def post_free(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Have the files go that the retention of the namespace says; pulling brings them back."""
    slug = call.field("namespace")
    await call.catalog.retentions.get(slug)
    return await _freed(slug, call.catalog.retentions.free(call.actor, slug))


async def _freed(slug: str, task: "asyncio.Task[Freed]") -> ASGIApp:
    """Return what goes, or that it takes longer: it goes on then."""
    done, _ = await asyncio.wait([task], timeout=_WAIT_SECONDS)
    if not done:
        empty: FreedDocument = {
            "state": "running",
            "namespace": slug,
            "versions": [],
            "size_bytes": 0,
            "more": False,
        }
        return answer(202, empty)
    freed = task.result()
    document: FreedDocument = {
        "state": "done",
        "namespace": slug,
        "versions": [
            {
                "environment": one.path,
                "version": one.number,
                "key": one.key,
                "since": time_text(one.since),
                "size_bytes": freed.by_build.get(one.key, 0),
            }
            for one in freed.versions
        ],
        "size_bytes": freed.size_bytes,
        "more": freed.is_more,
    }
    return answer(200, document)


def _quota(quota: Quota) -> ASGIApp:
    here = namespace_path(quota.namespace)
    used = quota.used
    document: Mapping[str, Any] = {
        "namespace": quota.namespace,
        "quota": in_words(quota.said),
        "limits": _limits(quota.limits),
        "defaults": _limits(quota.defaults),
        "used": {
            "size_bytes": used.size_bytes,
            "environments": used.environments,
            "builds_a_day": used.builds_a_day,
            "builds_at_once": used.builds_at_once,
        },
        "builds_go_on_at": time_or_none(quota.builds_go_on_at),
        "revision": quota.revision,
        "links": {"self": f"{here}/quota", "namespace": here, "usage": f"{here}/usage"},
    }
    return revised(200, document, quota.revision)


def _limits(limits: Limits) -> LimitsDocument:
    return {
        "size_bytes": limits.size_bytes,
        "environments": limits.environments,
        "builds_a_day": limits.builds_a_day,
        "builds_at_once": limits.builds_at_once,
    }


def _retention(retention: Retention) -> ASGIApp:
    here = namespace_path(retention.namespace)
    document: Mapping[str, Any] = {
        "namespace": retention.namespace,
        "retention": retention_in_words(retention.said),
        "keeping": _keeping(retention.keeping),
        "defaults": _keeping(retention.defaults),
        "revision": retention.revision,
        "links": {
            "self": f"{here}/retention",
            "namespace": here,
            "preview": f"{here}/retention/preview",
            "free": f"{here}/retention/free",
        },
    }
    return revised(200, document, retention.revision)


def _keeping(keeping: Keeping) -> KeepingDocument:
    return {"days": keeping.days, "keep": keeping.keep}
