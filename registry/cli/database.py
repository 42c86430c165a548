"""``pullforge database``."""

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer

from builder.errors import StoreUnavailable
from registry.cli.errors import exit_on_error
from registry.database import Database, open_database
from registry.database.export import export_lines, import_lines
from registry.errors import DatabaseMissing
from registry.settings import Settings
from registry.storage.location import parse_location
from registry.wiring.database import database_url

database = typer.Typer(
    help="Bring the database to this program's version, write it into a file, and read it back.",
    no_args_is_help=True,
)


@database.command()
def upgrade() -> None:
    """Make the tables of the database, or change them to what this program needs.

    All or nothing. Stop servers of another version before, and back the database up.
    """
    with exit_on_error():
        before, after = asyncio.run(_upgrade())
    if before == after:
        typer.echo(f"The database has revision {after} already.")
    else:
        typer.echo(f"The database has revision {after} now; it had {before or 'none'}.")


@database.command()
def export(
    file: Annotated[Path, typer.Argument(help="where to write it; - for the standard output")],
) -> None:
    """Write all of the database, as it is at one moment, into a file of JSON Lines.

    Servers may run meanwhile. With a copy of the store, or of its locks alone, it is the whole
    back-up. It has digests of passwords and tokens: the file can be read by its owner alone.
    """
    with exit_on_error():
        try:
            count = asyncio.run(_export(file))
        except OSError as exc:
            raise typer.BadParameter(f"{file} cannot be written: {exc.strerror}") from None
    typer.echo(f"Exported {count:,} rows.", err=True)


@database.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="what 'export' wrote; - for the standard input",
            exists=True,
            dir_okay=False,
            readable=True,
            allow_dash=True,
        ),
    ],
) -> None:
    """Read what was exported into an empty database, SQLite or PostgreSQL; all or nothing."""
    with exit_on_error():
        count = asyncio.run(_import(file))
    typer.echo(f"Imported {count:,} rows.", err=True)


async def _upgrade() -> tuple[str | None, str]:
    async with _open() as opened:
        return await opened.revision(), await opened.upgrade()


async def _export(file: Path) -> int:
    count = -2  # the first line and the last are no rows
    async with _open() as opened:
        lines = export_lines(opened)
        if file == Path("-"):
            async for line in lines:
                sys.stdout.write(line)
                count += 1
            return count
        partial = file.with_name(f".{file.name}.partial")
        try:
            with open(partial, "w", encoding="utf-8", opener=_private) as out:
                async for line in lines:
                    out.write(line)
                    count += 1
                out.flush()
                os.fsync(out.fileno())
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    return count


async def _import(file: Path) -> int:
    async with _open() as opened:
        if await opened.revision() is None:  # one with tables may have data, and is not changed
            await opened.upgrade()
        await opened.check()
        if file == Path("-"):
            return await import_lines(opened, sys.stdin)
        with file.open(encoding="utf-8") as lines:
            return await import_lines(opened, lines)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open() -> AbstractAsyncContextManager[Database]:
    """Open the database of the settings.

    Raises:
        DatabaseMissing: They name none, and the store is none of a directory.
        StoreUnavailable: It is in the store, whose directory is not there.
    """
    settings = Settings()
    url = database_url(settings)
    if url is None:
        raise DatabaseMissing
    location = parse_location(settings.store)
    if settings.database is None and isinstance(location, Path) and not location.is_dir():
        raise StoreUnavailable(
            f"there is no store in {location.absolute()}: set PULLFORGE_STORE to its directory, or"
            " make that"
        )
    return open_database(url)
