"""What the editor does beyond a plain form: completion, drafts, files that are dropped."""

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from conformance.pages.desk import PATIENCE, Desk, labelled, tab_to
from conformance.pages.place import Place

expect.set_options(timeout=PATIENCE)
_FILE: Final = "channels: [main]\ndependencies:\n- tool=1.0\n"
#: As a browser has it that lets a file fall on an element.
_DROP: Final = """(field, text) => {
  const data = new DataTransfer();
  data.items.add(new File([text], "environment.yml", { type: "text/yaml" }));
  const how = { dataTransfer: data, bubbles: true, cancelable: true };
  for (const kind of ["dragenter", "dragover", "drop"])
    field.dispatchEvent(new DragEvent(kind, how));
}"""


@pytest.fixture
def desk(place: Place, browser: Browser) -> Iterator[Desk]:
    """Sit down at a browser with scripts."""
    with Desk(place, browser, has_scripts=True) as desk:
        yield desk


def test_packages_and_versions_are_completed(desk: Desk) -> None:
    """By the keyboard alone, from what the channels have."""
    page = desk.open("ada", "/new")
    field = labelled(page, "Specification")
    field.fill("channels: [main]\ndependencies:\n")
    field.press("Control+End")
    field.press_sequentially("- too")
    option = page.get_by_role("option", name="tool")
    expect(option.first).to_be_visible()
    field.press("Enter")
    expect(field).to_have_value("channels: [main]\ndependencies:\n- tool")
    field.press_sequentially("=")
    expect(page.get_by_role("option").filter(has_text="2.0").first).to_be_visible()
    field.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_a_draft_survives_and_a_file_is_dropped(desk: Desk) -> None:
    """What was typed is there again after the window was loaded anew."""
    page = desk.open("ada", "/new")
    field = labelled(page, "Specification")
    field.evaluate(_DROP, _FILE)
    expect(field).to_have_value(_FILE)
    field.press("Control+End")
    field.press_sequentially("# mine")
    page.wait_for_function("() => Object.values(localStorage).join().includes('mine')")
    page.reload()
    page.get_by_role("button", name="Go on with it").click()
    expect(labelled(page, "Specification")).to_have_value(f"{_FILE}# mine")


def test_two_windows_keep_a_text_each(desk: Desk) -> None:
    """What is written in one is not lost by what is written in the other."""
    page = desk.open("ada", "/new")
    other = page.context.new_page()
    other.goto("/new")
    for window, text in ((page, "# first"), (other, "# second")):
        field = labelled(window, "Specification")
        field.fill(f"{_FILE}{text}")
        window.wait_for_function(f"() => Object.values(localStorage).join().includes('{text}')")
    expect(page.get_by_text("You write here in another window, too")).to_be_visible()
    page.close()
    other.reload()
    for text in ("# second", "# first"):
        other.get_by_role("button", name="Go on with it").click()
        expect(labelled(other, "Specification")).to_have_value(f"{_FILE}{text}")
        other.reload()
        other.get_by_role("button", name="Throw it away").click()


def test_all_of_it_is_done_by_keyboard_alone(desk: Desk) -> None:
    """From logging in to the version that is active; one sees where one is at every stop."""
    page = desk.open(None, "/login")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    tab_to(page, "Name")
    page.keyboard.type("ada")
    tab_to(page, "Password")
    page.keyboard.type("correct horse: battery ä")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="ada")).to_be_visible()
    tab_to(page, "ada")
    page.keyboard.press("Enter")
    tab_to(page, "Tokens")
    page.keyboard.press("Escape")
    page.goto("/new")
    name = desk.name("keys")
    tab_to(page, "Namespace")
    page.keyboard.press("Control+A")
    page.keyboard.type("ada")
    tab_to(page, "Name")
    page.keyboard.type(name)
    tab_to(page, "Specification")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(_FILE)
    # The key by which one leaves what takes tabs: WCAG 2.1.2.
    tab_to(page, "Check")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="It can be built")).to_be_visible()
    tab_to(page, "Make it")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ada/{name}**")
    expect(page.locator(".state", has_text="built").first).to_be_visible()
