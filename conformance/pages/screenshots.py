"""Pictures of the main pages for the documentation, of what the demonstration has in it.

``make screenshots`` writes them: they show what there is, and not what somebody remembers.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, sync_playwright

from conformance.channel import ensure
from conformance.channel.server import ChannelServer
from conformance.demo import showcase
from conformance.demo.service import open_server, open_store

IMAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
#: All of them together are no burden on whoever clones the project.
MAX_BYTES: Final = 1_500_000

_WIDE: Final = (1280, 800)
_NARROW: Final = (390, 844)


@dataclass(frozen=True, slots=True)
class Picture:
    """One page, as somebody sees it."""

    #: Of the file.
    name: str
    path: str
    #: Who has logged in; ``None``: nobody.
    who: str | None = "ada"
    size: tuple[int, int] = _WIDE
    scheme: Literal["light", "dark"] = "light"
    #: What is done on the page before.
    act: Callable[[Page], None] | None = None


def _solve(page: Page) -> None:
    page.get_by_label("Which packages?").fill("python 3.11, numpy, pandas >=3")
    page.get_by_role("button", name="Solve").click()
    page.get_by_text("This is what you get").wait_for(timeout=60_000)


PICTURES: Final = (
    Picture("start", "/", who=None, act=_solve),
    Picture("home", "/"),
    Picture("namespace", "/analytics"),
    Picture("environment", "/analytics/forecast"),
    Picture("packages", "/analytics/forecast/-/packages"),
    Picture("edit", "/analytics/forecast/-/edit"),
    Picture("failed", "/research/teaching/-/versions/2", who="emil", scheme="dark"),
    Picture("diff", "/analytics/forecast/-/diff/1/3"),
    Picture("proposal", "/analytics/notebook"),
    Picture("waivers", "/ui/waivers", who=showcase.ADMINISTRATOR),
    Picture("phone", "/analytics/forecast", size=_NARROW),
)


def main() -> None:
    """Take the pictures, of a server that is started for it, or of one that runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a server that has the demonstration's data")
    parser.add_argument("--to", type=Path, default=IMAGES, help="where the files go")
    options = parser.parse_args()
    if options.url is not None:
        take(options.url, options.to)
        return
    paths = ensure("demo")
    with (
        tempfile.TemporaryDirectory(prefix="pullforge-pictures-") as directory,
        ChannelServer(paths.channel) as channel,
        open_store("directory", Path(directory)) as store,
        open_server(
            channel.url, paths.base, Path(directory), store | showcase.settings(Path(directory))
        ) as address,
    ):
        showcase.Showcase(f"http://{address}").fill()
        take(f"http://{address}", options.to)


def take(url: str, to: Path) -> None:
    """Take all pictures of a server that has the demonstration's data.

    Args:
        url: Of the server.
        to: The directory into which they are written.
    """
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    to.mkdir(parents=True, exist_ok=True)
    # As root it refuses its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for picture in PICTURES:
            (to / f"{picture.name}.png").write_bytes(_take(browser, url, picture))
        browser.close()
    size = sum((to / f"{picture.name}.png").stat().st_size for picture in PICTURES)
    print(f"{len(PICTURES)} pictures in {to}, {size / 1000:.0f} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"they have {size} bytes, and are to have {MAX_BYTES} at most")


def _take(browser: Browser, url: str, picture: Picture) -> bytes:
    width, height = picture.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=picture.scheme,
        timezone_id="Europe/Berlin",
        base_url=url,
    )
    try:
        page = context.new_page()
        if picture.who is not None:
            page.goto("/login")
            page.get_by_label("Name").fill(picture.who)
            page.get_by_label("Password").fill(showcase.PASSWORD)
            page.get_by_role("main").get_by_role("button", name="Log in").click()
        page.goto(picture.path)
        if picture.act is not None:
            picture.act(page)
        return page.screenshot(animations="disabled")
    finally:
        context.close()


if __name__ == "__main__":
    main()
