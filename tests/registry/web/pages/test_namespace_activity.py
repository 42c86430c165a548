"""The pages of what happened in a namespace, and what it takes."""

import pytest

from registry.web.pages.activity import line_of
from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_namespaces import build, make

pytestmark = pytest.mark.anyio


async def test_what_happened_is_told_in_sentences_the_newest_first(house: House) -> None:
    await make(house, "forecast")
    await build(house)
    page = await house.show("ada", "/ada/-/activity")
    told = [
        one.get_text(" ", strip=True) for one in page.select("ol.events > li > p:not(.event-at)")
    ]
    assert told[0] == "forecast v1 was made active"
    assert told[-1] == "ada made the namespace"
    assert "ada asked for forecast v1" in told


async def test_roles_are_told_to_admins_alone(house: House) -> None:
    await make(house)
    await house.ask("ada", "POST", "/namespaces/ada/grants", {"subject": "bob", "role": "viewer"})
    assert "viewer: bob" in (await house.show("ada", "/ada/-/activity")).get_text()
    told = (await house.show("bob", "/ada/-/activity")).get_text()
    assert "gave a role" in told
    assert "viewer: bob" not in told


async def test_usage_is_told_with_what_may_be_had(house: House) -> None:
    await make(house, "forecast")
    await build(house)
    body = {"environments": 5}
    assert (await house.ask("root", "PUT", "/namespaces/ada/quota", body)).status_code == 200
    page = await house.show("ada", "/ada/-/usage?days=7")
    text = page.get_text(" ", strip=True)
    assert "1 of 5" in text
    assert "without a limit" in text
    assert "Nothing was pulled in these 7 days." in text
    assert page.select_one("meter[max='5']") is not None
    await house.ask("ada", "POST", "/namespaces/ada/grants", {"subject": "bob", "role": "viewer"})
    assert "What it may have" not in (await house.show("bob", "/ada/-/usage")).get_text()


def test_what_is_not_known_is_told_by_its_name() -> None:
    event = {
        "id": 1,
        "at": "2026-01-01T00:00:00Z",
        "action": "thing.was_done",
        "actor": None,
        "namespace": None,
        "environment": None,
        "version": None,
        "detail": {},
    }
    assert line_of(event).words == "thing: was done"
