"""``pullforge env run``: a program in an environment, on this machine and without a container."""

import asyncio
import os
import platform
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from registry.cli.api import Api, Refused, open_api, profile_of
from registry.cli.archive_download import download_archive
from registry.cli.environment_cache import EnvironmentCache, cache_root
from registry.cli.output import plain
from registry.cli.places import (
    EnvironmentPlace,
    ServerOption,
    TaggedArgument,
    environment_place,
    host_of,
)
from registry.cli.remote import RemoteError

#: After how many days an environment is removed that was not used.
KEEP_DAYS: Final = 30

_KEY: Final = re.compile(r"[0-9a-f]{32}")
_VERSION: Final = re.compile(r"v?([0-9]{1,9})")
_PLATFORMS: Final = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
#: The scripts of packages see none of the program's arguments. ``exec``: what the program ends
#: with, and the signals it gets, are those of this command.
_ACTIVATE: Final = """\
_pullforge_prefix=$1
shift
_pullforge_activate() { . "$_pullforge_prefix/bin/activate"; }
_pullforge_activate || exit 1
unset -f _pullforge_activate
unset _pullforge_prefix
exec "$@"
"""
#: Python ignores these, and what it starts would, too.
_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)


def run(
    name: TaggedArgument,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARG]…", help="what to run in it")
    ],
    renew: Annotated[
        bool, typer.Option("--renew", help="fetch it again, although it is on this machine")
    ] = False,
    keep_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            envvar="PULLFORGE_RUN_CACHE_DAYS",
            help="when another is fetched, remove those not used for so long; 0: never",
        ),
    ] = KEEP_DAYS,
    server: ServerOption = None,
) -> None:
    """Run a program in an environment on this machine; ':v7', a key or a date say which version.

    The first run fetches the environment into ~/.cache/pullforge; later ones ask only which version
    is meant, or with a key nothing. Exit code: the program's.
    """
    place = environment_place(name)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise typer.BadParameter("say what to run: pullforge env run NAME -- COMMAND")
    host = host_of(place.host, server)
    with _status() as say:
        prefix = _prefix_of(place, host, say, renew=renew, keep_days=keep_days)
    execute(prefix, command)


def execute(prefix: Path, command: list[str]) -> NoReturn:
    """Go on as a program in an environment.

    Args:
        prefix: Of the environment.
        command: The program and its arguments.
    """
    # What packages activate themselves with is written for bash.
    shell = shutil.which("bash") or "/bin/sh"
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    os.execv(shell, [shell, "-c", _ACTIVATE, "pullforge", str(prefix), *command])  # noqa: S606


def _prefix_of(
    place: EnvironmentPlace,
    host: str | None,
    say: Callable[[str], None],
    *,
    renew: bool,
    keep_days: int,
) -> Path:
    """Return where an environment is on this machine, fetched if it is not.

    It is in use from then on, until the program ends that this process becomes.

    Raises:
        RemoteError: It cannot be had.
    """
    subdir = _PLATFORMS.get(platform.machine())
    if sys.platform != "linux" or subdir is None:
        raise RemoteError(
            f"environments are for Linux on x86_64 and aarch64, and this is {sys.platform} on"
            f" {platform.machine()}: run its image"
        )
    cache = EnvironmentCache(cache_root(), say)
    is_key = place.tag is not None and _KEY.fullmatch(place.tag)
    meant = _Build(place.tag) if is_key and place.tag else asyncio.run(_resolve(place, host))
    key = meant.key
    found = None if renew else cache.use(key, subdir)
    if found is not None:
        return found

    def fetch(target: Path) -> str:
        return asyncio.run(_fetch(place, host, meant, subdir, target, say))

    prefix = cache.make(key, subdir, fetch, renew=renew)
    if keep_days:
        cache.remove_unused(keep_days)
    return prefix


@dataclass(frozen=True, slots=True)
class _Build:
    """What is meant."""

    key: str
    #: Of the version; ``None``: nobody has asked yet.
    number: int | None = None


async def _resolve(place: EnvironmentPlace, host: str | None) -> _Build:
    """Return what is meant, by one request.

    Raises:
        RemoteError: There is no such version, or it is not built.
    """
    async with open_api(profile_of(host)) as api:
        tag = place.tag or "latest"
        if match := _VERSION.fullmatch(tag):
            version = await api.get(place.version(int(match[1])))
        elif tag == "latest":
            version = await api.get(f"{place.address}/active")
        else:
            return _Build(await _of_tag(api, place, tag))
        key, state = version["key"], version["state"]
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            message = plain(str(version["message"] or ""))
            raise RemoteError(
                f"version {version['number']} of {place.path} is {plain(str(state))}, and nothing"
                f" to run{': ' if message else ''}{message}"
            )
        return _Build(key, version.number("number"))


async def _of_tag(api: Api, place: EnvironmentPlace, tag: str) -> str:
    """Return the key of what an image's tag means, such as a date."""
    reply = await api.send("GET", f"/v2/{place.path}/manifests/{tag}")
    key: str = reply.headers.get("pullforge-build", "")
    if not _KEY.fullmatch(key):
        raise RemoteError(
            f"{api.server} does not say what {place.path}:{tag} is: it is no pullforge server"
        )
    return key


async def _fetch(
    place: EnvironmentPlace,
    host: str | None,
    build: _Build,
    subdir: str,
    target: Path,
    say: Callable[[str], None],
) -> str:
    async with open_api(profile_of(host)) as api:
        say("asking for the environment")
        return await download_archive(api, await _address(api, place, build), subdir, target, say)


async def _address(api: Api, place: EnvironmentPlace, build: _Build) -> str:
    """Return where the files of a build are, for those who may see the environment if it can be.

    What is of none of its versions, such as ``bare``, is there by its key alone.
    """
    if build.number is not None:
        return place.version(build.number)
    try:
        versions = await api.all(f"{place.address}/versions")
    except Refused:  # builds may be open to those who may not see the environment
        return f"builds/{build.key}"
    for version in versions.objects("items"):
        if version["key"] == build.key:
            return place.version(version.number("number"))
    return f"builds/{build.key}"


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Give what tells people what is done, where they look."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("asking which version") as status:
        yield lambda text: status.update(text.replace("[", "\\["))
