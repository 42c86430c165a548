"""Robots and their tokens."""

import pytest

from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_people import told

pytestmark = pytest.mark.anyio


async def test_a_robot_is_made_with_its_token_and_the_token_revoked(house: House) -> None:
    assert "There are no robots yet." in told(await house.show("root", "/ui/robots"))
    reply = await house.submit("root", "/ui/robots", do="create", user="nodes", name="cluster")
    assert reply.status_code == 200, reply.text
    assert "pft_" in reply.text
    assert "docker login --username nodes registry.example" in reply.text
    page = await house.show("root", "/ui/robots")
    assert "pft_" not in str(page)
    assert page.select_one("td[data-label=Robot] a")["href"] == "/ui/users/nodes"  # type: ignore[index]
    number = page.select_one("table input[name=id]")["value"]  # type: ignore[index]
    assert (await house.submit("root", "/ui/robots", do="revoke", id=str(number))).is_redirect
    assert not (await house.show("root", "/ui/robots")).select("table input[name=id]")


async def test_a_robot_has_a_name(house: House) -> None:
    reply = await house.submit("root", "/ui/robots", do="create", user="", name="cluster")
    assert reply.status_code == 400
    assert "Say how the robot is called" in reply.text
    assert 'value="cluster"' in reply.text


async def test_others_make_none(house: House) -> None:
    await house.show("ada", "/ui/robots", 403)
    reply = await house.submit("ada", "/ui/robots", do="create", user="nodes", name="cluster")
    assert reply.status_code == 403


async def test_no_robot_is_a_person(house: House) -> None:
    await house.show("ada", "/me")
    reply = await house.submit("root", "/ui/robots", do="create", user="ada", name="cluster")
    assert reply.status_code == 400
    assert "is a person: give the robot a name of its own" in reply.text
    assert "pft_" not in reply.text
