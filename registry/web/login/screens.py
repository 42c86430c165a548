"""The pages of logging in, by their templates."""

from typing import Final
from urllib.parse import urlencode

from registry.auth.device_logins import DeviceLogin, shown_user_code
from registry.web.asgi.responses import BytesResponse, RawHeaders
from registry.web.browser.forms import HOME
from registry.web.browser.page import page
from registry.web.browser.session import BrowserRequest, login_of
from registry.web.services import services_of

_AGAIN: Final = ("/login", "Log in")


def login_screen(
    request: BrowserRequest, next_path: str, *, why: str = "", name: str = ""
) -> BytesResponse:
    """Return the page where people log in.

    Args:
        request: Of whom.
        next_path: Where they wanted to go.
        why: What was wrong with what they sent; empty: nothing.
        name: That they typed.
    """
    provider_path = "/login/oidc"
    if next_path != HOME:
        provider_path += f"?{urlencode({'next': next_path})}"
    return page(
        request,
        "login.html",
        status=401 if why else 200,
        next_path=next_path,
        name=name,
        why=why,
        provider_path=provider_path if login_of(request).oidc is not None else None,
        takes_passwords=services_of(request.scope).access.policy.takes_logins,
    )


def logout_screen(request: BrowserRequest, heading: str) -> BytesResponse:
    """Return the page with the button that ends a login."""
    return page(request, "logout.html", heading=heading)


def outcome(
    request: BrowserRequest,
    heading: str,
    *sentences: str,
    problem: str = "",
    status: int = 200,
    lines: RawHeaders | None = None,
    onward: tuple[str, str] | None = _AGAIN,
    leaves_for: str | None = None,
) -> BytesResponse:
    """Return the page that says how something ended.

    Args:
        request: Of whom.
        heading: In a word or two.
        sentences: What happened.
        problem: What went wrong; empty: nothing.
        status: Of the answer.
        lines: Its headers beside those of every page.
        onward: Where to go from there, and in which words.
        leaves_for: An address of another host that the browser goes to by itself.
    """
    return page(
        request,
        "login_outcome.html",
        status=status,
        lines=lines,
        heading=heading,
        sentences=sentences,
        problem=problem,
        onward=onward,
        leaves_for=leaves_for,
    )


def device_screen(
    request: BrowserRequest,
    waiting: DeviceLogin | None = None,
    *,
    problem: str = "",
    status: int = 200,
) -> BytesResponse:
    """Return the page where a code is typed, or that asks about the program that shows it."""
    known = None
    if waiting is not None:
        known = {
            "client": waiting.client,
            "address": waiting.address or "unknown",
            "code": waiting.user_code,
            "shown_code": shown_user_code(waiting.user_code),
        }
    return page(request, "device.html", status=status, waiting=known, problem=problem)
