"""The pages of logging in: plain HTML, which works without script."""

import base64
import hashlib
import html
from collections.abc import Sequence
from typing import Final

from registry.auth.device_logins import DeviceLogin, shown_user_code
from registry.web.asgi.responses import BytesResponse, RawHeaders, header

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem }
label { display: block; margin: .8rem 0 }
input { display: block; font: inherit; width: 100%; padding: .4rem; box-sizing: border-box }
button, .button { font: inherit; padding: .4rem 1rem; margin: .5rem .5rem .5rem 0 }
code { font-family: ui-monospace, monospace; font-size: 1.2em }
.error { border-left: .3rem solid #b00; padding-left: .8rem }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: Nothing is loaded, run, framed, or sent elsewhere.
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_HEADERS: Final = (
    header("content-type", "text/html; charset=utf-8"),
    header("content-security-policy", _POLICY),
    header("x-content-type-options", "nosniff"),
    # Not "no-referrer", with which browsers send no Origin either.
    header("referrer-policy", "same-origin"),
    header("cache-control", "no-store"),
)


def page(
    title: str,
    *parts: str,
    status: int = 200,
    lines: Sequence[tuple[bytes, bytes]] = (),
    go_to: str | None = None,
) -> BytesResponse:
    """Return a page.

    Args:
        title: As text.
        parts: As HTML.
        status: Of the answer.
        lines: Its headers beside those of every page.
        go_to: An address that the browser goes to by itself. A redirect from a form to another
            host is what ``form-action`` forbids.
    """
    leave = "" if go_to is None else f'<meta http-equiv="refresh" content="0; url={_text(go_to)}">'
    body = "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"{leave}<title>{_text(title)} | pullforge</title>",
            f"<style>{_STYLE}</style>\n<main>\n<h1>{_text(title)}</h1>",
            *parts,
            "</main>\n</html>\n",
        ]
    )
    headers: RawHeaders = [*_HEADERS, *lines]
    return BytesResponse(status, headers, body.encode())


def error(message: str) -> str:
    """Return the paragraph that says what is wrong."""
    return f'<p class="error" role="alert">{_text(message)}</p>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{_text(text)}</p>"


def link(target: str, text: str) -> str:
    """Return a paragraph with a link."""
    return f'<p><a href="{_text(target)}">{_text(text)}</a></p>'


def password_form(next_path: str, name: str = "") -> str:
    """Return the form for name and password."""
    return f"""<form method="post" action="/login">
<input type="hidden" name="next" value="{_text(next_path)}">
<label>Name <input name="name" autocomplete="username" required value="{_text(name)}"></label>
<label>Password
<input type="password" name="password" autocomplete="current-password" required></label>
<button>Log in</button>
</form>"""


def logout_form() -> str:
    """Return the form that ends a login."""
    return '<form method="post" action="/logout"><button>Log out</button></form>'


def code_form() -> str:
    """Return the form for the code that a program shows."""
    return """<form method="get" action="/login/device">
<label>Code <input name="code" autocomplete="off" autocapitalize="characters" required></label>
<button>Go on</button>
</form>"""


def decision_form(login: DeviceLogin, name: str) -> str:
    """Return what is known of a program that wants to log in, with a yes and a no."""
    return f"""<p>The program <strong>{_text(login.client)}</strong>, at the address
{_text(login.address or "unknown")}, wants to act as <strong>{_text(name)}</strong>.
It shows the code <code>{shown_user_code(login.user_code)}</code>.</p>
<p>Say yes only if you have started it yourself, just now. Whoever has sent you this code, or a link
to this page, would be able to do all that you may do.</p>
<form method="post" action="/login/device">
<input type="hidden" name="code" value="{_text(login.user_code)}">
<button name="decision" value="grant">Yes, log it in</button>
<button name="decision" value="deny">No</button>
</form>"""


def _text(text: str) -> str:
    return html.escape(text, quote=True)
