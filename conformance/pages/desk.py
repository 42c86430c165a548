"""Somebody at a browser: windows of people, with scripts or without, by mouse or keyboard alone."""

import itertools
import re
from contextlib import ExitStack
from typing import Final, Self

from playwright.sync_api import Browser, Locator, Page, expect

from conformance.pages.place import Place

#: Longer than anything takes here on a machine that has much else to do.
PATIENCE: Final = 60_000
_NUMBERS: Final = itertools.count(1)
#: What has the focus: its name as it is read out, and whether one sees that it has it.
_FOCUSED: Final = """() => {
  const one = document.activeElement, label = one.labels?.[0];
  const lined = (part) => part && parseFloat(getComputedStyle(part).outlineWidth) > 0
    && getComputedStyle(part).outlineStyle !== "none";
  // What is drawn around it may be its label's, or its frame's.
  const parts = [one, label, one.parentElement, one.parentElement?.parentElement];
  return {
    name: (one.getAttribute("aria-label") ?? (label?.textContent || one.textContent)).trim(),
    seen: parts.some(lined) || getComputedStyle(one).boxShadow !== "none",
    where: one.outerHTML.slice(0, 120),
  };
}"""
_MAX_STOPS: Final = 200


class Desk:
    """Opens windows; a context manager, which closes them."""

    def __init__(self, place: Place, browser: Browser, *, has_scripts: bool) -> None:
        """Sit down."""
        self.place = place
        self.has_scripts = has_scripts
        self._browser = browser
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all windows."""
        self._stack.close()

    def open(self, name: str | None, path: str = "/") -> Page:
        """Return a window of somebody's, at a page; ``None``: of a stranger."""
        context = self.place.open(self._browser, name, has_scripts=self.has_scripts)
        self._stack.enter_context(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(path)
        return page

    def name(self, word: str) -> str:
        """Return a name that nothing has yet."""
        return f"{word}-{next(_NUMBERS)}"

    def until(self, page: Page, there: Locator) -> None:
        """Return when something is there; without scripts the page is loaded until it is."""
        if self.has_scripts:
            expect(there.first).to_be_visible(timeout=PATIENCE)
            return
        for _ in range(600):
            if there.first.is_visible():
                return
            page.reload()
        raise AssertionError(f"it does not come: {page.get_by_role('main').inner_text()}")


def labelled(page: Page, label: str) -> Locator:
    """Return the field of a page's own content whose label begins with these words."""
    return page.get_by_role("main").get_by_label(re.compile(rf"^{re.escape(label)}\b"))


def tab_to(page: Page, name: str) -> None:
    """Move the focus by the keyboard to what has a name; each stop on the way can be seen."""
    for _ in range(_MAX_STOPS):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        assert focused["seen"], f"one does not see that it has the focus: {focused['where']}"
        if focused["name"].startswith(name):
            return
    raise AssertionError(f"the keyboard does not get to '{name}'")
