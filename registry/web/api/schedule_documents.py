"""What addresses of schedules answer, as JSON."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.catalog.schedule_records import ScheduleRecord, Then
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    environment_path,
    time_or_none,
    time_text,
    version_path,
)


class ScheduleDocument(TypedDict):
    """When an environment is solved anew, and what becomes of what comes of it."""

    environment: str
    cron: Annotated[str, Field(description="as it was set: five fields, or a word")]
    fields: Annotated[str, Field(description="the five fields that this comes to")]
    timezone: str
    in_words: Annotated[str, Field(description="as in `Mondays at 03:17, Europe/Berlin`")]
    then: Annotated[
        Then,
        Field(
            description="a new version is a proposal, a proposal that becomes active when its test"
            " passes, or becomes active"
        ),
    ]
    on_advisories: Annotated[
        bool, Field(description="an advisory against the active version has it solved at once")
    ]
    paused: bool
    next_at: Annotated[Moment | None, Field(description="null: it is paused")]
    upcoming: Annotated[list[Moment], Field(description="that time, and those after it")]
    last_at: Annotated[Moment | None, Field(description="when it was due last; null: never yet")]
    last_version: Annotated[int | None, Field(description="that was asked for last")]
    problem: Annotated[str, Field(description="why nothing was asked for the last time; or empty")]
    revision: int
    updated_by: str | None
    created_at: Moment
    updated_at: Moment
    links: Links


class SchedulePage(TypedDict):
    """A part of a list, by the paths of environments."""

    items: list[ScheduleDocument]
    next: str | None


def schedule_document(schedule: ScheduleRecord) -> ScheduleDocument:
    """Return what is told of a schedule."""
    place = (schedule.namespace, schedule.environment)
    environment = environment_path(*place)
    links = {
        "self": f"{environment}/schedule",
        "run": f"{environment}/schedule/run",
        "environment": environment,
    }
    if schedule.last_version is not None:
        links["last_version"] = version_path(*place, schedule.last_version)
    return {
        "environment": schedule.path,
        "cron": schedule.cron,
        "fields": schedule.fields,
        "timezone": schedule.timezone,
        "in_words": schedule.in_words,
        "then": schedule.then,
        "on_advisories": schedule.on_advisories,
        "paused": schedule.is_paused,
        "next_at": time_or_none(schedule.next_at),
        "upcoming": [time_text(moment) for moment in schedule.upcoming],
        "last_at": time_or_none(schedule.last_at),
        "last_version": schedule.last_version,
        "problem": schedule.problem,
        "revision": schedule.revision,
        "updated_by": schedule.updated_by,
        "created_at": time_text(schedule.created_at),
        "updated_at": time_text(schedule.updated_at),
        "links": links,
    }
