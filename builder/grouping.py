"""Which packages share a layer, and in which order the layers lie.

Two wishes pull against each other. An image should have few layers, since docker unpacks them one
after another; and two images should have as many layers in common as they can. So:

1. A package of at least :data:`ALONE_BYTES` gets a layer of its own (at most :data:`MAX_ALONE`, the
   largest first): such a layer is shared by every image that has the package.
2. The small rest goes into a fixed number of bins by a hash of the package's *name*: adding a
   package, or a new version of one, changes one bin and leaves the others.
3. Packages that do not need Python lie below those that do, and Python below its own packages:
   docker reuses a layer only when everything under it is the same, so what changes least and is
   shared most lies lowest.

Worked example: ``python`` (12 MB), ``numpy`` (16 MB), ``pandas`` (13 MB), ``openssl`` (2 MB),
``tzdata`` (0.1 MB), ``six`` and ``pytz`` give: bins of ``openssl`` and ``tzdata``; ``python``;
``numpy``; ``pandas``; bins of ``six`` and ``pytz``.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from builder.layer import LayerPackage, LayerPlan, PythonTarget

#: From this archive size on a package gets a layer of its own.
ALONE_BYTES: Final = 6 * 1024 * 1024
#: At most so many do; the others join the bins.
MAX_ALONE: Final = 6
#: Bins of small packages without and with Python.
LIBRARY_BINS: Final = 2
PYTHON_BINS: Final = 3


def group(packages: Sequence[LayerPackage], python: PythonTarget | None) -> tuple[LayerPlan, ...]:
    """Return the layers of an image, lowest first; every package is in exactly one.

    Args:
        packages: In the order in which they are linked; layers keep it inside.
        python: What noarch packages are installed for, if the image has Python.
    """
    needing = _needing_python(packages)
    alone = _alone(packages)
    layers: dict[tuple[int, int, str], list[LayerPackage]] = {}
    for package in packages:
        record = package.record
        if record.name in alone:
            rank = 2 if record.name == "python" else 3 if record.name in needing else 1
            place = (rank, 0, record.name)
        elif record.name in needing:
            place = (4, _bin(record.name, PYTHON_BINS), "")
        else:
            place = (0, _bin(record.name, LIBRARY_BINS), "")
        layers.setdefault(place, []).append(package)
    return tuple(_plan(layers[place], python) for place in sorted(layers))


def _plan(packages: Sequence[LayerPackage], python: PythonTarget | None) -> LayerPlan:
    has_noarch = any(package.record.noarch == "python" for package in packages)
    return LayerPlan(tuple(packages), python if has_noarch else None)


def _alone(packages: Sequence[LayerPackage]) -> set[str]:
    """Return the names of the packages that get a layer of their own."""
    large = [p.record for p in packages if p.record.size_bytes >= ALONE_BYTES]
    large.sort(key=lambda record: (-record.size_bytes, record.name))
    return {record.name for record in large[:MAX_ALONE]}


def _needing_python(packages: Sequence[LayerPackage]) -> set[str]:
    """Return the names of the packages that need Python, directly or through others."""
    needing = {"python"}
    for package in packages:  # in link order, so what it needs has been seen
        if package.record.noarch == "python" or needing.intersection(package.record.depends_names):
            needing.add(package.record.name)
    return needing


def _bin(name: str, bins: int) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % bins
