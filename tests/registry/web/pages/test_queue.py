"""The queue: what is made, what waits, and cancelling it."""

import asyncio

import pytest

from tests.registry.web.api.conftest import Gate, gate
from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_people import told

__all__ = ["gate"]

pytestmark = pytest.mark.anyio


async def test_what_is_made_is_seen_and_cancelled(house: House, gate: Gate) -> None:
    page = await house.show("root", "/ui/queue")
    assert "Nothing is made, and nothing waits." in told(page)
    assert len(page.select("td[data-label=Server]")) == 1
    assert (await house.ask("ada", "POST", "/namespaces", {"name": "ada"})).status_code == 201
    url = "/namespaces/ada/environments?name=notebook"
    reply = await house.ask("ada", "POST", url, {"specs": ["tool"]})
    assert reply.status_code == 201, reply.text
    async with asyncio.timeout(20):
        await gate.arrived.wait()
    page = await house.show("root", "/ui/queue?state=building")
    link = page.select_one("td[data-label=Version] a")
    assert link is not None
    assert link["href"] == "/ada/notebook/-/versions/1"
    browser = await house.browser("root")
    part = await browser.http.get("/ui/queue", headers={"hx-request": "true"})
    assert "<html" not in part.text
    assert "notebook" in part.text
    assert "Nothing is stuck." in told(await house.show("root", "/ui/queue?state=stuck"))
    fields = {"environment": "ada/notebook", "number": "1"}
    assert (await house.submit("bob", "/ui/queue", **fields)).status_code == 403
    assert (await house.submit("root", "/ui/queue", **fields)).is_redirect
    page = await house.show("root", "/ui/queue")
    assert "Version 1 of ada/notebook is cancelled." in told(page)
    assert "Nothing is made, and nothing waits." in told(page)
    gate.open.set()


async def test_what_is_no_version_is_not_cancelled(house: House) -> None:
    for fields in (
        {"number": "1"},
        {"environment": "../../users", "number": "1"},
        {"environment": "a/b"},
    ):
        reply = await house.submit("root", "/ui/queue", **fields)
        assert reply.status_code == 404, reply.text
    await house.show("ada", "/ui/queue", 403)
