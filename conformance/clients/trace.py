"""What a build leaves in the store."""

import time
from collections.abc import Callable
from typing import Final

#: Kept on purpose whether or not an image comes of it: a channel's index, package archives that
#: were verified, and the Pythons that compile packages.
CACHES: Final = ("contents/", "packages/", ".scratch/compilers/", ".scratch/repodata/")

#: A failure is answered at once; a download of another package may still be under way then.
SETTLE_SECONDS: Final = 10


def left_behind(before: frozenset[str], files: Callable[[], frozenset[str]]) -> list[str]:
    """Return the files that are neither in ``before`` nor in a cache, when all work has ended.

    >>> left_behind(frozenset({"locks/a"}), lambda: frozenset({"locks/a", "packages/aa/b"}))
    []
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := _added(before, files())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _added(before: frozenset[str], after: frozenset[str]) -> list[str]:
    return sorted(path for path in after - before if not path.startswith(CACHES))
