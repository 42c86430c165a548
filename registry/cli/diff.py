"""``pullforge diff``."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from builder.build.image import Flavour
from builder.exports import LockDiff
from builder.exports import diff as diff_of
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.platforms import Subdir
from builder.ports import ProgressListener
from registry.cli.arguments import ASKED, lock_of
from registry.cli.session import run
from registry.wiring.building import Builder


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help=ASKED)],
    after: Annotated[str, typer.Argument(metavar="B", help="as A")],
    as_json: Annotated[bool, typer.Option("--json", help="write one JSON object")] = False,
) -> None:
    """Show which packages differ, and what a node with A fetches that pulls B.

    Both images are built in the store if they are not there.
    """

    async def work(builder: Builder, on_progress: ProgressListener) -> None:
        a, b = (
            await lock_of(builder, before, on_progress),
            await lock_of(builder, after, on_progress),
        )
        fetched = await _fetched_bytes(builder, a, b, on_progress)
        found = diff_of(a, b)
        if as_json:
            document = {"before": a.key, "after": b.key, **asdict(found), "fetched_bytes": fetched}
            typer.echo(json.dumps(document))
        else:
            _show(found, fetched)

    run(work)


async def _fetched_bytes(
    builder: Builder, a: Lock, b: Lock, on_progress: ProgressListener
) -> Mapping[Subdir, int]:
    async def build(lock: Lock, flavour: Flavour, on_progress: ProgressListener) -> Digest:
        return (await builder.pipeline.build(lock, flavour, on_progress)).top.digest

    return await builder.forms(build, None).fetched_bytes(a, b, on_progress)


def _show(found: LockDiff, fetched: Mapping[Subdir, int]) -> None:
    console = Console(soft_wrap=True)
    for platform, changes in found.packages.items():
        table = Table("", "package", "before", "after", title=platform, title_justify="left")
        for one in changes:
            sign = "+" if one.before is None else "-" if one.after is None else "~"
            table.add_row(sign, one.name, one.before or "", one.after or "")
        console.print(table if changes else f"{platform}: the same packages", highlight=False)
    for name, (old, new) in found.variables.items():
        console.print(_plain(f"variable {name}: {old or '(none)'} → {new or '(none)'}"))
    if found.base is not None:
        old, new = found.base
        console.print(_plain(f"base: {old or '(none)'} → {new or '(none)'}"))
    for platform, size_bytes in fetched.items():
        console.print(f"{platform}: a node fetches {decimal(size_bytes)}", highlight=False)


def _plain(text: str) -> Text:
    """Return what files of others say without what a terminal would take for more than text."""
    return Text("".join(c if c.isprintable() else "?" for c in text))
