"""What someone may have meant by a package name that does not exist.

Near names are those within two edits (insert, delete, replace, swap neighbours). It takes some
milliseconds for 30,000 names, so it is called beside the event loop.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract_iter

#: How many names are suggested.
MAX_SUGGESTIONS: Final = 2

#: How many names are compared before another thread may go on.
_AT_ONCE: Final = 1000

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
    near = [
        (edits, other[:1] != name[:1], abs(len(other) - len(name)), other)
        for other, edits in _near(name, known, _most_edits(name))
    ]
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


def _near(name: str, known: AbstractSet[str], limit: int) -> Iterator[tuple[str, int]]:
    """Yield the names that are at most ``limit`` edits away, with how many, in any order."""
    # Each edit changes the length by at most one: most names need not be looked at.
    shortest, longest = len(name) - limit, len(name) + limit
    alike = [other for other in known if shortest <= len(other) <= longest]
    for start in range(0, len(alike) if limit else 0, _AT_ONCE):
        some = alike[start : start + _AT_ONCE]
        for other, edits, _ in extract_iter(name, some, scorer=OSA.distance, score_cutoff=limit):
            yield other, edits


def _most_edits(name: str) -> int:
    """Return how far a suggestion may be away: short names are near to everything."""
    if len(name) <= 2:
        return 0
    return 1 if len(name) <= 5 else 2
