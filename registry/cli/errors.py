"""How commands end that something went wrong with."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from builder.errors import BuilderError
from builder.system_errors import machine_errors
from registry.errors import RegistryError


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        with machine_errors():
            yield
    except (BuilderError, RegistryError) as exc:
        typer.echo(f"pullforge: {exc.message}", err=True)
        raise typer.Exit(1) from None
