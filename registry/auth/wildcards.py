"""Matching texts with wildcards, in time that a hostile pattern cannot make long.

A pattern is cut where anything may stand, into runs; a run is cut where anything but ``/`` may. The
first run is where the text begins and the last where it ends; the others are looked for from left
to right, each where it is found first: whatever matches at all matches so, and nothing is tried
again. Regular expressions try every way to divide the text: with thirty wildcards, for ever.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

#: The most wildcards that a pattern has that people write.
MAX_WILDCARDS: Final = 4
#: What a grant says of names of namespaces or environments: at most 100 characters.
GLOB: Final = re.compile(r"[a-z0-9*]([a-z0-9._*-]{0,98}[a-z0-9*])?")
_WILDCARD: Final = re.compile(r"\*+")

#: What stands between the wildcards of one component.
_Run = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcards:
    """Texts with wildcards in them.

    Args:
        runs: Between them any characters may stand; between the parts of each, any but ``/``.
    """

    runs: tuple[_Run, ...]
    #: How many they have in all.
    parts: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Count what is counted once."""
        object.__setattr__(self, "parts", sum(map(len, self.runs)))

    def matches(self, text: str) -> bool:
        """Tell whether a text, as a whole, is one of them."""
        first, last = self.runs[0], self.runs[-1]
        if not (text.startswith(first[0]) and text.endswith(last[-1])):
            return False
        if len(self.runs) == self.parts > 1:
            return _is_glob(self.runs, text)
        if len(self.runs) == 1:
            return _is_run(first, text)
        start = _end_of_run(first, text, 0)
        # Backwards, the last run is where the text begins.
        length = _end_of_run([part[::-1] for part in reversed(last)], text[::-1], 0)
        if start is None or length is None:
            return False
        end = len(text) - length
        for run in self.runs[1:-1]:
            found = _find_run(run, text[:end], start)
            if found is None:
                return False
            start = found
        return start <= end


def read_glob(text: str) -> Wildcards:
    """Return what a glob stands for: ``*`` for any characters.

    >>> read_glob("data-*").matches("data-x"), read_glob("data-*").matches("my-data-x")
    (True, False)
    """
    return Wildcards(tuple((part,) for part in text.split("*")))


def read_pattern(text: str) -> Wildcards:
    """Return what a pattern stands for: ``*`` for any characters but ``/``, ``**`` for any.

    >>> read_pattern("team/*").matches("team/a"), read_pattern("team/*").matches("team/a/b")
    (True, False)
    """
    return Wildcards(tuple(tuple(run.split("*")) for run in text.split("**")))


def is_path_glob(text: str) -> bool:
    """Tell whether a text is a namespace's glob, ``/``, and an environment's.

    >>> is_path_glob("analytics/*"), is_path_glob("analytics")
    (True, False)
    """
    namespace, slash, environment = text.partition("/")
    if not (slash and GLOB.fullmatch(namespace) and GLOB.fullmatch(environment)):
        return False
    return max(map(count_wildcards, (namespace, environment))) <= MAX_WILDCARDS


def count_wildcards(text: str) -> int:
    """Return how many wildcards a glob or pattern has.

    >>> count_wildcards("te*/**")
    2
    """
    return len(_WILDCARD.findall(text))


def _is_glob(runs: Sequence[_Run], text: str) -> bool:
    """Tell whether a text as a whole is runs of one part; where it begins and ends is known."""
    start, end = len(runs[0][0]), len(text) - len(runs[-1][0])
    for run in runs[1:-1]:
        found = text.find(run[0], start, end)
        if found < 0:
            return False
        start = found + len(run[0])
    return start <= end


def _is_run(run: _Run, text: str) -> bool:
    """Tell whether a text as a whole is a run; the last part is known to be where it ends."""
    if len(run) == 1:
        return text == run[0]
    start = _end_of_run(run[:-1], text, 0)
    end = len(text) - len(run[-1])
    return start is not None and start <= end and "/" not in text[start:end]


def _end_of_run(run: Sequence[str], text: str, start: int) -> int | None:
    """Return where a run ends first that begins at ``start``; ``None``: none does."""
    if not text.startswith(run[0], start):
        return None
    end = start + len(run[0])
    for part in run[1:]:
        found = text.find(part, end)
        # A part that is found behind a slash is not found before it.
        if found < 0 or "/" in text[end:found]:
            return None
        end = found + len(part)
    return end


def _find_run(run: _Run, text: str, start: int) -> int | None:
    """Return where a run ends first that begins at ``start`` or later; ``None``: none does."""
    at = text.find(run[0], start)
    while at >= 0:
        end = _end_of_run(run, text, at)
        if end is not None:
            return end
        at = text.find(run[0], at + 1)
    return None
