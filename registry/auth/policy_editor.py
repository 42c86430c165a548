"""Changing the file with users, tokens and rights; comments and order in it stay."""

import datetime
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from registry.auth.edited_files import held, replace
from registry.auth.policy_file import parse_policy
from registry.auth.secret import hash_secret
from registry.errors import PolicyInvalid

Section = Literal["users", "tokens"]

_HEAD: Final = """\
# Who may do what; docs/access.md describes it. The server reads changes within a second.

# Signs logins: a new one ends them all. Servers behind one address need the same.
token_key = "{key}"

# Repositories that are pulled only with a right to, e.g. ["team/**"]; everyone may pull the others.
private = []
"""


def add(
    path: Path,
    section: Section,
    name: str,
    secret: str,
    rights: Sequence[str],
    expires: datetime.datetime | None,
) -> None:
    """Add a user or a token; the file is made if it is missing.

    Args:
        path: The file.
        section: Which of them.
        name: Must be new.
        secret: The password or token; its hash is kept.
        rights: For example ``["team/*:pull,push"]``.
        expires: ``None`` for never.

    Raises:
        PolicyInvalid: The name is taken, something is not written as it should be, or the file
            cannot be used.
    """
    hashed = hash_secret(secret)

    def change(document: TOMLDocument) -> None:
        if any(name in document.get(one, {}) for one in ("users", "tokens")):
            raise PolicyInvalid(f"there is somebody called {name!r} already")
        entry = tomlkit.table()
        entry["hash"] = hashed
        entry["rights"] = list(rights)
        if expires is not None:
            entry["expires"] = expires
        table = document.setdefault(section, tomlkit.table(is_super_table=True))
        table[name] = entry

    _edit(path, change)


def remove(path: Path, section: Section, name: str) -> None:
    """Remove a user or a token; what they logged in for ends when the server reads the file.

    Raises:
        PolicyInvalid: There is nobody of that name, or the file cannot be used.
    """

    def change(document: TOMLDocument) -> None:
        _require(document, section, name)
        document[section].remove(name)

    _edit(path, change)


def set_password(path: Path, name: str, secret: str) -> None:
    """Give a user another password; their logins end when the server reads the file.

    Raises:
        PolicyInvalid: There is nobody of that name, or the file cannot be used.
    """
    hashed = hash_secret(secret)

    def change(document: TOMLDocument) -> None:
        _require(document, "users", name)
        document["users"][name]["hash"] = hashed

    _edit(path, change)


def _require(document: TOMLDocument, section: Section, name: str) -> None:
    if name not in document.get(section, {}):
        raise PolicyInvalid(f"there is no {section.removesuffix('s')} called {name!r}")


def _edit(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Read, change and replace the file as a whole; of several at once none is lost."""
    try:
        with held(path.parent):
            text = path.read_text("utf-8") if path.exists() else _new_file()
            document = tomlkit.parse(text)
            change(document)
            changed = tomlkit.dumps(document)
            parse_policy(changed)
            # The server that reads it may be another user; a new one is its owner's alone.
            replace(path, changed, like=path.stat() if path.exists() else None)
    except OSError as exc:
        raise PolicyInvalid(f"the auth file {path} cannot be written ({exc.strerror})") from exc
    except (TOMLKitError, ValueError) as exc:
        raise PolicyInvalid(f"the auth file {path} was not changed: {exc}") from exc


def _new_file() -> str:
    return _HEAD.format(key=secrets.token_hex(32))
