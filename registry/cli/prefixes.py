"""``pullforge prefixes``: environments as directories of this machine."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from builder.errors import BuilderError
from builder.install.prefix.sharing import Sharing
from registry.cli.api import profile_of
from registry.cli.output import OutputFormat, RemoteGroup, say
from registry.cli.prefix_options import (
    LayoutName,
    address_of,
    group_of,
    layout_of,
    only_of,
    owner_of,
    platform_of,
    root_of,
    seconds_of,
    umask_of,
    versions_of,
)
from registry.cli.prefix_sync import Asked, Sync
from registry.cli.prefix_words import write_status
from registry.errors import RegistryError
from registry.prefixes.drivers.squashfs_image import Compression
from registry.prefixes.following import Followed
from registry.prefixes.mounting import Mounting
from registry.prefixes.root import RootOptions
from registry.prefixes.status import read_status

prefixes = typer.Typer(
    cls=RemoteGroup,
    help="Environments as directories of this machine, kept equal to what a server says.",
    no_args_is_help=True,
)

#: More than these wait for the disk.
_MOST_WORKERS: Final = 4


#: Each option has a variable of the environment, too.
_VARIABLES: Final = "PULLFORGE_PREFIXES_"


def _option(name: str, help: str, **more: Any) -> Any:  # noqa: A002 # as typer calls it
    """Return an option that has a variable of the environment, too."""
    variable = _VARIABLES + name.upper().replace("-", "_")
    return typer.Option(f"--{name}", help=help, envvar=variable, show_envvar=False, **more)


OutputChoice = Annotated[
    OutputFormat,
    typer.Option(
        "--output",
        "-o",
        envvar=f"{_VARIABLES}OUTPUT",
        show_envvar=False,
        help="'json' writes a document for each line",
    ),
]


@prefixes.command("sync")
def sync(
    context: typer.Context,
    root: Annotated[
        Path, _option("root", "the directory; is made if it is not there", metavar="DIR")
    ],
    server: Annotated[
        str | None, _option("server", "default: the server of the last login", metavar="HOST")
    ] = None,
    token_file: Annotated[
        Path | None,
        _option("token-file", "has the token, instead of 'pullforge login'", metavar="FILE"),
    ] = None,
    follow: Annotated[
        bool, _option("follow", "go on as soon as something changes, for ever")
    ] = False,
    only: Annotated[
        list[str] | None,
        _option("only", "namespace/environment with '*'; may be said several times"),
    ] = None,
    versions: Annotated[
        str, _option("versions", "how many beside the active one, or 'all'", metavar="N|all")
    ] = "0",
    layout: Annotated[LayoutName, _option("layout", "where things are")] = "own",
    builds: Annotated[
        str | None, _option("builds", "where a build is", metavar="TEMPLATE", show_default=False)
    ] = None,
    link: Annotated[
        str | None,
        _option("link", "where an environment is", metavar="TEMPLATE", show_default=False),
    ] = None,
    version_link: Annotated[
        str | None,
        _option("version-link", "where a version is; '': nowhere", metavar="TEMPLATE"),
    ] = None,
    driver: Annotated[
        Literal["hardlink", "squashfs"], _option("driver", "how a build is kept")
    ] = "hardlink",
    mount: Annotated[Mounting, _option("mount", "who mounts squashfs")] = "never",
    compression: Annotated[Compression, _option("compression", "of squashfs")] = "zstd",
    share: Annotated[Sharing, _option("share", "how prefixes share files of packages")] = "auto",
    grace: Annotated[
        str, _option("grace", "how long stays what nobody wants any more", metavar="TIME")
    ] = "1h",
    umask: Annotated[str, _option("umask", "permissions that no file has")] = "022",
    owner: Annotated[str | None, _option("owner", "of all files", metavar="USER")] = None,
    group: Annotated[str | None, _option("group", "of all files", metavar="GROUP")] = None,
    kernels: Annotated[
        Path | None,
        _option("kernels", "write Jupyter kernels there: …/share/jupyter/kernels", metavar="DIR"),
    ] = None,
    platform: Annotated[
        str | None, _option("platform", "default: that of this machine", metavar="PLATFORM")
    ] = None,
    workers: Annotated[
        int | None,
        _option("workers", "how many processes unpack packages; default: four at most", min=1),
    ] = None,
    metrics: Annotated[
        str | None,
        _option("metrics", "answer /metrics, /healthz and /readyz", metavar="ADDRESS:PORT"),
    ] = None,
    dry_run: Annotated[bool, _option("dry-run", "only say what would be done")] = False,
    output: OutputChoice = "text",
) -> None:
    """Make a directory equal to what the server says: a prefix for each environment that you see.

    Whatever is wrong in it is mended; what nobody wants any more goes after a time of grace. Exit
    code 1: something could not be done. Each option has a variable: PULLFORGE_PREFIXES_ROOT.
    """
    _check_variables(context)
    if follow and dry_run:
        raise typer.BadParameter("leave out --follow, or --dry-run")
    if mount != "never" and driver != "squashfs":
        raise typer.BadParameter(
            "nothing is mounted with --driver hardlink: leave out --mount, or say --driver squashfs"
        )
    where = None if metrics is None else address_of(metrics)
    asked = Asked(
        root_of(root),
        RootOptions(
            layout=layout_of(layout, builds, link, version_link),
            subdir=platform_of(platform),
            driver=driver,
            mount=mount,
            compression=compression,
            share=share,
            umask=umask_of(umask),
            owner=None if owner is None else owner_of(owner),
            group=None if group is None else group_of(group),
            grace_seconds=seconds_of(grace),
            kernels=None if kernels is None else kernels.absolute(),
        ),
        Followed(only_of(only or []), versions_of(versions)),
        profile_of(server),
        token_file,
        output,
        where,
        workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS),
    )
    with _exit_on_error():
        if asked.profile.token is None and token_file is None:
            say(f"nobody has logged in to {asked.profile.name}: only what everybody may see")
        syncing = Sync(asked)
        if follow:
            asyncio.run(syncing.for_ever())
            # It was asked to end, at once: nothing has to be tidied.
            sys.stdout.flush()
            os._exit(0)
        elif dry_run:
            asyncio.run(syncing.dry())
        elif not asyncio.run(syncing.once()):
            raise typer.Exit(1)


@prefixes.command("status")
def status(
    root: Annotated[Path, _option("root", "the directory", metavar="DIR")],
    output: OutputChoice = "text",
) -> None:
    """Say how a directory stands, as the last pass left it; exit code 1: not as it is to be."""
    with _exit_on_error():
        found = read_status(root.absolute())
        write_status(found, time.time(), output)
        if found.problems or found.behind_since is not None:
            raise typer.Exit(1)


def _check_variables(context: typer.Context) -> None:
    """Refuse a variable that is none of an option: it is misspelt.

    Raises:
        BadParameter: There is one.
    """
    known = {variable for one in context.command.params for variable in [one.envvar]}
    for variable in sorted(os.environ):
        if variable.startswith(_VARIABLES) and variable not in known:
            raise typer.BadParameter(
                f"{variable} is no option: 'pullforge prefixes sync --help' lists them"
            )


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        yield
    except (BuilderError, RegistryError) as exc:
        say(f"pullforge: {exc.message}")
        raise typer.Exit(1) from None
