"""How commands that ask a server write: documents for programs, tables for people, one sentence."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from registry.cli.remote import RemoteError

OutputFormat = Literal["text", "json"]
OutputOption = Annotated[
    OutputFormat,
    typer.Option("--output", "-o", help="'json' writes the documents that the API answers"),
]
#: What shells say of a program that Ctrl-C ended.
_INTERRUPTED: Final = 130
#: No line of a table is broken where nobody looks at it.
_ENDLESS: Final = 10_000


@contextmanager
def exit_on_remote_error() -> Iterator[None]:
    """Turn what can go wrong with a server into one sentence and exit code 1."""
    try:
        yield
    except RemoteError as exc:
        say(f"pullforge: {exc}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


class RemoteGroup(TyperGroup):
    """Commands that ask a server: what can go wrong with it is one sentence, exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run one of them."""
        with exit_on_remote_error():
            return super().invoke(ctx)


def plain(text: str) -> str:
    """Return a server's text without what terminals would carry out."""
    return "".join(filter(str.isprintable, text))[:500]


def say(text: str) -> None:
    """Tell people something that is no result."""
    typer.echo(text, err=True)


def write_json(document: Mapping[str, Any]) -> None:
    """Write a document for programs, in one line."""
    typer.echo(json.dumps(document))


def write_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write rows for people; ``None`` is an empty cell, and the last column has longer texts."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns, 1):
        # A key or a name that is broken in two cannot be copied.
        table.add_column(column, no_wrap=number < len(columns))
    for row in rows:
        table.add_row(*map(_cell, row))
    _print(table)


def write_page(
    found: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Write what was found of a list for people, and whether there is more."""
    write_table(columns, rows)
    if found["next"] is not None:
        say("there are more: leave out --limit")


def write_fields(fields: Mapping[str, object]) -> None:
    """Write what is known of one thing, a line each; what is ``None`` or empty is left out."""
    grid = Table.grid(padding=(0, 2))
    for name, value in fields.items():
        if value is not None and value != "":
            grid.add_row(Text(name, style="bold"), _cell(value))
    _print(grid)


def time_of(value: object) -> str:
    """Return a time of a document for people, to the minute, UTC.

    >>> time_of("2026-11-29T10:00:07.5Z"), time_of(None)
    ('2026-11-29 10:00', '')
    """
    return str(value)[:16].replace("T", " ") if value is not None else ""


def _cell(value: object) -> Text:
    return Text("" if value is None else plain(str(value)))


def _print(table: Table) -> None:
    console = _console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    # Its cells are as wide as the widest of the column.
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_ENDLESS)
