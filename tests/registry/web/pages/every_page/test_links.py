"""Every link of every page leads somewhere, and every form is of an address that takes it."""

import re
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from starlette.routing import compile_path

from conformance.pages.furniture import GONE
from registry.web.pages.routes import ADDRESSES
from tests.registry.web.pages.conftest import HERE
from tests.registry.web.pages.every_page.conftest import Furnished

pytestmark = pytest.mark.anyio

_LINKS: Final = {"a": ("href",), "link": ("href",), "script": ("src",)}
_OF_SCRIPTS: Final = ("hx-get", "sse-connect")
_MAX_OF_EACH_KIND: Final = 12
_OF_FORMS: Final = {"/login", "/logout", "/login/device"}


async def test_every_link_leads_somewhere_and_every_form_is_taken(furnished: Furnished) -> None:
    wrong: list[str] = []
    links: dict[str, str] = {}
    for reader in ("root", "editor"):
        browser = await furnished.house.browser(reader)
        for path, page in furnished.pages().items():
            if page.is_file or path.endswith("/live"):
                continue
            soup = BeautifulSoup((await browser.get(path)).text, "html.parser")
            named = {str(one["id"]) for one in soup.find_all(id=True)}
            here = [one for one in addresses(soup, "a", "href") if one.startswith("#")]
            wrong += [f"{path}: nothing is called {one}" for one in here if one[1:] not in named]
            for tag, names in _LINKS.items():
                for name in names:
                    links |= {urljoin(path, one): path for one in addresses(soup, tag, name)}
            for name in _OF_SCRIPTS:
                links |= {urljoin(path, one): path for one in addresses(soup, None, name)}
            for form in soup.find_all("form"):
                target = urlsplit(urljoin(path, str(form.get("action") or path))).path
                is_post = form.get("method") == "post"
                if not (takes(target, "POST" if is_post else "GET") or target in _OF_FORMS):
                    wrong.append(f"{path}: no page takes {form.get('method')} {target[:100]}")
    wrong += await dead(furnished, links)
    assert not wrong, "\n".join(wrong)


async def dead(furnished: Furnished, links: dict[str, str]) -> list[str]:
    """Return which links lead nowhere, of each kind only some."""
    browser = await furnished.house.browser("root")
    wrong = []
    seen: dict[str, int] = {}
    for link, path in links.items():
        target = urldefrag(link).url
        if not target.startswith("/"):
            if not re.match(r"https?://|mailto:", target):
                wrong.append(f"{path}: {target[:100]} is no address")
            continue
        kind = re.sub(r"[0-9a-f]{32}|\d+|=[^&]*", "…", target)
        seen[kind] = seen.get(kind, 0) + 1
        if target.endswith("/live") or "/live?" in target or seen[kind] > _MAX_OF_EACH_KIND:
            continue
        status = (await browser.http.get(urljoin(HERE, target))).status_code
        if status >= 400 and not is_expected(target, status):
            wrong.append(f"{path}: {target[:150]} is answered {status}")
    return wrong


def is_expected(target: str, status: int) -> bool:
    """Tell whether a page says itself that there is nothing there."""
    # A version that is blocked, or that has no build.
    is_kept = status in {403, 409} and "/-/" in target
    # What was deleted stays in lists; a group with a role need not have anybody in it.
    is_gone = target.endswith(f"/{GONE}") or target.startswith("/ui/groups/")
    return is_kept or (status == 404 and is_gone)


def addresses(soup: BeautifulSoup, tag: str | None, name: str) -> list[str]:
    return [str(one[name]) for one in soup.find_all(tag or True, attrs={name: True})]


def takes(path: str, method: str) -> bool:
    """Tell whether a page takes a method at a path: the first that fits."""
    for template, page in ADDRESSES.items():
        if compile_path(template)[0].fullmatch(path):
            return method in page.methods
    return False
