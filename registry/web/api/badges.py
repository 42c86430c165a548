"""A badge: which version of an environment is active, as a small picture for pages elsewhere.

Source:
    shields.io, the style "flat"; its colours are darker here, so that what is white on them can be
    read (WCAG 2.2, 1.4.3).
"""

from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from starlette.types import ASGIApp

from registry.web.api.catalog_documents import EnvironmentDetails
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NoQuery
from registry.web.api.overview import details_of
from registry.web.api.shown_elsewhere import shown_elsewhere

MEDIA_TYPE: Final = "image/svg+xml"
_GOOD, _BUSY, _ODD, _BAD, _NONE = "#2b7a1e", "#0b67b2", "#8f5d00", "#b3261e", "#5f6b7a"
#: What is said of the newest version where none is active.
_WITHOUT: Final = {
    "queued": ("building", _BUSY),
    "building": ("building", _BUSY),
    "failed": ("failed", _BAD),
}
_LABEL: Final = "#555"
_HEIGHT: Final = 20
_PADDING: Final = 5
_FONT: Final = "Verdana,Geneva,DejaVu Sans,sans-serif"
_FONT_PX: Final = 11
#: How wide Verdana's characters from the blank to "~" are, in thousandths of its size.
_WIDTHS: Final = (
    *(352, 394, 459, 818, 636, 1076, 727, 269, 454, 454, 636, 818, 364, 454, 364, 454),
    *(636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 454, 454, 818, 818, 818, 545),
    *(1000, 684, 686, 698, 771, 632, 575, 775, 751, 421, 455, 693, 557, 843, 748, 787),
    *(603, 787, 695, 684, 616, 732, 684, 989, 685, 615, 685, 454, 454, 454, 818, 636),
    *(636, 601, 623, 521, 623, 596, 352, 623, 633, 274, 344, 592, 274, 973, 633, 607),
    *(623, 623, 427, 521, 394, 633, 592, 818, 592, 592, 525, 635, 454, 635, 818),
)
_FIRST: Final = ord(" ")
_WIDEST: Final = max(_WIDTHS)


@dataclass(frozen=True, slots=True)
class Badge:
    """What is on a badge."""

    label: str
    message: str
    colour: str


async def get_badge(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Draw which version is active, as a badge: an SVG for pages elsewhere."""
    environment = await call.catalog.environments.get(*call.place)
    details = (await details_of(call, [environment]))[environment.id]
    badge = badge_of(environment.path, environment.active, details)
    return shown_elsewhere(call, MEDIA_TYPE, draw(badge))


def badge_of(path: str, active: int | None, details: EnvironmentDetails) -> Badge:
    """Return what is on the badge of an environment."""
    if active is not None:
        count = details["findings"]
        if details["blocked"]:
            return Badge(path, f"v{active} blocked", _BAD)
        if count:
            return Badge(path, f"v{active}, {count} finding{'s' if count != 1 else ''}", _ODD)
        return Badge(path, f"v{active}", _GOOD)
    newest = details["newest"]
    if newest is None:
        return Badge(path, "no version", _NONE)
    message, colour = _WITHOUT.get(newest["state"], ("none active", _NONE))
    return Badge(path, message, colour)


def draw(badge: Badge) -> bytes:
    """Return a badge as SVG; those who cannot see it are told what is on it."""
    left, right = _width(badge.label), _width(badge.message)
    whole = left + right
    told = f"{badge.label}: {badge.message}"
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": f"{whole}",
            "height": f"{_HEIGHT}",
            "role": "img",
            "aria-label": told,
        },
    )
    SubElement(svg, "title").text = told
    shine = SubElement(svg, "linearGradient", {"id": "s", "x2": "0", "y2": "100%"})
    SubElement(shine, "stop", {"offset": "0", "stop-color": "#bbb", "stop-opacity": ".1"})
    SubElement(shine, "stop", {"offset": "1", "stop-opacity": ".1"})
    clip = SubElement(svg, "clipPath", {"id": "r"})
    _box(clip, 0, whole, "#fff").set("rx", "3")
    boxes = SubElement(svg, "g", {"clip-path": "url(#r)"})
    _box(boxes, 0, left, _LABEL)
    _box(boxes, left, right, badge.colour)
    _box(boxes, 0, whole, "url(#s)")
    texts = SubElement(
        svg,
        "g",
        {
            "fill": "#fff",
            "text-anchor": "middle",
            "font-family": _FONT,
            "text-rendering": "geometricPrecision",
            "font-size": f"{_FONT_PX}",
            "aria-hidden": "true",
        },
    )
    _text(texts, badge.label, 0, left)
    _text(texts, badge.message, left, right)
    data: bytes = tostring(svg, encoding="utf-8")
    return data


def _box(parent: Element, x: int, width: int, fill: str) -> Element:
    about = {"x": f"{x}", "width": f"{width}", "height": f"{_HEIGHT}", "fill": fill}
    return SubElement(parent, "rect", about)


def _text(parent: Element, text: str, x: int, width: int) -> None:
    """Write text into the middle of a box, with its shadow; other fonts are made to fit."""
    about = {"x": f"{x + width / 2:g}", "textLength": f"{width - 2 * _PADDING}"}
    shadow = {**about, "y": "15", "fill": "#010101", "fill-opacity": ".3"}
    SubElement(parent, "text", shadow).text = text
    SubElement(parent, "text", {**about, "y": "14"}).text = text


def _width(text: str) -> int:
    """Return how wide the box of a text is, in pixels."""
    places = (ord(one) - _FIRST for one in text)
    thousandths = sum(_WIDTHS[one] if one < len(_WIDTHS) else _WIDEST for one in places)
    return round(thousandths * _FONT_PX / 1000) + 2 * _PADDING
