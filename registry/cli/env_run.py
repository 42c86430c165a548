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

from builder.install.prefix.running import run_command
from builder.platforms import OF_MACHINES
from registry.cli.api import Api, Refused, open_api, profile_of
from registry.cli.environment_cache import EnvironmentCache, cache_directory
from registry.cli.output import plain
from registry.cli.places import (
    EnvironmentPlace,
    ServerOption,
    TaggedArgument,
    environment_place,
    host_of,
)
from registry.cli.remote import RemoteError
from registry.prefixes.finding import find_prefix

#: After how many days an environment is removed that was not used.
KEEP_DAYS: Final = 30

_KEY: Final = re.compile(r"[0-9a-f]{32}")
_VERSION: Final = re.compile(r"v?([0-9]{1,9})")
#: Below it, builds have no other name than their keys.
_OF_BUILDS: Final = "build"
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
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="DIR",
            envvar="PULLFORGE_PREFIXES_ROOT",
            help="where 'pullforge prefixes sync' keeps environments for all: used if it is there",
        ),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Run a program in an environment on this machine; ':v7', a key or a date say which version.

    A build that is of no environment is called build/KEY. The first run fetches what is new of its
    packages into ~/.cache/pullforge; later ones ask only which version is meant, or with a key
    nothing. Exit code: the program's.
    """
    place = environment_place(name)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise typer.BadParameter("say what to run: pullforge env run NAME -- COMMAND")
    if command[0].startswith("-"):
        raise typer.BadParameter(
            f"'{command[0]}' is no program: write options before the name, as in"
            " pullforge env run --renew NAME -- COMMAND"
        )
    host = host_of(place.host, server)
    with _status() as say:
        prefix = _prefix_of(place, host, root, say, renew=renew, keep_days=keep_days)
    execute(prefix, command)


def execute(prefix: Path, command: list[str]) -> NoReturn:
    """Go on as a program in an environment.

    Args:
        prefix: Of the environment.
        command: The program and its arguments.

    Raises:
        RemoteError: The system does not take it.
    """
    # What packages activate themselves with is written for bash.
    shell = shutil.which("bash") or "/bin/sh"
    arguments = run_command(prefix, command, os.environ, shell)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    try:
        os.execv(shell, arguments)  # noqa: S606
    except OSError as exc:
        raise RemoteError(f"the command cannot be started: {exc.strerror}") from exc


def _prefix_of(
    place: EnvironmentPlace,
    host: str | None,
    root: Path | None,
    say: Callable[[str], None],
    *,
    renew: bool,
    keep_days: int,
) -> Path:
    """Return where an environment is on this machine, fetched if it is not.

    It is in use from then on, until the program ends that this process becomes; what is in a root
    stays there by that root's time of grace.

    Raises:
        RemoteError: It cannot be had.
    """
    subdir = OF_MACHINES.get(platform.machine())
    if sys.platform != "linux" or subdir is None:
        raise RemoteError(
            f"environments are for Linux on x86_64 and aarch64, and this is {sys.platform} on"
            f" {platform.machine()}: run its image"
        )
    cache = EnvironmentCache(cache_directory(), subdir, say)
    known = _known_key(place)
    meant = _Build(known) if known else asyncio.run(_resolve(place, host))
    key = meant.key
    if not renew:
        shared = find_prefix(root, key, subdir) if root is not None else None
        found = Path(shared) if shared is not None else cache.use(key)
        if found is not None:
            return found
    # What a program need not wait for that is there already.
    from registry.cli.environment_making import (  # noqa: PLC0415
        make_environment,
        remove_unneeded,
    )
    from registry.cli.prefix_server import BuildFiles  # noqa: PLC0415

    async def fetch(at: Path) -> None:
        async with open_api(profile_of(host)) as api:
            files = BuildFiles(api, await _address(api, place, meant))
            await make_environment(cache.root, subdir, key, files, at, say, other=root, renew=renew)

    prefix = cache.make(key, lambda at: asyncio.run(fetch(at)), renew=renew)
    if keep_days:
        cache.remove_unused(keep_days)
        asyncio.run(remove_unneeded(cache.root, subdir))
    return prefix


def _known_key(place: EnvironmentPlace) -> str | None:
    """Return the key that a name says, for which nobody has to be asked."""
    if place.namespace == _OF_BUILDS and place.tag in {None, "latest"}:
        return place.name if _KEY.fullmatch(place.name) else None
    return place.tag if place.tag is not None and _KEY.fullmatch(place.tag) else None


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
        if place.namespace == _OF_BUILDS:
            return _Build(await _of_tag(api, place, tag))
        if match := _VERSION.fullmatch(tag):
            version = await api.get(place.version(int(match[1])))
        elif tag == "latest":
            version = await api.get(f"{place.address}/active")
        else:
            return _Build(await _of_tag(api, place, tag))
        if version.get("blocked"):
            raise RemoteError(plain(str(version["blocked"])))
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


async def _address(api: Api, place: EnvironmentPlace, build: _Build) -> str:
    """Return where the files of a build are, for those who may see the environment if it can be.

    What is of none of its versions, such as ``bare``, is there by its key alone.
    """
    if build.number is not None:
        return place.version(build.number)
    if place.namespace == _OF_BUILDS:
        return f"builds/{build.key}"
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
