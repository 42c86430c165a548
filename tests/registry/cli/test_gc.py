import asyncio
import json
import time

import pytest

from registry.storage.layout import loose_key
from tests.registry.cli.conftest import Run
from tests.registry.maintenance.store_builder import Shelf

DAY = 86_400
A = "a" * 32


def fill(shelf: Shelf) -> None:
    """Put an old image of one layer and one archive, and a new one of one layer."""

    async def work() -> None:
        old, now = time.time() - 10 * DAY, time.time()
        layers = [await shelf.layer("old" * 100, old)]
        await shelf.image(A, layers, [await shelf.package("p" * 100, old)], at=old)
        await shelf.image("b" * 32, [await shelf.layer("new" * 100, now)], at=now)

    asyncio.run(work())


def kept(shelf: Shelf, prefix: str) -> int:
    async def work() -> int:
        return len([entry async for entry in shelf.store.entries(prefix)])

    return asyncio.run(work())


def test_without_a_budget_it_says_how_to_give_one(run: Run) -> None:
    result = run("gc")
    assert result.exit_code == 2
    assert "give --bytes or --days" in result.stderr


def test_a_dry_run_says_what_would_go_and_deletes_nothing(run: Run, shelf: Shelf) -> None:
    fill(shelf)
    blobs = kept(shelf, "blobs/")
    result = run("gc", "--bytes", "0", "--dry-run")
    assert result.exit_code == 0
    lines = [line.split("│")[1:-1] for line in result.stdout.splitlines() if "│" in line]
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}
    assert rows["package archives"] == ["1", "100 bytes", "1", "100 bytes"]
    assert rows["layers"] == ["1", "304 bytes", "2", "608 bytes"]
    assert rows["together"] == ["2", "404 bytes", "3", "708 bytes"]
    assert "304 bytes too much, used in the last two hours" in result.stdout
    assert kept(shelf, "blobs/") == blobs
    assert kept(shelf, "packages/") == 1


def test_what_is_too_old_is_deleted_and_counted(run: Run, shelf: Shelf) -> None:
    fill(shelf)
    blobs = kept(shelf, "blobs/")
    result = run("gc", "--days", "3")
    assert result.exit_code == 0
    assert "Deleted 2, 404 bytes." in result.stdout
    assert (kept(shelf, "blobs/"), kept(shelf, "packages/")) == (blobs - 1, 0)


def test_the_settings_are_the_budget_if_none_is_given(
    run: Run, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(shelf)
    monkeypatch.setenv("PULLFORGE_CACHE_BYTES", "1KiB")
    monkeypatch.setenv("PULLFORGE_CACHE_DAYS", "3")
    first = json.loads(run("gc", "--json").stdout)
    assert first["budget"] == {"size_bytes": 1024, "age_seconds": 3 * DAY}
    assert first["deleted"]["layers"] == {"number": 1, "size_bytes": 304}
    assert first["deleted"]["packages"] == {"number": 1, "size_bytes": 100}
    second = json.loads(run("gc", "--json", "--bytes", "10TB").stdout)
    assert second["budget"] == {"size_bytes": 10**13, "age_seconds": None}
    assert second["planned"]["layers"] == {"number": 0, "size_bytes": 0}


def test_json_of_a_dry_run_says_that_nothing_was_deleted(run: Run, shelf: Shelf) -> None:
    fill(shelf)
    assert json.loads(run("gc", "--bytes", "300", "--dry-run", "--json").stdout) == {
        "budget": {"size_bytes": 300, "age_seconds": None},
        "cache": {
            "forms": {"number": 0, "size_bytes": 0},
            "packages": {"number": 1, "size_bytes": 100},
            "layers": {"number": 2, "size_bytes": 608},
        },
        "planned": {
            "forms": {"number": 0, "size_bytes": 0},
            "packages": {"number": 1, "size_bytes": 100},
            "layers": {"number": 1, "size_bytes": 304},
        },
        "deleted": None,
        "spared": None,
        "over_bytes": 4,
        "pushed": None,
    }


def test_a_size_that_is_none_is_refused(run: Run) -> None:
    result = run("gc", "--bytes", "much")
    assert result.exit_code == 2
    assert "is not a size" in result.stderr


def test_what_was_pushed_and_nothing_needs_goes_too(run: Run, shelf: Shelf) -> None:
    async def work() -> None:
        old = time.time() - DAY
        digest = await shelf.layer("pushed", old)
        await shelf.put(loose_key(digest, "team/app"), b"", old)

    asyncio.run(work())
    assert json.loads(run("gc", "--days", "3", "--dry-run", "--json").stdout)["pushed"] is None
    assert kept(shelf, "blobs/") == 1
    assert "Of what was pushed, 1 blobs nobody needed" in run("gc", "--days", "3").stdout
    assert kept(shelf, "blobs/") == 0
    found = json.loads(run("gc", "--days", "3", "--json").stdout)["pushed"]
    assert found == {"blobs": 0, "freed_bytes": 0, "uploads": 0}
