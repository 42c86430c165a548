"""What is used: pulls, last use and bytes of environments and namespaces, by day."""

from collections.abc import Sequence
from typing import (
    Annotated,
    NotRequired,  # (pydantic wants this one)
)

from pydantic import Field
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from registry.catalog.usage import Used, UsedDay
from registry.web.api.answers import answer, page_answer
from registry.web.api.catalog_documents import Moment, time_or_none
from registry.web.api.endpoints import Call
from registry.web.api.models import NamespacesUsageQuery, NoBody, UsagePageQuery, UsageQuery, is_on


class _Numbers(TypedDict):
    own_bytes: Annotated[int, Field(description="of its images: what no other namespace has")]
    shared_bytes: Annotated[int, Field(description="what other namespaces have as well")]
    pulls: Annotated[int, Field(description="in the days that were asked for")]
    last_pulled_at: Moment | None


class UsedDayDocument(TypedDict):
    """One day, UTC."""

    day: Annotated[str, Field(json_schema_extra={"format": "date"})]
    pulls: int
    own_bytes: int
    shared_bytes: int
    builds: NotRequired[
        Annotated[int, Field(description="of a namespace: versions that were asked for")]
    ]


class EnvironmentUsage(_Numbers):
    """What an environment was used for, and takes."""

    environment: str


class EnvironmentUsageDocument(EnvironmentUsage):
    """What an environment was used for, and takes, by day."""

    alone_bytes: NotRequired[
        Annotated[
            int,
            Field(
                description="with `alone`: what no other environment has, of any namespace; so much"
                " is freed when it is deleted and its files go"
            ),
        ]
    ]
    days: list[UsedDayDocument]


class NamespaceUsage(_Numbers):
    """What a namespace was used for, and takes: each blob counts once in it."""

    namespace: str
    environments: int


class NamespaceUsageDocument(NamespaceUsage):
    """What a namespace was used for, and takes, by day, and a part of its environments."""

    days: list[UsedDayDocument]
    items: list[EnvironmentUsage]
    next: str | None


class NamespaceUsagePage(TypedDict):
    """A part of a list."""

    items: list[NamespaceUsage]
    next: str | None


async def get_usage(call: Call[NamespacesUsageQuery, NoBody]) -> ASGIApp:
    """List what all namespaces were used for, and take: by name, or what takes most first."""
    page = await call.catalog.usage.namespaces(
        days=call.query.days,
        is_by_size=call.query.sort == "size",
        after=call.query.after,
        limit=call.query.limit,
    )
    return page_answer(call, page, _namespace)


async def get_namespace_usage(call: Call[UsagePageQuery, NoBody]) -> ASGIApp:
    """Tell what a namespace was used for, and takes, and list its environments' part in it."""
    slug, query, usage = call.field("namespace"), call.query, call.catalog.usage
    used, days = await usage.namespace(slug, days=query.days)
    page = await usage.environments(slug, days=query.days, after=query.after, limit=query.limit)
    document: NamespaceUsageDocument = {
        **_namespace(used),
        "days": _days(days),
        "items": [_environment(one) for one in page.items],
        "next": page.next,
    }
    return answer(200, document)


async def get_environment_usage(call: Call[UsageQuery, NoBody]) -> ASGIApp:
    """Tell what an environment was used for, and takes."""
    used, days = await call.catalog.usage.environment(*call.place, days=call.query.days)
    document: EnvironmentUsageDocument = {
        "environment": used.name,
        "own_bytes": used.own_bytes,
        "shared_bytes": used.shared_bytes,
        "pulls": used.pulls,
        "last_pulled_at": time_or_none(used.last_pulled_at),
        "days": _days(days),
    }
    if is_on(call.query.alone):
        document["alone_bytes"] = await call.catalog.usage.alone(*call.place)
    return answer(200, document)


def _namespace(used: Used) -> NamespaceUsage:
    return {
        "namespace": used.name,
        "environments": used.environments or 0,
        "own_bytes": used.own_bytes,
        "shared_bytes": used.shared_bytes,
        "pulls": used.pulls,
        "last_pulled_at": time_or_none(used.last_pulled_at),
    }


def _environment(used: Used) -> EnvironmentUsage:
    return {
        "environment": used.name,
        "own_bytes": used.own_bytes,
        "shared_bytes": used.shared_bytes,
        "pulls": used.pulls,
        "last_pulled_at": time_or_none(used.last_pulled_at),
    }


def _days(days: Sequence[UsedDay]) -> list[UsedDayDocument]:
    found: list[UsedDayDocument] = []
    for one in days:
        document: UsedDayDocument = {
            "day": one.day,
            "pulls": one.pulls,
            "own_bytes": one.own_bytes,
            "shared_bytes": one.shared_bytes,
        }
        if one.builds is not None:
            document["builds"] = one.builds
        found.append(document)
    return found
