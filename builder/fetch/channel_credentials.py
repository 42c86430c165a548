"""What private channels ask for: kept in one file, apart from their addresses.

The file is that which pixi and rattler-build have, too (``RATTLER_AUTH_FILE``)::

    {
      "conda.example.com": {"BasicHTTP": {"username": "ada", "password": "…"}},
      "*.prefix.dev": {"BearerToken": "…"},
      "conda.anaconda.org": {"CondaToken": "…"}
    }

A host is written without a port, and its credentials are for all of its ports. ``*.prefix.dev`` is
``prefix.dev`` and every host below it; a host's own entry comes first, then the longest name.
"""

import base64
import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

#: The setting that has the file's path.
SETTING: Final = "PULLFORGE_CHANNEL_CREDENTIALS"

_MAX_BYTES: Final = 1024 * 1024
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\]")
#: What can stand in a header.
_SECRET: Final = re.compile(r"[!-~]{1,8192}")
#: What can stand in a path as it is.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{1,1024}")
_USER: Final = re.compile(r"[^:\x00-\x1f\x7f]{1,256}")
_PASSWORD: Final = re.compile(r"[^\x00-\x1f\x7f]{0,8192}")


@dataclass(frozen=True, slots=True)
class _Credential:
    #: The header that is sent; empty for none.
    authorization: str = field(default="", repr=False)
    #: What is put before the path, ``/t/TOKEN``; empty for nothing.
    prefix: str = field(default="", repr=False)


class ChannelCredentials(httpx.Auth):
    """Adds to a request what its host asks for; httpx sends it to no other host by a redirect."""

    def __init__(
        self, by_host: Mapping[str, _Credential] | None = None, file: Path | None = None
    ) -> None:
        self._by_host = dict(by_host or {})
        #: Where they were read; ``None`` if there are none.
        self.file = file

    def knows(self, host: str) -> bool:
        """Tell whether there is something to send to a host, which is named without a port."""
        return self._find(host) is not None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send ``request`` with what its host asks for."""
        credential, url = self._find(request.url.raw_host.decode()), request.url
        if credential is None:
            yield request
            return
        if credential.authorization:
            request.headers["Authorization"] = credential.authorization
        if credential.prefix:
            request.url = url.copy_with(raw_path=credential.prefix.encode() + url.raw_path)
        try:
            yield request
        finally:
            request.url = url  # errors name the address of what they are about

    def _find(self, host: str) -> _Credential | None:
        if host in self._by_host:
            return self._by_host[host]
        while host:
            if f"*.{host}" in self._by_host:
                return self._by_host[f"*.{host}"]
            host = host.partition(".")[2]
        return None


def read_credentials(path: Path | None) -> ChannelCredentials:
    """Return what a file says; nothing without a file.

    Raises:
        ValueError: It cannot be read, or an entry has no meaning: the text is a sentence that
            names file and entry, and no secret.
    """
    if path is None:
        return ChannelCredentials()
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise ValueError(f"the file {path} of {SETTING} cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_BYTES:
        raise ValueError(f"the file {path} of {SETTING} is larger than {_MAX_BYTES} bytes")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as exc:
        # The error has the whole text in a field of it.
        raise ValueError(f"the file {path} of {SETTING} is not JSON{_line(exc)}") from None
    if not isinstance(said, dict):
        raise ValueError(  # noqa: TRY004 - the file is wrong, not its reader's caller
            f"the file {path} of {SETTING} is not a JSON object with hosts as keys"
        )
    found = {}
    for host, entry in said.items():
        try:
            found[host] = _credential(host, entry)
        except ValueError as exc:
            raise ValueError(f"the file {path} of {SETTING}, entry {host!r}: {exc}") from None
    return ChannelCredentials(found, path)


def _credential(host: str, entry: object) -> _Credential:
    if not _HOST.fullmatch(host):
        raise ValueError(
            "write a host such as 'conda.example.com' or '*.example.com', in lower case, without"
            " scheme, port and path"
        )
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("write one of BearerToken, BasicHTTP and CondaToken")
    ((kind, said),) = entry.items()
    match kind, said:
        case "BearerToken", str() if _SECRET.fullmatch(said):
            return _Credential(authorization=f"Bearer {said}")
        case "CondaToken", str() if _TOKEN.fullmatch(said):
            return _Credential(prefix=f"/t/{said}")
        case "BasicHTTP", {"username": str() as user, "password": str() as password} if (
            len(said) == 2 and _USER.fullmatch(user) and _PASSWORD.fullmatch(password)
        ):
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            return _Credential(authorization=f"Basic {pair}")
        case "BasicHTTP", _:
            raise ValueError("BasicHTTP needs 'username' and 'password', both as text")
        case "BearerToken" | "CondaToken", _:
            raise ValueError(f"{kind} needs the token as text, without blanks and slashes")
    raise ValueError(
        f"{str(kind)[:40]!r} is not known here: write BearerToken, BasicHTTP or CondaToken"
    )


def _line(error: Exception) -> str:
    return f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
