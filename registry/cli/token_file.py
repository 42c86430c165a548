"""A token that a file has: a Secret of Kubernetes, a credential of systemd."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import httpx

from registry.cli.remote import RemoteError

_TOKEN: Final = re.compile(r"[!-~]{1,512}")
_MAX_BYTES: Final = 4096


class FileToken(httpx.Auth):
    """Sends what is in a file, which is read for each request: it may be changed at any time.

    Raises:
        RemoteError: It cannot be read, or has no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Give the request its token."""
        request.headers["authorization"] = f"Bearer {self.read()}"
        yield request

    def read(self) -> str:
        """Return the token."""
        try:
            with self._path.open("rb") as file:
                token = file.read(_MAX_BYTES).decode("ascii", "replace").strip()
        except OSError as exc:
            raise RemoteError(f"the token of {self._path} cannot be read ({exc.strerror})") from exc
        if not _TOKEN.fullmatch(token):
            raise RemoteError(f"{self._path} has no token: write one line with what was given out")
        return token
