"""One input, read as it would be, and what must hold whatever it is."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.readers import Reader, sentence_of

#: Of the processor, for one input: the largest take a tenth of it.
MAX_SECONDS: Final = 5.0
#: How many times an input is changed, at most.
_ROUNDS: Final = (1, 1, 1, 2, 3)
#: Every so many inputs, one is read twice.
_TWICE: Final = 16


class Broken(AssertionError):
    """A reader did something that it must not do."""


def changed_input(reader: Reader, seeds: Sequence[bytes], number: int) -> bytes:
    """Return the input that a number stands for; the first are the seeds themselves."""
    if number < len(seeds):
        return seeds[number]
    chance = Random(f"{reader.name} {number}")
    data = chance.choice(seeds)
    for _ in range(chance.choice(_ROUNDS)):
        data = reader.change(data, chance)
    return data


def inputs(reader: Reader, first: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield inputs without end, each with its number."""
    seeds = reader.seeds()
    number = first
    while True:
        yield number, changed_input(reader, seeds, number)
        number += 1


def read_one(reader: Reader, data: bytes, root: Path, *, twice: bool = False) -> bool:
    """Read an input; tell whether it was taken.

    Raises:
        Broken: Another error than a refusal came out, or it took too long, or the second time gave
            something else, or files were left.
    """
    started = time.process_time()
    first = _outcome(reader, data, root)
    if time.process_time() - started > MAX_SECONDS:
        raise Broken(f"{reader.name}: took {time.process_time() - started:.1f} s")
    if twice and _outcome(reader, data, root) != first:
        raise Broken(f"{reader.name}: the second time gave something else")
    return first[0]


def is_read_twice(number: int) -> bool:
    """Tell whether an input is one of those that are read twice."""
    return number % _TWICE == 0


def _outcome(reader: Reader, data: bytes, root: Path) -> tuple[bool, str]:
    inside = root / "inside"
    inside.mkdir()
    try:
        outcome = True, repr(reader.read(data, inside))
    except reader.refusals as error:
        for sentence in sentence_of(error):
            if "\n" in sentence or not sentence.strip() or len(sentence) > 6000:
                raise Broken(f"{reader.name}: no sentence: {sentence[:200]!r}") from error
        outcome = False, f"{type(error).__name__}: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise Broken(f"{reader.name}: {type(error).__name__}: {str(error)[:300]}") from error
    finally:
        shutil.rmtree(inside)
        outside = [path.name for path in root.iterdir() if path.is_dir()]
    if outside:
        raise Broken(f"{reader.name}: it wrote {outside}")
    return outcome
