"""Every page there is, as an administrator sees it: barriers, layout, bytes, and hostile words.

Pages are taken from their routes: a new one is looked at, too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request

from conformance.pages import hostile
from conformance.pages.barriers import barriers
from conformance.pages.place import NARROW, WIDE, Place
from registry.web.pages.routes import ADDRESSES

#: Who sees everything.
READER: Final = "root"
#: What is no page for people: streams of events, and what a script asks for.
_FOR_SCRIPTS: Final = ("/live", "/completions")
PAGES: Final = [
    *(
        path
        for path, page in ADDRESSES.items()
        if page.get is not None and not page.is_file and not path.endswith(_FOR_SCRIPTS)
    ),
    "/logout",
]
OF_STRANGERS: Final = ("/", "/login", "/login/device")
FIRST_BYTES, NEXT_BYTES = 100_000, 20_000
#: The narrowest that WCAG 1.4.10 names.
NARROWEST: Final = 320
#: Notes what moves without anybody having done something, before the page's own scripts run.
_WATCH: Final = """
window.moved = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (!entry.hadRecentInput)
      moved.push(entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 120)).join(" and "));
}).observe({ type: "layout-shift", buffered: true });
"""

#: What makes a page wider than the window: what scrolls by itself does not.
_WIDER: Final = """() => {
  const scrolls = (one) => one && one !== document.body
    && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.parentElement));
  if (document.scrollingElement.scrollWidth <= innerWidth + 1) return [];
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
    .filter((one) => !scrolls(one.parentElement))
    .slice(0, 3).map((one) => one.outerHTML.slice(0, 200));
}"""


@dataclass
class Seen:
    """What a browser noticed while a page was open."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0


@pytest.fixture
def seen(request: pytest.FixtureRequest, place: Place, browser: Browser) -> Iterator[Seen]:
    """Open a window with an empty cache, which writes down what goes wrong."""
    reader: str | None = request.param
    with place.open(browser, reader) as context:
        context.add_init_script(_WATCH)
        page = context.new_page()
        seen = Seen(context, page)
        page.on("pageerror", lambda error: seen.complaints.append(f"script: {error}"))
        page.on(
            "console",
            lambda said: (
                seen.complaints.append(f"console: {said.text}")
                if said.type in {"error", "warning"}
                else None
            ),
        )
        page.on("dialog", lambda dialog: seen.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: _require_own(seen, asked, place.server.url))
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.loadingFinished", lambda event: _count(seen, event))
        yield seen


def _require_own(seen: Seen, asked: Request, url: str) -> None:
    if not asked.url.startswith((url, "data:")):
        seen.complaints.append(f"asks {asked.url}")


def _count(seen: Seen, event: dict[str, Any]) -> None:
    seen.bytes += int(event["encodedDataLength"])


@pytest.mark.parametrize("seen", [READER], indirect=True)
@pytest.mark.parametrize("template", PAGES)
def test_a_page_keeps_what_every_page_promises(place: Place, seen: Seen, template: str) -> None:
    """Nobody is kept out, nothing runs, moves or is too heavy, whatever others wrote."""
    look_at(seen, place.url(template))


@pytest.mark.parametrize("seen", [None], indirect=True)
@pytest.mark.parametrize("template", OF_STRANGERS)
def test_a_page_keeps_it_to_strangers(place: Place, seen: Seen, template: str) -> None:
    """What those see who have not logged in."""
    look_at(seen, place.url(template))


@pytest.mark.parametrize("seen", [READER], indirect=True)
def test_the_version_in_the_making_keeps_it_while_it_goes_on(place: Place, seen: Seen) -> None:
    """What is told of it comes in without moving anything."""
    template = "/{namespace}/{environment}/-/versions/{number}"
    look_at(seen, place.url(template, number=place.fields["building"]))


def look_at(seen: Seen, url: str) -> None:
    """Assert what every page promises."""
    page = seen.page
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 200, f"{answer.status} {page.locator('body').inner_text()}"
    page.wait_for_function("() => document.documentElement.classList.contains('scripted')")
    first = seen.bytes
    wrong = [f"it moves: {one}" for one in page.evaluate("() => moved")]
    wrong += _hostile(page) + _times(page) + _barriers(page)
    page.set_viewport_size({"width": WIDE, "height": 900})
    seen.bytes = 0
    page.goto(url)
    page.wait_for_function("() => document.documentElement.classList.contains('scripted')")
    if first > FIRST_BYTES:
        wrong.append(f"{first} bytes come the first time")
    if seen.bytes > NEXT_BYTES:
        wrong.append(f"{seen.bytes} bytes come the second time")
    wrong += dict.fromkeys(seen.complaints)
    assert not wrong, "\n".join(wrong)


def _hostile(page: Page) -> list[str]:
    found = page.evaluate(
        f"""() => [
        typeof window[{json.dumps(hostile.VARIABLE)}] !== "undefined" && "a script of others ran",
        document.querySelector({json.dumps(hostile.ELEMENT)}) && "markup of others is markup here",
        document.querySelector("[onfocus], [onerror], [onload], style, script:not([src])")
            ?.outerHTML.slice(0, 200),
        document.querySelector("a[href^='javascript:' i]")?.outerHTML.slice(0, 200),
    ]"""
    )
    return [f"hostile: {one}" for one in found if one]


def _times(page: Page) -> list[str]:
    """Say which times are not in the reader's zone, with its name."""
    texts = page.eval_on_selector_all(
        "time[datetime*='T']", "all => all.map((one) => one.textContent)"
    )
    return [f"time: {text}" for text in texts if not text.endswith(("GMT-5", "GMT-4"))][:3]


def _barriers(page: Page) -> list[str]:
    wrong = []
    for width in (WIDE, NARROW, NARROWEST):
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate(_WIDER)
        wrong += [f"at {width} px wider than the window: {one}" for one in wide]
        if width == NARROWEST:
            break
        page.emulate_media(color_scheme="light")
        wrong += [f"at {width} px: {one}" for one in barriers(page)]
        page.emulate_media(color_scheme="dark")
        wrong += [f"at {width} px, dark: {one}" for one in barriers(page, colours_alone=True)]
    return wrong
