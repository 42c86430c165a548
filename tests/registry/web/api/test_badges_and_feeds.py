"""What is shown elsewhere of an environment: its badge, and its versions as a feed."""

import re
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, fromstring

import feedparser
import pytest

from registry.web.api.badges import Badge, badge_of, draw
from registry.web.api.catalog_documents import EnvironmentDetails, NewestVersion
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ask,
    made,
    make_notebook,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

BADGE: Final = f"{NOTEBOOK}/badge.svg"
FEED: Final = f"{NOTEBOOK}/versions.atom"
ATOM: Final = "{http://www.w3.org/2005/Atom}"
SVG: Final = "{http://www.w3.org/2000/svg}"
HOSTILE: Final = "<script>alert(1)</script> &amp; ]]> \x1b[31m \x0b \u202e \ufffe"
#: RFC 3339, 5.6.
DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Return a database of SQLite: nothing is asked that other addresses do not ask of both."""
    return f"sqlite:///{tmp_path}/catalog.db"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def feed(client: Client, who: str | None = ADA) -> Any:
    """Return the feed as a feed reader understands it, once it keeps all rules."""
    reply = await send(client, "GET", FEED, who)
    assert reply.status == 200, reply
    keeps_the_rules(fromstring(reply.body))
    found = feedparser.parse(reply.body, response_headers={"content-type": "application/atom+xml"})
    assert not found.bozo, found.bozo_exception
    assert found.version == "atom10"
    return found


def keeps_the_rules(root: Element) -> None:
    """Assert what RFC 4287 says that there must be, and how often (4.1 and 4.2)."""
    assert root.tag == f"{ATOM}feed"
    names = [one.text for one in root.iter(f"{ATOM}id")]
    assert len(names) == len(set(names)), "ids are unique (4.1.1)"
    assert all(name and name.startswith("urn:uuid:") for name in names)
    for part in (root, *root.iter(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(part.findall(f"{ATOM}{name}")) == 1, name
        assert part.find(f"{ATOM}author/{ATOM}name") is not None
        links = [(one.get("rel"), one.get("type")) for one in part.findall(f"{ATOM}link")]
        assert len(links) == len(set(links))
        assert ("alternate", "text/html") in links
        for name in ("updated", "published"):
            for one in part.findall(f"{ATOM}{name}"):
                assert DATE.fullmatch(one.text or ""), one.text


async def test_a_feed_has_the_built_versions_the_newest_first(client: Client) -> None:
    await make_notebook(client, wish("library"))
    await ask(client, wish("tool"), query="?note=more")
    await ask(client, wish("no-such-package"))
    found = await feed(client)
    assert [one.title for one in found.entries] == ["ada/notebook v2", "ada/notebook v1"]
    assert found.feed.title == "ada/notebook"
    assert found.feed.subtitle == "v2 is active."
    newest = found.entries[0]
    assert newest.author == "ada"
    assert newest.link == "http://registry.test/ada/notebook/-/versions/2"
    assert "more" in newest.content[0].value
    assert "docker pull registry.test/ada/notebook:v2" in newest.content[0].value
    assert newest.content[0].type == "text/plain"
    links = {one.rel: one.href for one in found.feed.links}
    assert links == {
        "alternate": "http://registry.test/ada/notebook",
        "self": f"http://registry.test{FEED}",
    }
    assert found.feed.updated_parsed >= newest.updated_parsed


async def test_what_is_new_is_told_by_names_that_stay_when_the_environment_moves(
    client: Client,
) -> None:
    await make_notebook(client, wish("library"))
    before = await feed(client)
    moved = await send(client, "PATCH", NOTEBOOK, ADA, {"name": "other"})
    reply = await send(client, "GET", f"{moved.json()['links']['self']}/versions.atom", ADA)
    after = feedparser.parse(reply.body)
    assert after.entries[0].title == "ada/other v1"
    assert after.feed.id == before.feed.id
    assert [one.id for one in after.entries] == [one.id for one in before.entries]
    assert after.entries[0].updated == before.entries[0].updated


async def test_an_empty_environment_has_a_feed_and_a_badge(client: Client) -> None:
    await make_notebook(client)
    found = await feed(client)
    assert found.entries == []
    assert found.feed.subtitle == "None is active."
    assert told(await send(client, "GET", BADGE, ADA)) == "ada/notebook: no version"


async def test_whatever_was_written_is_text(client: Client) -> None:
    await make_notebook(client)
    await send(client, "PATCH", NOTEBOOK, ADA, {"description": HOSTILE[:40]})
    noted = await client.request(
        "POST",
        f"{NOTEBOOK}/versions?note=%3Cb%3E%26%3C%2Fb%3E%20%5D%5D%3E%E2%80%AE%EF%BF%BE",
        [("authorization", ADA), ("prefer", "wait=25")],
        wish("library"),
    )
    assert noted.status == 201, noted
    found = await feed(client)
    # (Readers take what is left of markup out, or show it as text.)
    assert "<script" not in found.feed.subtitle
    reply = await send(client, "GET", FEED, ADA)
    [content] = fromstring(reply.body).iter(f"{ATOM}content")
    assert content.text is not None
    assert content.text.startswith("<b>&</b> ]]>\u202e\ufffd\n")


async def test_the_badge_follows_what_becomes_of_the_environment(client: Client) -> None:
    await make_notebook(client, wish("no-such-package"))
    assert told(await send(client, "GET", BADGE, ADA)) == "ada/notebook: failed"
    await ask(client, wish("library"), query="?activate=false")
    assert told(await send(client, "GET", BADGE, ADA)) == "ada/notebook: none active"
    await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 2})
    first = await send(client, "GET", BADGE, ADA)
    assert told(first) == "ada/notebook: v2"
    await ask(client, wish("tool"))
    assert told(await send(client, "GET", BADGE, ADA)) == "ada/notebook: v3"


@pytest.mark.parametrize("url", [BADGE, FEED])
async def test_what_is_unchanged_is_not_sent_again(client: Client, url: str) -> None:
    await make_notebook(client, wish("library"))
    first = await send(client, "GET", url, ADA)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    again = await send(client, "GET", url, ADA, if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    head = await send(client, "HEAD", url, ADA)
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", tag)
    assert int(head.headers["content-length"]) == len(first.body)
    await ask(client, wish("tool"))
    then = await send(client, "GET", url, ADA, if_none_match=tag)
    assert then.status == 200
    assert then.headers["etag"] != tag


@pytest.mark.parametrize("url", [BADGE, FEED])
async def test_who_may_not_see_the_environment_gets_neither(client: Client, url: str) -> None:
    await make_notebook(client, wish("library"))
    assert (await send(client, "GET", url)).status == 401
    assert (await send(client, "GET", url, BOB)).status == 404
    body = {"subject_kind": "everyone", "role": "viewer"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, body)
    for who in (None, BOB, ADA):
        reply = await send(client, "GET", url, who)
        assert (reply.status, reply.headers["cache-control"]) == (200, "public, max-age=60")
        # Whoever opens it in a browser has a document of this host.
        assert reply.headers["content-security-policy"].startswith("default-src 'none';")


def told(reply: Any) -> str:
    """Return what a badge says to those who cannot see it; it shows the same."""
    assert (reply.status, reply.headers["content-type"]) == (200, "image/svg+xml"), reply
    return told_of(reply.body)


def told_of(svg: bytes) -> str:
    root = fromstring(svg)
    title = root.findtext(f"{SVG}title")
    assert title == root.get("aria-label")
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert texts[::2] == texts[1::2]
    assert ": ".join(filter(None, texts[::2])) == title
    return title or ""


_AT: Final = "2026-01-01T00:00:00Z"


def details(state: str = "built", **more: Any) -> EnvironmentDetails:
    one: NewestVersion = {
        "number": 4,
        "state": state,  # type: ignore[typeddict-item]
        "percent": None,
        "message": "",
        "requested_by": None,
        "created_at": _AT,
        "ended_at": None,
    }
    found: dict[str, Any] = {"newest": one, "findings": 0, "blocked": None, **more}
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("active", "said", "message"),
    [
        (3, details("failed"), "v3"),
        (3, details(findings=1), "v3, 1 finding"),
        (3, details(findings=12), "v3, 12 findings"),
        (3, details(blocked="stolen", findings=1), "v3 blocked"),
        (None, details("queued"), "building"),
        (None, details("building"), "building"),
        (None, details("failed"), "failed"),
        (None, details("cancelled"), "none active"),
        (None, details(newest=None), "no version"),
    ],
)
def test_a_badge_says_what_counts_most(
    active: int | None, said: EnvironmentDetails, message: str
) -> None:
    badge = badge_of("team/forecast", active, said)
    assert badge.message == message
    assert contrast(badge.colour) >= 4.5


def test_a_badge_takes_any_text_and_is_as_wide_as_it_needs() -> None:
    short, long = draw(Badge("a", "v1", "#555")), draw(Badge("a" * 100, "v1", "#555"))
    assert width(short) < 50
    assert 600 < width(long) < 700
    assert told_of(draw(Badge('<a b="c">&', "\u4e2d\u202e", "#555"))) == '<a b="c">&: \u4e2d\u202e'


def width(svg: bytes) -> int:
    return int(fromstring(svg).get("width") or 0)


def contrast(colour: str) -> float:
    """Return how white stands out against a colour (WCAG 2.2, "contrast ratio")."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
    )
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
