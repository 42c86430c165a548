"""Tokens for anonymous pulls (distribution, "Token Authentication Specification")."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import httpx

from builder.errors import BaseImageError
from builder.oci.reference import Reference

_BEARER: Final = re.compile(r"(?:^|,)\s*bearer\s+(.*)", re.IGNORECASE)
#: Begins at the beginning of a word alone, or a long one would be read from each of its letters.
_FIELD: Final = re.compile(r'(?<!\w)(\w++)\s*+=\s*+(?:"([^"]*)"|([^\s,"]+))')
#: Hosts that are this machine, by how a reference names them.
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, which is asked without TLS.

    >>> is_loopback("localhost:5000"), is_loopback("docker.io")
    (True, False)
    """
    return (host.rpartition(":")[0] or host) in _LOOPBACK


def token_request(challenge: str, reference: Reference) -> tuple[str, Mapping[str, str]]:
    """Return where a token is to be had, and the query.

    Args:
        challenge: ``WWW-Authenticate`` of the registry's 401.
        reference: What is to be read.

    Raises:
        BaseImageError: The registry wants something else than a token.

    >>> challenge = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
    >>> token_request(challenge, Reference("docker.io", "library/debian", None, None))[1]
    {'service': 'registry.docker.io', 'scope': 'repository:library/debian:pull'}
    """
    bearer = _BEARER.search(challenge)
    found = _FIELD.findall(bearer[1]) if bearer else ()
    fields = {name.lower(): quoted or plain for name, quoted, plain in found}
    try:
        realm = httpx.URL(fields.get("realm", ""))
    except httpx.InvalidURL:
        realm = httpx.URL()  # as if there were none
    # A token that is asked for without TLS could be anybody's; on this machine there is no TLS.
    here = is_loopback(reference.host) and is_loopback(realm.netloc.decode())
    if realm.scheme != "https" and not (here and realm.scheme == "http"):
        raise BaseImageError(
            f"the base image {reference} cannot be read: {reference.host} asks for credentials, and"
            f" bases are pulled without"
        )
    query = {"service": fields["service"]} if "service" in fields else {}
    return str(realm), query | {
        "scope": fields.get("scope") or f"repository:{reference.repository}:pull"
    }


def token_of(answer: bytes) -> str | None:
    """Return the token that was answered, by either of its names; ``None``: there is none."""
    try:
        body: Any = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
    # What else could be in it would end in a header.
    return token if isinstance(token, str) and re.fullmatch(r"[!-~]+", token) else None
