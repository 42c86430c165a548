"""Groups: who is in them, and what they may."""

import pytest

from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_people import told

pytestmark = pytest.mark.anyio

GROUP = "/staff/data"
PATH = "/ui/groups/%2Fstaff%2Fdata"


async def test_a_group_is_made_filled_and_deleted(house: House) -> None:
    assert "There are no groups yet." in told(await house.show("root", "/ui/groups"))
    reply = await house.submit("root", "/ui/groups", name=GROUP)
    assert (reply.status_code, reply.headers["location"]) == (303, PATH)
    assert "Nobody is in it." in told(await house.show("root", PATH))
    assert (await house.submit("root", PATH, do="add", user="ada")).is_redirect
    page = await house.show("root", PATH)
    assert "ada is in /staff/data now." in told(page)
    assert page.select_one("td[data-label=Name] a")["href"] == "/ui/users/ada"  # type: ignore[index]
    page = await house.show("root", "/ui/groups?search=STAFF")
    assert page.select_one("td[data-label=Group] a")["href"] == PATH  # type: ignore[index]
    assert (await house.submit("root", PATH, do="remove", user="ada")).is_redirect
    assert (await house.submit("root", PATH, do="delete")).headers["location"] == "/ui/groups"
    await house.show("root", PATH, 404)


async def test_a_group_with_roles_is_not_deleted(house: House) -> None:
    grant = {"subject_kind": "group", "subject": GROUP, "role": "viewer", "namespace": "team-*"}
    assert (await house.ask("root", "POST", "/grants", grant)).status_code == 201
    assert (await house.submit("root", "/ui/groups", name=GROUP)).is_redirect
    assert "take them back first" in told(await house.show("root", PATH))
    reply = await house.submit("root", PATH, do="delete")
    assert reply.status_code == 409
    assert "a role was given to the group" in reply.text


async def test_what_is_missing_is_said(house: House) -> None:
    reply = await house.submit("root", "/ui/groups", name=" ")
    assert (reply.status_code, "Say how the group is called." in reply.text) == (400, True)
    assert (await house.submit("root", "/ui/groups", name=GROUP)).is_redirect
    reply = await house.submit("root", PATH, do="add", user="")
    assert (reply.status_code, "Say who is to be in it." in reply.text) == (400, True)
    reply = await house.submit("root", PATH, do="nonsense")
    assert reply.status_code == 400
    reply = await house.submit("ada", PATH, do="add", user="ada")
    assert reply.status_code == 403
    await house.show("ada", PATH, 403)
