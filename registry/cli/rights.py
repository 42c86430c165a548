"""What the commands for users and for tokens share."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from registry.settings import Settings

Name = Annotated[str, typer.Argument(help="what it is called")]

RightsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="PATTERN:VERBS, for example 'team/*:pull,push'; give it once for each right",
    ),
]

DaysOption = Annotated[
    float | None, typer.Option(min=0, help="after how many days it expires; default: never")
]


def auth_file() -> Path:
    """Return the file to change.

    Raises:
        typer.BadParameter: The settings name none.
    """
    path = Settings().auth_file
    if path is None:
        raise typer.BadParameter("set PULLFORGE_AUTH_FILE to the file with users and tokens")
    return path


def expiry(days: float | None) -> datetime.datetime | None:
    """Return when what is made now expires, to the second."""
    if days is None:
        return None
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return now + datetime.timedelta(days=days)
