"""What someone may have meant by a package name that does not exist.

Near names are those within two edits (insert, delete, replace, swap neighbours). Of 30,000 names
nearly all are ruled out by their length and by the set of their characters, so that the table of
edits is filled for a few hundred.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

#: How many names are suggested.
MAX_SUGGESTIONS: Final = 2

#: Names under which packages are imported, or published elsewhere, and their names in channels.
_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "crypto": ("pycryptodome",),
    "cv2": ("opencv", "py-opencv"),
    "dateutil": ("python-dateutil",),
    "dotenv": ("python-dotenv",),
    "faiss": ("faiss-cpu",),
    "fitz": ("pymupdf",),
    "git-python": ("gitpython",),
    "jwt": ("pyjwt",),
    "magic": ("python-magic",),
    "mpl": ("matplotlib",),
    "msgpack": ("msgpack-python",),
    "node": ("nodejs",),
    "np": ("numpy",),
    "opencv-python": ("opencv", "py-opencv"),
    "osgeo": ("gdal",),
    "pd": ("pandas",),
    "pil": ("pillow",),
    "psycopg2-binary": ("psycopg2",),
    "r": ("r-base",),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "tables": ("pytables",),
    "tf": ("tensorflow",),
    "torch": ("pytorch",),
    "umap": ("umap-learn",),
    "yaml": ("pyyaml",),
}


def suggest(name: str, known: AbstractSet[str]) -> tuple[str, ...]:
    """Return at most two of the ``known`` names that ``name`` may stand for, likeliest first.

    The answer depends on nothing but the arguments; ties go by name.

    >>> suggest("nunpy", {"numpy", "nunny", "pandas"})
    ('numpy', 'nunny')
    >>> suggest("sklearn", {"scikit-learn", "numpy"})
    ('scikit-learn',)
    >>> suggest("xyz", {"numpy"})
    ()
    """
    aliases = [alias for alias in _ALIASES.get(name, ()) if alias in known]
    if len(name) > 2:
        aliases += [alias for alias in (f"python-{name}", f"py{name}") if alias in known]
    if aliases:
        return tuple(dict.fromkeys(aliases))[:MAX_SUGGESTIONS]
    limit = _most_edits(name)
    letters = set(name)
    near = []
    for other in known:
        # Each edit changes the length by at most one, and the characters by at most two.
        if abs(len(other) - len(name)) > limit or len(letters.symmetric_difference(other)) > 2 * (
            limit
        ):
            continue
        edits = edit_distance(name, other, limit)
        if edits <= limit:
            near.append((edits, other[:1] != name[:1], abs(len(other) - len(name)), other))
    return tuple(other for *_, other in sorted(near)[:MAX_SUGGESTIONS])


def suggest_joined(tokens: Sequence[str], known: AbstractSet[str]) -> tuple[str, tuple[str, ...]]:
    """Return the longest run of ``tokens`` that is a name if joined otherwise, and such names.

    >>> suggest_joined(["scikit", "learn", "numpy"], {"scikit-learn", "numpy"})
    ('scikit.learn', ('scikit-learn',))
    >>> suggest_joined(["a", "b"], {"c"})
    ('', ())
    """
    for stop in range(len(tokens), 1, -1):
        found = [joined for glue in "-_" if (joined := glue.join(tokens[:stop])) in known]
        if found:
            return ".".join(tokens[:stop]), tuple(found)
    return "", ()


def edit_distance(left: str, right: str, limit: int) -> int:
    """Return how many edits lead from one to the other, or ``limit + 1`` if more than ``limit``.

    >>> edit_distance("pandas", "pnadas", 2), edit_distance("abc", "xyz", 2)
    (1, 3)
    """
    width = len(right)
    before: list[int] = []
    above = list(range(width + 1))
    for i, a in enumerate(left, start=1):
        row = [i] + [limit + 1] * width
        for j in range(max(1, i - limit), min(width, i + limit) + 1):
            b = right[j - 1]
            edits = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                edits = min(edits, before[j - 2] + 1)
            row[j] = edits
        if min(row) > limit:
            return limit + 1
        before, above = above, row
    return min(above[width], limit + 1)


def _most_edits(name: str) -> int:
    """Return how far a suggestion may be away: short names are near to everything."""
    if len(name) <= 2:
        return 0
    return 1 if len(name) <= 5 else 2
