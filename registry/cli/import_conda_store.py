"""``pullforge import``: what a conda-store has becomes a server's."""

import time
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer

from registry.cli.api import Api, ask
from registry.cli.conda_store_api import open_conda_store
from registry.cli.conda_store_dump import CondaStoreDump
from registry.cli.conda_store_moving import GOES_ON, Choice, Moving
from registry.cli.conda_store_records import OldService
from registry.cli.conda_store_report import Report
from registry.cli.conda_store_roles import RoleVersions
from registry.cli.output import OutputFormat, OutputOption, RemoteGroup, say, write_json
from registry.cli.places import ServerOption
from registry.cli.token_file import FileToken

import_ = typer.Typer(
    cls=RemoteGroup, help="Move what another service has to a server.", no_args_is_help=True
)

#: Where conda-store's own command has it.
_VARIABLE: Final = "CONDA_STORE_TOKEN"
#: How often people are told how far it is.
_SECONDS: Final = 2.0

_Namespaces = Annotated[
    list[str] | None,
    typer.Option("--namespace", help="only this one, as it is called there; may be said again"),
]
_Renamed = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="OLD=NEW",
        help="another name for a namespace, or for NAMESPACE/ENVIRONMENT; may be said again",
    ),
]
_Roles = Annotated[
    RoleVersions | None,
    typer.Option(
        help="which of its roles hold, as 'role_mappings_version' of its configuration says;"
        " default: those of the version that has any"
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="change nothing, and tell what would happen")
]


@import_.command("conda-store")
def conda_store(
    url: Annotated[str, typer.Argument(metavar="URL", help="its address")],
    token: Annotated[
        str | None,
        typer.Option(envvar=_VARIABLE, help="one that may read all that is to be moved"),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="a file with the token, so that no list of processes shows it"),
    ] = None,
    namespace: _Namespaces = None,
    rename: _Renamed = None,
    roles: _Roles = None,
    dry_run: _DryRun = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Move namespaces, roles, environments and builds of a conda-store that runs.

    What is here already is left as it is.
    The same command goes on where it was cut off, and brings what is new there.
    Nothing is built: images are made when they are pulled.
    Exit code 1: something was refused.
    """
    if token_file is not None:
        token = FileToken(token_file).read()
    choice = _choice(namespace, rename, roles, is_dry_run=dry_run)
    _run(open_conda_store(url, token), choice, server, output)


@import_.command("conda-store-dump")
def conda_store_dump(
    dump: Annotated[
        str,
        typer.Argument(
            metavar="DUMP", help="what pg_dump has written, or postgresql://… of the database"
        ),
    ],
    storage: Annotated[
        Path | None,
        typer.Option(
            help="the directory of its LocalStorage, or of a copy of its bucket: locks are there",
            file_okay=False,
            exists=True,
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            help="the address that it had, if some of it was moved from there: builds are known by"
            " it"
        ),
    ] = "conda-store",
    namespace: _Namespaces = None,
    rename: _Renamed = None,
    roles: _Roles = None,
    dry_run: _DryRun = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Move the same from the database of a conda-store that does not run any more.

    The dump is plain text, packed by gzip or not, or another format of pg_dump.
    For all but plain text, pg_restore has to be here.
    Exit code 1: something was refused.
    """
    choice = _choice(namespace, rename, roles, is_dry_run=dry_run)
    old = CondaStoreDump(dump, source.rstrip("/").removesuffix("/api/v1"), storage)
    _run(nullcontext(old), choice, server, output)


class _Progress:
    """Tells people how far it is, now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, sentence: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SECONDS
            say(sentence)


def _choice(
    namespaces: list[str] | None,
    renamed: list[str] | None,
    roles: RoleVersions | None,
    *,
    is_dry_run: bool,
) -> Choice:
    """Return what is asked for.

    Raises:
        BadParameter: A name is not said as it has to be.
    """
    names: dict[str, str] = {}
    for one in renamed or ():
        # conda-store's names may have '=' in them, and those here too, but seldom at their end.
        old, separator, new = one.rpartition("=")
        if not separator or not old or not new:
            raise typer.BadParameter(f"{one!r} says no name: write --rename OLD=NEW")
        names[old] = new
    return Choice(tuple(namespaces or ()), names, roles, is_dry_run)


def _run(
    opened: AbstractAsyncContextManager[OldService],
    choice: Choice,
    server: str | None,
    output: OutputFormat,
) -> None:
    """Move it, and write the report."""

    async def work(api: Api) -> Report:
        async with opened as old:
            return await Moving(old, api, choice, _Progress()).run()

    try:
        report = ask(server, work)
    except KeyboardInterrupt:
        said = "nothing was changed" if choice.is_dry_run else GOES_ON
        say(f"pullforge: interrupted; {said}")
        raise
    if output == "json":
        write_json(report.document())
    else:
        report.write()
    if not report.is_complete:
        raise typer.Exit(1)
