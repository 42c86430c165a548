"""Pages from templates: everything that is put in is text, and stays text."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from registry.web.asgi.responses import BytesResponse, RawHeaders, header
from registry.web.html.assets import asset
from registry.web.html.filters import day, number, part, size, when

#: What is loaded, run and asked comes from this host, and nothing is written into a page itself.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    header("content-type", "text/html; charset=utf-8"),
    header("content-security-policy", _POLICY),
    header("x-content-type-options", "nosniff"),
    # Not "no-referrer", with which browsers send no Origin either.
    header("referrer-policy", "same-origin"),
    header("cross-origin-opener-policy", "same-origin"),
    # Whoever comes to the same machine later, and goes back, sees nothing.
    header("cache-control", "no-store"),
)

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("registry.web.html"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.globals["asset"] = asset
_ENVIRONMENT.filters.update(when=when, day=day, bytes=size, number=number, part=part)


def render(template: str, **context: Any) -> str:
    """Return a page or a part of one, e.g. of ``environment.html``.

    Raises:
        jinja2.UndefinedError: The template wants what is not in ``context``.
    """
    return _ENVIRONMENT.get_template(template).render(**context)


def html_answer(status: int, text: str, lines: RawHeaders | None = None) -> BytesResponse:
    """Return HTML as an answer, with what holds for every page."""
    return BytesResponse(status, [*_HEADERS, *(lines or [])], text.encode("utf-8", "replace"))
