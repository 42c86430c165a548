"""What a browser keeps: whose it is, what it was sent to a provider with, a sentence for a page.

With TLS the names begin with ``__Host-``: then no other host, such as one of a sister domain, can
set them. On this machine without TLS, which browsers let have no such names, they begin with
nothing. Elsewhere without TLS nobody logs in with a browser.
"""

import base64
import binascii
import re
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from registry.auth.oidc import LoginAttempt
from registry.auth.sessions import SESSION_SECONDS
from registry.errors import LoginRefused, ParameterInvalid
from registry.web.address import base_url
from registry.web.asgi.headers import RequestHeaders
from registry.web.asgi.responses import header

#: Holds the secret of a browser that has logged in.
SESSION: Final = "pullforge"
#: Holds the same for conda-store's pages, under the name that it has there.
CONDA_STORE: Final = "conda-store-auth"
#: How long somebody may take to log in at the provider.
ATTEMPT_SECONDS: Final = 900

_ATTEMPT: Final = "pullforge-attempt"
_HINT: Final = "pullforge-hint"
_SAID: Final = "pullforge-said"
_SAID_SECONDS: Final = 60
_MAX_SAID: Final = 500
_HINT_PATH: Final = "/logout"
#: Browsers keep 4 KiB of a cookie, with its name and attributes.
_MAX_CHARACTERS: Final = 3800
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_VALUE: Final = re.compile(r"[A-Za-z0-9._~|/?&=%:@+-]{1,3800}")


class Cookies:
    """The cookies of one request, and the lines that change them.

    Args:
        scope: Of the request.
        headers: Its headers.
    """

    def __init__(self, scope: Scope, headers: RequestHeaders) -> None:
        parts = urlsplit(base_url(scope, headers))
        self._is_secure = parts.scheme == "https"
        self._is_local = parts.hostname in _LOCAL
        self._sent = _parse(headers.get("cookie", ""))

    def require_safe(self) -> None:
        """Return if a browser may be given a secret.

        Raises:
            LoginRefused: Others could read it on its way.
        """
        if not self._is_secure and not self._is_local:
            raise LoginRefused(
                "log in by an address with https: what is sent to this one can be read on its way;"
                " behind a proxy with TLS, the administrator has to set PULLFORGE_PUBLIC_URL"
            )

    @property
    def session(self) -> str | None:
        """What the browser was given when somebody logged in."""
        return self._sent.get(self._name(SESSION))

    @property
    def hint(self) -> str | None:
        """The ID token of the login; only sent to where one logs out."""
        return self._sent.get(self._name(_HINT, is_host=False))

    @property
    def attempt(self) -> tuple[LoginAttempt, str] | None:
        """What the browser was sent to the provider with, and where it wanted to go."""
        parts = self._sent.get(self._name(_ATTEMPT), "").split("|")
        if len(parts) != 4:
            return None
        return LoginAttempt(parts[0], parts[1], parts[2]), parts[3]

    @property
    def said(self) -> str:
        """A sentence on what was done before, for the next page; empty if there is none."""
        try:
            data = base64.urlsafe_b64decode(self._sent.get(self._name(_SAID), "")[:_MAX_CHARACTERS])
            return data.decode()[:_MAX_SAID]
        except (binascii.Error, ValueError):
            return ""

    @property
    def conda_store(self) -> str | None:
        """What a browser was given when somebody logged in for conda-store's pages."""
        return self._sent.get(CONDA_STORE)

    def keep_conda_store(self, value: str, seconds: int) -> tuple[bytes, bytes]:
        """Return the line by which a browser keeps that; its name is what scripts look for.

        Raises:
            ParameterInvalid: Browsers keep nothing so long.
        """
        if len(value) > _MAX_CHARACTERS:
            raise ParameterInvalid(
                "this token is limited to too much for a cookie: send it as a Bearer token"
            )
        return self._line(CONDA_STORE, value, seconds)

    def drop_conda_store(self) -> tuple[bytes, bytes]:
        """Return the line by which a browser forgets it."""
        return self._line(CONDA_STORE, "", 0)

    def keep_said(self, sentence: str) -> tuple[bytes, bytes]:
        """Return the line by which a browser keeps a sentence for the next page.

        It is in no address: nobody can make others read a sentence of theirs here.
        """
        value = base64.urlsafe_b64encode(sentence[:_MAX_SAID].encode("utf-8", "replace")).decode()
        return self._line(_SAID, value, _SAID_SECONDS)

    def drop_said(self) -> tuple[bytes, bytes]:
        """Return the line by which a browser forgets the sentence: it has been shown."""
        return self._line(_SAID, "", 0)

    def keep_session(self, value: str) -> tuple[bytes, bytes]:
        """Return the line by which a browser keeps its secret."""
        return self._line(SESSION, value, SESSION_SECONDS)

    def drop_session(self) -> tuple[bytes, bytes]:
        """Return the line by which a browser forgets its secret."""
        return self._line(SESSION, "", 0)

    def keep_attempt(self, attempt: LoginAttempt, next_path: str) -> tuple[bytes, bytes]:
        """Return the line by which a browser keeps what it is sent away with."""
        value = f"{attempt.state}|{attempt.nonce}|{attempt.verifier}|{next_path}"
        return self._line(_ATTEMPT, value, ATTEMPT_SECONDS)

    def drop_attempt(self) -> tuple[bytes, bytes]:
        """Return the line by which a browser forgets it: it is good for one answer."""
        return self._line(_ATTEMPT, "", 0)

    def keep_hint(self, id_token: str) -> tuple[bytes, bytes]:
        """Return the line by which a browser keeps the ID token, if it is not too long."""
        fits = len(id_token) <= _MAX_CHARACTERS
        return self._line(_HINT, id_token if fits else "", SESSION_SECONDS if fits else 0, False)

    def drop_hint(self) -> tuple[bytes, bytes]:
        """Return the line by which a browser forgets the ID token."""
        return self._line(_HINT, "", 0, False)

    def _name(self, name: str, *, is_host: bool = True) -> str:
        if not self._is_secure or name == CONDA_STORE:
            return name
        return f"__Host-{name}" if is_host else f"__Secure-{name}"

    def _line(
        self, name: str, value: str, seconds: int, is_host: bool = True
    ) -> tuple[bytes, bytes]:
        if value and not _VALUE.fullmatch(value):
            raise ValueError(f"this cannot be kept in the cookie {name}")
        parts = [
            f"{self._name(name, is_host=is_host)}={value}",
            f"Path={'/' if is_host else _HINT_PATH}",
            f"Max-Age={seconds}",
            "HttpOnly",
            "SameSite=Lax",
            *(["Secure"] if self._is_secure else []),
        ]
        return header("set-cookie", "; ".join(parts))


def _parse(text: str) -> dict[str, str]:
    """Return cookies by name; of those that came twice none, as one may be somebody else's."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for part in text.replace(", ", "; ").split(";")[:100]:
        name, _, value = part.strip().partition("=")
        if name in found:
            twice.add(name)
        if _VALUE.fullmatch(value):
            found[name] = value
    return {name: value for name, value in found.items() if name not in twice}
