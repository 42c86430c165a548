"""What of an environment is shown elsewhere: its badge, and its versions as a feed."""

from starlette.types import ASGIApp

from registry.web.pages.places import place_of
from registry.web.pages.visit import Visit


async def get_badge(visit: Visit) -> ASGIApp:
    """Answer the badge."""
    return await _passed(visit, "badge.svg")


async def get_feed(visit: Visit) -> ASGIApp:
    """Answer the feed."""
    return await _passed(visit, "versions.atom")


async def _passed(visit: Visit, name: str) -> ASGIApp:
    place = place_of(visit)
    # So that who has to log in is sent there: what is passed on is the API's own answer.
    await visit.get(place.api)
    return visit.passing(f"{place.api}/{name}")
