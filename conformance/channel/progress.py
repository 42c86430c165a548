"""One line per step on standard error, so that standard output stays the answer of the command."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

_CONSOLE = Console(file=sys.stderr, highlight=False)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done while it is done, and how long it took."""
    started = time.monotonic()
    with _CONSOLE.status(f"{text} …"):
        yield
    _CONSOLE.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {text}")
