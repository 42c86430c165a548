"""What others wrote is text on every page, and so is what an address asks for."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from bs4 import BeautifulSoup, Tag

from conformance.pages import hostile
from tests.registry.web.pages.every_page.conftest import Furnished

pytestmark = pytest.mark.anyio

#: Fields of addresses that some page knows.
_FIELDS: Final = (
    *("q", "search", "package", "version", "after", "state", "next", "name", "environment"),
    *("namespace", "policy", "actor", "action", "since", "until", "said", "platform", "user"),
    *("spec", "kind", "mine", "limit", "days", "from", "channel", "manager", "a", "b", "text"),
)
_ADDRESSES: Final = ("href", "src", "action", "formaction", "data", "poster", "hx-get", "hx-post")


async def test_whatever_others_wrote_is_text_on_every_page(furnished: Furnished) -> None:
    wrong = []
    shown_somewhere = False
    for path, page in furnished.pages().items():
        if page.is_file or path.endswith("/live"):
            continue
        for reader in ("root", "owner"):
            reply = await (await furnished.house.browser(reader)).get(path)
            wrong += [f"{path}: {one}" for one in told_apart(reply.text)]
            shown_somewhere |= f"&lt;{hostile.ELEMENT}&gt;" in reply.text
            if reply.status_code >= 500:
                break
    assert not wrong, "\n".join(wrong)
    assert shown_somewhere


async def test_what_an_address_says_is_text_on_every_page(furnished: Furnished) -> None:
    browser = await furnished.house.browser("root")
    wrong = []
    for path, page in furnished.pages().items():
        if page.is_file or path.endswith("/live"):
            continue
        for value in (
            hostile.PRINTABLE_LINE,
            "\x00\x1b[31m\ud800".encode("utf-8", "replace").decode(),
        ):
            query = dict.fromkeys(_FIELDS[:30], value)
            reply = await browser.http.get(path, params=query)
            wrong += [f"{path}: {one}" for one in told_apart(reply.text)]
            if reply.status_code >= 500:
                wrong.append(f"{path}: {reply.status_code} for {value!r}")
                break
    assert not wrong, "\n".join(wrong)


def told_apart(text: str) -> Iterator[str]:
    """Return what there is of markup that is not ours."""
    soup = BeautifulSoup(text, "html.parser")
    if found := soup.find(hostile.ELEMENT):
        yield f"an element of others: {str(found)[:100]}"
    for tag in soup.find_all(True):
        yield from odd_attributes(tag)
    for script in soup.find_all(["script", "style", "iframe", "object", "embed", "base"]):
        assert isinstance(script, Tag)
        if not str(script.get("src", "")).startswith("/static/"):
            yield f"not of ours: {str(script)[:100]}"


def odd_attributes(tag: Tag) -> Iterator[str]:
    for name, value in tag.attrs.items():
        if name.startswith(("on", "hx-on")) or name == "style":
            yield f"{name} in {str(tag)[:100]}"
        if name in _ADDRESSES and re.match(
            r"\s*(javascript|data|vbscript):", str(value), re.IGNORECASE
        ):
            yield f"{name}={value} in {str(tag)[:100]}"
