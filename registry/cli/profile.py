"""Servers that the command line has logged in to: ``~/.config/pullforge/profiles.toml``.

::

    current = "registry.example"           # what commands use that name no server

    [servers."registry.example"]
    server = "https://registry.example"
    token = "pft_…"

The file is readable for its owner alone, and replaced as a whole.
"""

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from registry.auth.edited_files import held, replace
from registry.cli.remote import RemoteError, address_of

_CURRENT: Final = "current"
_SERVERS: Final = "servers"
_TOKEN: Final = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class Profile:
    """A server, and what to send it."""

    #: With its scheme, and without a slash at the end, e.g. ``"https://registry.example"``.
    server: str
    #: Sent as a Bearer token; ``None``: nobody has logged in.
    token: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What the profile is called: the server's host, with its port where it has one.

        >>> Profile("http://localhost:8080").name
        'localhost:8080'
        """
        return urlsplit(self.server).netloc


def profiles_path() -> Path:
    """Return where the file is: below ``$XDG_CONFIG_HOME``, or ``~/.config``."""
    place = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(place).expanduser() / "pullforge" / "profiles.toml"


def load(name: str | None = None) -> Profile:
    """Return the profile of a server.

    Args:
        name: A host or an address; ``None`` for the server that was logged in to last. A server
            that nobody has logged in to has a profile without a token.

    Raises:
        RemoteError: No server is named, and nobody has logged in to any; or the file cannot be
            read.
    """
    document = _read(profiles_path())
    if name is None:
        current = document.get(_CURRENT)
        if not isinstance(current, str):
            raise RemoteError("name a server, or log in to one first: pullforge login HOST")
        name = current
    wanted = Profile(address_of(name))
    servers = document.get(_SERVERS)
    entry = servers.get(wanted.name) if isinstance(servers, dict) else None
    # A token is for the address that gave it out: not for the same host without TLS.
    if not isinstance(entry, dict) or ("://" in name and entry.get("server") != wanted.server):
        return wanted
    server, token = entry.get("server"), entry.get("token")
    if not isinstance(server, str) or not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise RemoteError(f"{profiles_path()} has no token for {wanted.name}: log in again")
    return Profile(server, token)


def save(profile: Profile) -> None:
    """Keep a profile, and make its server the one that commands use; the others stay.

    Raises:
        RemoteError: The file cannot be read or written.
    """

    def change(document: TOMLDocument) -> None:
        entry = tomlkit.table()
        entry["server"] = profile.server
        entry["token"] = profile.token or ""
        document[_CURRENT] = profile.name
        servers = document.setdefault(_SERVERS, tomlkit.table(is_super_table=True))
        servers[profile.name] = entry

    _edit(change)


def forget(profile: Profile) -> None:
    """Remove a profile, if there is one; no server is the current one then, if it was.

    Raises:
        RemoteError: The file cannot be read or written.
    """

    def change(document: TOMLDocument) -> None:
        document.get(_SERVERS, {}).pop(profile.name, None)
        if document.get(_CURRENT) == profile.name:
            del document[_CURRENT]

    _edit(change)


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise RemoteError(f"{path} cannot be read ({exc.strerror})") from exc
    except ValueError as exc:
        raise RemoteError(f"{path} is no TOML file: mend it, or remove it and log in") from exc


def _edit(change: Callable[[TOMLDocument], None]) -> None:
    """Change the file; nobody else may read it, or its directory if it is made now."""
    path = profiles_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(path.parent):
            text = path.read_text("utf-8") if path.exists() else ""
            document = tomlkit.parse(text)
            change(document)
            replace(path, tomlkit.dumps(document))
    except OSError as exc:
        raise RemoteError(f"{path} cannot be written ({exc.strerror})") from exc
    except (TOMLKitError, ValueError) as exc:
        raise RemoteError(f"{path} is no TOML file: mend it, or remove it and log in") from exc
