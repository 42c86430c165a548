"""What people write for how a root is to be kept."""

import grp
import os
import platform as machines
import pwd
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, get_args

import typer

from builder.platforms import OF_MACHINES, Subdir
from registry.auth.wildcards import MAX_WILDCARDS, is_path_glob
from registry.errors import RootUnusable
from registry.prefixes.layout import Layout, preset

LayoutName = Literal["own", "conda-store", "nebari"]

_SPAN: Final = re.compile(r"([0-9]{1,9}) ?(s|m|min|h|d|w)?")
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UMASK: Final = re.compile(r"0?o?([0-7]{1,3})")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/]*)):([0-9]{1,5})")


def seconds_of(text: str) -> float:
    """Return how long a time is.

    >>> seconds_of("90"), seconds_of("30m"), seconds_of("7d"), seconds_of("0")
    (90.0, 1800.0, 604800.0, 0.0)

    Raises:
        BadParameter: It is none.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no length of time: write '30m', '2h' or '7d'")
    return float(int(match[1]) * _UNITS[match[2] or "s"])


def only_of(texts: list[str]) -> tuple[str, ...]:
    """Return the patterns of environments that are meant.

    >>> only_of(["analytics/*"])
    ('analytics/*',)

    Raises:
        BadParameter: One is none, of which the server would say so for ever.
    """
    for text in texts:
        if not is_path_glob(text):
            raise typer.BadParameter(
                f"{text!r} is no name of environments: write a namespace, '/' and an environment,"
                f" with '*' for any characters at most {MAX_WILDCARDS} times in each, such as"
                " 'analytics/*'"
            )
    return tuple(texts)


def umask_of(text: str) -> int:
    """Return the permissions that no file is to have.

    >>> umask_of("022"), umask_of("0o027")
    (18, 23)

    Raises:
        BadParameter: It is no number of octal digits, or would keep the owner out.
    """
    match = _UMASK.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no umask: write octal digits, such as 022 or 027")
    umask = int(match[1], 8)
    if umask & 0o700:
        raise typer.BadParameter(f"with {text!r} even the owner can use nothing: write 022 or 077")
    return umask


def versions_of(text: str) -> int | None:
    """Return how many versions of an environment are wanted; ``None``: all.

    >>> versions_of("3"), versions_of("all")
    (3, None)

    Raises:
        BadParameter: It is no number.
    """
    if text == "all":
        return None
    if not _NUMBER.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no number of versions: write a number, or 'all'")
    return int(text)


def owner_of(text: str) -> int:
    """Return the number of a user to whom this process may give files.

    Raises:
        BadParameter: There is none of that name, or it may not.
    """
    number = _number_of(text, lambda name: pwd.getpwnam(name).pw_uid, "user")
    _require_giving("--owner", number, -1)
    return number


def group_of(text: str) -> int:
    """Return the number of a group to which this process may give files.

    Raises:
        BadParameter: There is none of that name, or it may not.
    """
    number = _number_of(text, lambda name: grp.getgrnam(name).gr_gid, "group")
    _require_giving("--group", -1, number)
    return number


def _number_of(text: str, named: Callable[[str], int], kind: str) -> int:
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        return named(text)
    except (KeyError, ValueError) as exc:
        raise typer.BadParameter(f"this machine has no {kind} {text!r}") from exc


def _require_giving(option: str, uid: int, gid: int) -> None:
    """Try it with a file that nobody else sees: root may lack the right, and others have it."""
    with tempfile.TemporaryFile() as file:
        try:
            os.fchown(file.fileno(), uid, gid)
        except PermissionError as exc:
            raise typer.BadParameter(
                f"this process may not give files to others: leave out {option}, or run it as root"
            ) from exc


def address_of(text: str) -> tuple[str, int]:
    """Return where metrics are to be answered.

    >>> address_of("127.0.0.1:9465"), address_of(":9465"), address_of("[::]:9465")
    (('127.0.0.1', 9465), ('', 9465), ('::', 9465))

    Raises:
        BadParameter: It is no address with a port.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > 65_535:
        raise typer.BadParameter(f"{text!r} is no ADDRESS:PORT: write 127.0.0.1:9465, or :9465")
    return match[1] or match[2], int(match[3])


def platform_of(text: str | None) -> Subdir:
    """Return a platform; ``None``: that of this machine.

    Raises:
        BadParameter: Environments are not for that one.
    """
    known = get_args(Subdir)
    if text is None:
        found = OF_MACHINES.get(machines.machine()) if sys.platform == "linux" else None
        if found is None:
            raise typer.BadParameter(
                f"environments are for Linux on x86_64 and aarch64, and this is {sys.platform} on"
                f" {machines.machine()}: say which machines use them with --platform"
            )
        return found
    for subdir in known:
        if text == subdir:
            return subdir  # type: ignore[no-any-return] # of a Literal
    raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}")


def layout_of(
    name: LayoutName, builds: str | None, link: str | None, version_link: str | None
) -> Layout:
    """Return a layout: one that has a name, with other templates where they are given.

    Raises:
        BadParameter: A template cannot be one.
    """
    try:
        return preset(name).replaced(builds, link, version_link)
    except RootUnusable as exc:
        raise typer.BadParameter(exc.message) from exc


def root_of(path: Path) -> Path:
    """Return where a root is, absolute.

    Raises:
        BadParameter: The directory that it would be in is not there, or it is the whole machine's.
    """
    found = path.absolute()
    if found.parent == found:
        raise typer.BadParameter("the whole machine can be no root: write a directory of its own")
    if not found.parent.is_dir():
        raise typer.BadParameter(
            f"{found.parent} is not there: make it, or mount it (a root is made in a directory"
            " that exists)"
        )
    return found
