"""The versions of an environment as a feed, for whoever reads news and not mails.

Source:
    RFC 4287.
"""

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from starlette.types import ASGIApp

from registry.catalog.records import Environment, Version
from registry.web.address import base_url
from registry.web.api.answers import pull_host
from registry.web.api.catalog_documents import environment_path, time_text
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NoQuery
from registry.web.api.shown_elsewhere import shown_elsewhere
from registry.web.asgi.headers import headers_of
from registry.web.noting import via_of

MEDIA_TYPE: Final = "application/atom+xml; charset=utf-8"
#: What is older is on the page of versions.
_ENTRIES: Final = 50
#: What a document of XML cannot have, however it is written.
_NO_CHARACTERS: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REASONS: Final = {
    "rebuild": "It was made again.",
    "restore": "It is as it was before.",
    "copy": "It was copied.",
    "import": "It was imported.",
    "schedule": "Its schedule had it solved anew.",
    "file": "Its file was changed.",
    "waiver": "A waiver was granted.",
}


async def get_feed(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """List the versions that were built, the newest first, as an Atom feed."""
    environment = await call.catalog.environments.get(*call.place)
    versions = await call.catalog.versions.list(*call.place, limit=_ENTRIES)
    built = [one for one in versions.items if one.state == "built"]
    return shown_elsewhere(call, MEDIA_TYPE, _feed(call, environment, built))


def _feed(
    call: Call[NoQuery, NoBody], environment: Environment, versions: Sequence[Version]
) -> bytes:
    base = base_url(call.request.scope, headers_of(call.request.scope))
    page = f"{base}/{environment.path}"
    feed = Element("feed", {"xmlns": "http://www.w3.org/2005/Atom"})
    _text(feed, "id", _name_for_ever(environment))
    _text(feed, "title", environment.path)
    _text(feed, "subtitle", _subtitle(environment))
    ends = [_end(one) for one in versions]
    _text(feed, "updated", time_text(max([environment.updated_at, *ends])))
    _author(feed, environment.created_by or environment.namespace)
    _link(feed, "alternate", page, "text/html")
    # That of pages takes the login of a browser, and the other one a token.
    is_page = via_of(call.request.scope) == "page"
    api = f"{base}{environment_path(environment.namespace, environment.slug)}"
    _link(feed, "self", f"{page if is_page else api}/versions.atom", "application/atom+xml")
    for version in versions:
        image = f"{pull_host(call.request)}/{environment.path}:v{version.number}"
        _entry(feed, environment, version, f"{page}/-/versions/{version.number}", image)
    data: bytes = tostring(feed, encoding="utf-8", xml_declaration=True)
    return data


def _entry(
    feed: Element, environment: Environment, version: Version, page: str, image: str
) -> None:
    entry = SubElement(feed, "entry")
    _text(entry, "id", _name_for_ever(environment, version.number))
    _text(entry, "title", f"{environment.path} v{version.number}")
    _text(entry, "published", time_text(version.created_at))
    _text(entry, "updated", time_text(_end(version)))
    _author(entry, version.requested_by or "the service")
    _link(entry, "alternate", page, "text/html")
    said = [version.note, _REASONS.get(version.reason, ""), f"docker pull {image}"]
    _text(entry, "content", "\n\n".join(filter(None, said))).set("type", "text")


def _subtitle(environment: Environment) -> str:
    active = f"v{environment.active} is active." if environment.active else "None is active."
    return f"{environment.description}\n\n{active}" if environment.description else active


def _name_for_ever(environment: Environment, number: int | None = None) -> str:
    """Return what names a thing for ever, wherever it is moved and however the server is called."""
    thing = f"environment {environment.id} of {time_text(environment.created_at)}"
    named = thing if number is None else f"{thing}, v{number}"
    return uuid.uuid5(uuid.NAMESPACE_URL, f"pullforge:{named}").urn


def _end(version: Version) -> datetime:
    return version.ended_at or version.created_at


def _author(parent: Element, name: str) -> None:
    _text(SubElement(parent, "author"), "name", name)


def _link(parent: Element, relation: str, href: str, media_type: str) -> None:
    SubElement(parent, "link", {"rel": relation, "type": media_type, "href": href})


def _text(parent: Element, name: str, text: str) -> Element:
    found = SubElement(parent, name)
    found.text = _NO_CHARACTERS.sub("\ufffd", text)
    return found
