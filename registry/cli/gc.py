"""``pullforge gc``."""

import asyncio
import json
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from registry.cli.errors import exit_on_error
from registry.maintenance.collect import Eviction, evict
from registry.maintenance.collect_pushed import PushedGarbage, collect_pushed
from registry.maintenance.eviction import KINDS, Amount, Budget, EvictionPlan, Kind, plan_eviction
from registry.maintenance.inventory import take_inventory
from registry.settings import Settings
from registry.wiring.stores import open_store

_NAMES: dict[Kind, str] = {
    "form": "archives and other forms",
    "package": "package archives",
    "layer": "layers",
}


def parse_size(text: str) -> int:
    """Return a number of bytes, e.g. of ``500GB``.

    >>> parse_size("500GB"), parse_size("1KiB"), parse_size("12")
    (500000000000, 1024, 12)

    Raises:
        BadParameter: It is no size.
    """
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError as exc:
        raise typer.BadParameter(f"{text!r} is not a size: write 500GB or 2TiB") from exc


def gc(
    size: Annotated[
        int | None,
        typer.Option(
            "--bytes", parser=parse_size, metavar="SIZE", help="what the cache may take, e.g. 500GB"
        ),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="how long something unused stays")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="write one JSON object")] = False,
) -> None:
    """Delete what was not used for longest, which pulls make again, and pushes nobody needs.

    The budget comes from --bytes and --days, else from PULLFORGE_CACHE_BYTES and
    PULLFORGE_CACHE_DAYS. The server may run meanwhile. Exit code 1: the store does not answer; 2:
    there is no budget.
    """
    settings = Settings()
    budget = Budget.of(size, days) or Budget.of(settings.cache_bytes, settings.cache_days)
    if not budget:
        typer.echo("pullforge: no budget: give --bytes or --days", err=True)
        raise typer.Exit(2)
    with exit_on_error():
        asyncio.run(_collect(settings, budget, dry_run=dry_run, as_json=as_json))


async def _collect(settings: Settings, budget: Budget, *, dry_run: bool, as_json: bool) -> None:
    console, notes = Console(), Console(stderr=True)
    garbage = PushedGarbage()
    async with open_store(settings, settings.store) as store:
        with notes.status("looking what was used when"):
            inventory = await take_inventory(store)
        plan = plan_eviction(inventory.items, budget, time.time())
        if not as_json:
            console.print(_table(plan))
        eviction = None
        if not dry_run:
            with notes.status("deleting"):
                eviction = await evict(store, plan, inventory.marks)
                garbage = await collect_pushed(
                    store, time.time(), upload_seconds=settings.upload_seconds
                )
    if as_json:
        pushed = None if dry_run else asdict(garbage)
        typer.echo(json.dumps({**_document(budget, plan, eviction), "pushed": pushed}))
        return
    console.print(_words(plan, eviction))
    if garbage:
        freed = decimal(garbage.freed_bytes)
        console.print(f"Of what was pushed, {garbage.blobs:,} blobs nobody needed, {freed}.")


def _table(plan: EvictionPlan) -> Table:
    table = Table()
    for column in ("", "to delete", "size", "of", "size"):
        table.add_column(column, justify="right" if column else "left")
    for kind in KINDS:
        going, cache = plan.going[kind], plan.cache[kind]
        table.add_row(_NAMES[kind], *_cells(going), *_cells(cache))
    table.add_section()
    table.add_row("together", *_cells(_total(plan.going)), *_cells(_total(plan.cache)))
    return table


def _cells(amount: Amount) -> tuple[str, str]:
    return f"{amount.number:,}", decimal(amount.size_bytes)


def _total(amounts: dict[Kind, Amount]) -> Amount:
    return Amount(
        sum(amount.number for amount in amounts.values()),
        sum(amount.size_bytes for amount in amounts.values()),
    )


def _words(plan: EvictionPlan, eviction: Eviction | None) -> str:
    lines = []
    if eviction is not None:
        gone = _total(eviction.gone)
        lines.append(f"Deleted {gone.number:,}, {decimal(gone.size_bytes)}.")
        if eviction.spared:
            lines.append(f"Left {eviction.spared:,} that were used meanwhile.")
    if plan.over_bytes:
        lines.append(
            f"That is still {decimal(plan.over_bytes)} too much, used in the last two hours."
        )
    return "\n".join(lines) or "Nothing was deleted."


def _document(budget: Budget, plan: EvictionPlan, eviction: Eviction | None) -> dict[str, Any]:
    return {
        "budget": {"size_bytes": budget.size_bytes, "age_seconds": budget.age_seconds},
        "cache": _of_each(plan.cache),
        "planned": _of_each(plan.going),
        "deleted": None if eviction is None else _of_each(eviction.gone),
        "spared": None if eviction is None else eviction.spared,
        "over_bytes": plan.over_bytes,
    }


def _of_each(amounts: dict[Kind, Amount]) -> dict[str, dict[str, int]]:
    return {
        f"{kind}s": {"number": amount.number, "size_bytes": amount.size_bytes}
        for kind, amount in amounts.items()
    }
