import asyncio
import json
import os
import time

from builder.keys import blob_key
from builder.oci.digest import Digest
from tests.registry.cli.conftest import Run
from tests.registry.maintenance.store_builder import Shelf


def put_corrupt_layer(shelf: Shelf) -> Digest:
    digest = asyncio.run(shelf.layer("x", time.time()))
    (shelf.root / blob_key(digest)).write_bytes(b"something else")
    return digest


def test_a_sound_store_is_summed_up(run: Run, shelf: Shelf) -> None:
    asyncio.run(shelf.layer("x" * 996, time.time()))
    result = run("scrub")
    assert result.exit_code == 0
    assert result.stdout == (
        "Read 1 blobs, 0 package archives and 0 locks, 1.0 kB:"
        " 0 findings, 0 deleted, 0 still damaged.\n"
    )


def test_what_is_corrupt_is_deleted_and_named(run: Run, shelf: Shelf) -> None:
    digest = put_corrupt_layer(shelf)
    result = run("scrub")
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first.startswith(f"corrupt: {blob_key(digest)}: its 14 bytes have another digest; del")
    assert last.endswith("1 findings, 1 deleted, 0 still damaged.")
    assert not asyncio.run(shelf.has(digest))


def test_without_deletion_the_exit_code_tells(run: Run, shelf: Shelf) -> None:
    digest = put_corrupt_layer(shelf)
    result = run("scrub", "--no-delete", "--threads", "1", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "blobs": 1,
        "packages": 0,
        "locks": 0,
        "hashed_bytes": 14,
        "findings": [
            {
                "problem": "corrupt",
                "key": blob_key(digest),
                "words": "its 14 bytes have another digest",
                "deleted": False,
            }
        ],
    }
    assert asyncio.run(shelf.has(digest))


def test_work_that_was_cut_off_is_named(run: Run, shelf: Shelf) -> None:
    scratch = shelf.root / ".scratch"
    scratch.mkdir()
    (scratch / "layer-0123").write_bytes(b"123")
    os.utime(scratch / "layer-0123", (0, 0))
    result = run("scrub")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"leftover: {scratch}/layer-0123: 3 bytes of work")
