"""Whatever a reader is given, it reads it or refuses it, soon, and writes nowhere else.

``FUZZ_SECONDS`` says how long each reader is tried, in seconds of the processor; each number stands
for one input, so that a failure can be had again: ``python -m tests.fuzz READER --first NUMBER``.
"""

import os
import resource
import time
import warnings
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS, Reader
from tests.fuzz.runs import Broken, inputs, is_read_twice, read_one

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
#: So many are read however slow the machine is.
AT_LEAST = 30
#: What reading any of them may add to the memory of this process; the largest seed has 130 kB.
MAX_GROWTH_KIB = 200 * 1024


@pytest.mark.timeout(max(120, 20 * SECONDS))
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_whatever_is_read_is_taken_or_refused(reader: Reader, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends_at = time.process_time() + SECONDS
    taken = count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile tells of names that come twice
        for number, data in inputs(reader):
            if time.process_time() > ends_at and count >= AT_LEAST:
                break
            (tmp_path / "input").write_bytes(data)
            try:
                taken += read_one(reader, data, tmp_path, twice=is_read_twice(number))
            except Broken as error:
                pytest.fail(f"{error} (number {number}; the input is {tmp_path / 'input'})")
            count += 1
    assert taken > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KIB
