"""Roles that were given anywhere."""

import pytest

from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_people import told

pytestmark = pytest.mark.anyio


async def test_a_role_is_given_found_and_taken_back(house: House) -> None:
    assert "No role was given yet." in told(await house.show("root", "/ui/grants"))
    fields = {"subject_kind": "user", "subject": "ada", "role": "editor", "namespace": "team-*"}
    assert (await house.submit("root", "/ui/grants", do="give", days="30", **fields)).is_redirect
    page = await house.show("root", "/ui/grants?user=ada&role=editor")
    assert "ada is editor now." in told(page)
    assert "team-*" in told(page)
    assert "No role is like this." in told(await house.show("root", "/ui/grants?user=bob"))
    number = page.select_one("table input[name=id]")["value"]  # type: ignore[index]
    assert (await house.submit("root", "/ui/grants", do="take", id=str(number))).is_redirect
    assert "No role was given yet." in told(await house.show("root", "/ui/grants"))


async def test_roles_of_the_service_need_no_place(house: House) -> None:
    fields = {"subject_kind": "group", "subject": "it", "role": "administrator", "namespace": ""}
    assert (await house.submit("root", "/ui/grants", do="give", **fields)).is_redirect
    assert "the whole service" in told(await house.show("root", "/ui/grants"))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"subject": ""}, "Say the name of the user"),
        ({"namespace": ""}, "Say in which namespace"),
        ({"days": "-1"}, "Say for how many days"),
        ({"namespace": "UPPER"}, "namespace"),
        ({"subject_kind": "everyone", "role": "editor"}, "everyone"),
    ],
)
async def test_what_makes_no_sense_is_said_and_what_was_typed_is_kept(
    house: House, fields: dict[str, str], sentence: str
) -> None:
    sane = {"subject_kind": "user", "subject": "ada", "role": "editor", "namespace": "team-x"}
    reply = await house.submit("root", "/ui/grants", do="give", **(sane | fields))
    assert 400 <= reply.status_code < 500, reply.text
    assert sentence in reply.text
    kept = fields.get("namespace", "team-x")
    assert f'name="namespace" type="text" value="{kept}"' in reply.text


async def test_others_give_nothing(house: House) -> None:
    await house.show("ada", "/ui/grants", 403)
    fields = {"subject_kind": "user", "subject": "ada", "role": "administrator"}
    assert (await house.submit("ada", "/ui/grants", do="give", **fields)).status_code == 403
