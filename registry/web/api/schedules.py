"""Schedules: when environments are solved anew."""

from starlette.types import ASGIApp

from registry.catalog.schedule_records import ScheduleRecord, ScheduleWish
from registry.web.api.answers import answer, expected_revision, page_answer, pull_host, revised
from registry.web.api.catalog_documents import version_document
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NoQuery, SchedulesQuery, ScheduleValues, is_on
from registry.web.api.schedule_documents import schedule_document
from registry.web.asgi.responses import BytesResponse


async def get_schedules(call: Call[SchedulesQuery, NoBody]) -> ASGIApp:
    """List the schedules of the environments that you may see, by their paths."""
    page = await call.catalog.schedules.list(
        call.visible,
        namespace=call.query.namespace,
        has_problem=is_on(call.query.problems),
        after=call.query.after,
        limit=call.query.limit,
    )
    return page_answer(call, page, schedule_document)


async def get_schedule(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell when an environment is solved anew."""
    return _told(await call.catalog.schedules.get(*call.place))


async def put_schedule(call: Call[NoQuery, ScheduleValues]) -> ASGIApp:
    """Set when an environment is solved anew, and what becomes of what comes of it.

    What you may pull decides about the versions that it asks for.
    """
    body = call.body
    wish = ScheduleWish(body.cron, body.timezone, body.then, body.on_advisories, body.paused)
    schedule = await call.catalog.schedules.set(
        call.actor, *call.place, wish, revision=expected_revision(call.request)
    )
    return _told(schedule)


async def delete_schedule(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete the schedule of an environment."""
    await call.catalog.schedules.delete(
        call.actor, *call.place, revision=expected_revision(call.request)
    )
    return BytesResponse(204, [])


async def post_schedule_run(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Have an environment solved anew now, as its schedule says."""
    version = await call.catalog.schedules.run(call.actor, *call.place)
    return answer(202, version_document(version, *call.place, pull_host(call.request)))


def _told(schedule: ScheduleRecord) -> ASGIApp:
    return revised(200, schedule_document(schedule), schedule.revision)
