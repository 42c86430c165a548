"""A page: a template with what every page shows, of whoever uses the browser."""

from typing import Any

from registry.web.address import base_url, host_of
from registry.web.asgi.headers import headers_of
from registry.web.asgi.responses import BytesResponse, RawHeaders
from registry.web.browser.session import BrowserRequest, cookies_of, name_of
from registry.web.html.rendering import html_answer, render
from registry.web.services import services_of


def page(
    request: BrowserRequest,
    template: str,
    *,
    status: int = 200,
    lines: RawHeaders | None = None,
    **context: Any,
) -> BytesResponse:
    """Return a page.

    Beside ``context`` its template has ``user`` (a name or ``None``), ``service_role``,
    ``can_login``, ``path``, ``host`` (from which images are pulled), ``has_tls``, and ``said``: a
    sentence that is shown once, on what was done before.
    """
    services, cookies = services_of(request.scope), cookies_of(request)
    name, headers = name_of(request), headers_of(request.scope)
    said = cookies.said
    frame = {
        "user": name,
        "service_role": services.access.service_role(services.access.named(name)),
        "can_login": services.login is not None,
        "path": request.scope["path"],
        "host": host_of(headers) or "HOST",
        "has_tls": base_url(request.scope, headers).startswith("https:"),
        "said": said,
    }
    forget = [cookies.drop_said()] if said else []
    return html_answer(status, render(template, **{**frame, **context}), [*forget, *(lines or [])])


def fragment(template: str, **context: Any) -> BytesResponse:
    """Return a part of a page, as a script asks for it."""
    return html_answer(200, render(template, **context))
