"""What a build leaves in the store."""

from collections.abc import Mapping
from typing import Final

#: Kept on purpose whether or not an image comes of it: a channel's index, package archives that
#: were verified, and the Pythons that compile packages.
CACHES: Final = ("compilers/", "contents/", "packages/", "repodata/")


def left_behind(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Return the files of ``after`` that are neither in ``before`` nor in a cache.

    >>> left_behind({"locks/a.yml": 1}, {"locks/a.yml": 1, "scratch/x": 3, "packages/aa/b": 9})
    ['scratch/x']
    """
    return sorted(path for path in after if path not in before and not path.startswith(CACHES))
