"""Which packages share a layer, and in which order the layers lie.

Two wishes pull against each other. An image should have few layers, since docker unpacks them one
after another; and two images should have as many layers in common as they can. So:

1. A package of at least :data:`ALONE_BYTES` gets a layer of its own (at most :data:`MAX_ALONE`, the
   largest first): such a layer is shared by every image that has the package.
2. The small rest goes into a fixed number of bins by a hash of the package's *name*: adding a
   package, or a new version of one, changes one bin and leaves the others.
3. Wheels lie above all conda packages, never in a layer with them, and are grouped likewise.
4. Packages that do not need Python lie below those that do, and Python below its own packages:
   docker reuses a layer only when everything under it is the same, so what changes least and is
   shared most lies lowest.

Worked example: ``python`` (12 MB), ``numpy`` (16 MB), ``pandas`` (13 MB), ``openssl`` (0.9 MB),
``tzdata`` (0.1 MB), ``six`` and ``pytz`` give: bins of ``openssl`` and ``tzdata``; ``python``;
``numpy``; ``pandas``; bins of ``six`` and ``pytz``.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.records import ArchiveRecord, PackageRecord, WheelRecord, needs_bytecode

#: From this archive size on a package gets a layer of its own. Smaller ones do not pay: docker
#: takes as long for a layer as a network for some megabytes (benchmarks ``sharing``, ``layers``).
ALONE_BYTES: Final = 1024 * 1024
#: At most so many do; the others join the bins.
MAX_ALONE: Final = 14
MAX_WHEELS_ALONE: Final = 6
#: Bins of small packages without and with Python.
LIBRARY_BINS: Final = 1
PYTHON_BINS: Final = 7
#: Bins of small wheels.
WHEEL_BINS: Final = 2

#: Layers lie in the order of these: rank, bin, name.
_Place = tuple[int, int, str]


def group(packages: Sequence[LayerPackage], python: PythonTarget | None) -> tuple[LayerPlan, ...]:
    """Return the layers of an image, lowest first; ``packages`` are in the order of linking.

    Every package is in exactly one layer, and a layer keeps the order.
    """
    records = [package.record for package in packages]
    conda = [record for record in records if isinstance(record, PackageRecord)]
    wheels = [record for record in records if isinstance(record, WheelRecord)]
    needing = _needing_python(conda)
    alone, wheels_alone = _alone(conda, MAX_ALONE), _alone(wheels, MAX_WHEELS_ALONE)
    layers: dict[_Place, list[LayerPackage]] = {}
    for package in packages:
        if isinstance(package.record, WheelRecord):
            place = _wheel_place(package.record.name, wheels_alone)
        else:
            place = _conda_place(package.record.name, alone, needing)
        layers.setdefault(place, []).append(package)
    return tuple(_plan(layers[place], python) for place in sorted(layers))


def _conda_place(name: str, alone: set[str], needing: set[str]) -> _Place:
    if name in alone:
        return (2 if name == "python" else 3 if name in needing else 1, 0, name)
    if name in needing:
        return (4, _bin(name, PYTHON_BINS), "")
    return (0, _bin(name, LIBRARY_BINS), "")


def _wheel_place(name: str, alone: set[str]) -> _Place:
    return (5, 0, name) if name in alone else (6, _bin(name, WHEEL_BINS), "")


def _plan(packages: Sequence[LayerPackage], python: PythonTarget | None) -> LayerPlan:
    return LayerPlan(
        tuple(packages), python if any(needs_bytecode(p.record) for p in packages) else None
    )


def _alone(records: Sequence[ArchiveRecord], most: int) -> set[str]:
    """Return the names of the packages, ``most`` of them, that get a layer of their own."""
    large = [record for record in records if record.size_bytes >= ALONE_BYTES]
    large.sort(key=lambda record: (-record.size_bytes, record.name))
    return {record.name for record in large[:most]}


def _needing_python(records: Sequence[PackageRecord]) -> set[str]:
    """Return the names of the packages that need Python, directly or through others."""
    needing = {"python"}
    for record in records:  # in link order, so what it needs has been seen
        if record.noarch == "python" or needing.intersection(record.depends_names):
            needing.add(record.name)
    return needing


def _bin(name: str, bins: int) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % bins
