"""Addresses that events are sent to: what is taken as one, and what is shown of it.

An address may have credentials in it: a user, a token in the query, or, of chat services, all that
follows the host. They are used to send, and shown to nobody.
"""

import re
from typing import Final

import httpx

from registry.catalog.webhook_records import WebhookFormat, WebhookKind
from registry.errors import WebhookInvalid

#: What stands in place of what is not shown.
HIDDEN: Final = "***"
#: RFC 5321, without what nobody has and other programs read as something else: quotes, comments.
_MAIL: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._+=-]{0,62}[A-Za-z0-9_+=-])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
#: A name or number; of IPv6 without a zone, which is one of this machine's.
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
#: RFC 3986; browsers read a backslash otherwise than programs do.
_VISIBLE: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_MAX_MAIL: Final = 254


def checked_address(kind: WebhookKind, text: str) -> str:
    """Return an address that can be sent to.

    Raises:
        WebhookInvalid: It cannot; the sentence has nothing of it.
    """
    if HIDDEN in text:
        raise WebhookInvalid(
            f"the address has {HIDDEN} where something is not shown: send it as a whole, or leave"
            " it out to keep what there is"
        )
    return _checked_mail(text) if kind == "mail" else _checked_url(text)


def shown_address(kind: WebhookKind, format_: WebhookFormat, address: str) -> str:
    """Return what is shown of an address to those who may change it.

    >>> shown_address("webhook", "standard", "https://ada:secret@example.org/hook?token=abc")
    'https://***@example.org/hook?token=***'
    >>> shown_address("webhook", "chat", "https://chat.example/hooks/T0/B0/abc")
    'https://chat.example/***'
    >>> shown_address("mail", "standard", "ada@example.org")
    'ada@example.org'
    """
    if kind == "mail":
        return address
    url = httpx.URL(address)
    user = f"{HIDDEN}@" if url.userinfo else ""
    start = f"{url.scheme}://{user}{url.netloc.decode('ascii')}"
    if format_ == "chat":
        return f"{start}/{HIDDEN}"
    query = "&".join(
        f"{part.partition('=')[0]}={HIDDEN}" if "=" in part else HIDDEN
        for part in url.query.decode("ascii").split("&")
        if part
    )
    return start + url.raw_path.decode("ascii").partition("?")[0] + (f"?{query}" if query else "")


def host_of_address(kind: WebhookKind, address: str) -> str:
    """Return the host of an address: what is told of it to all who see events.

    >>> host_of_address("webhook", "https://ada:secret@example.org:8443/hook?token=abc")
    'example.org:8443'
    >>> host_of_address("mail", "ada@example.org")
    'example.org'
    """
    if kind == "mail":
        return address.rpartition("@")[2]
    return httpx.URL(address).netloc.decode("ascii")


def _checked_mail(text: str) -> str:
    address = text.strip().removeprefix("mailto:")
    local = address.partition("@")[0]
    if len(address) > _MAX_MAIL or not _MAIL.fullmatch(address) or ".." in local:
        raise WebhookInvalid(
            "mail goes to one address: write it as ada@example.org; what requests go to begins with"
            " https:// or http://"
        )
    return address


def _checked_url(text: str) -> str:
    problem = "events are sent to an address as https://example.org/hook"
    if not _VISIBLE.fullmatch(text):
        raise WebhookInvalid(f"{problem}: it has no spaces, and other letters as %C3%A4")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as exc:
        raise WebhookInvalid(problem) from exc
    is_there = _HOST.fullmatch(url.raw_host.decode("ascii"))
    if url.port is not None and not 0 < url.port < 65_536:
        raise WebhookInvalid(f"{problem}: a port is a number from 1 to 65535")
    if url.scheme not in {"http", "https"} or not is_there:
        raise WebhookInvalid(f"{problem}: it begins with https:// or http:// and has a host")
    if url.fragment or "#" in text:
        raise WebhookInvalid(f"{problem}: what follows '#' would never be sent")
    return text
