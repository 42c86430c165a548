"""Every form of a lock beside its image: a pure function of the lock.

::

    form              which forms there are
    forms             makes them on first request, keeps them in the store
    environment_yml pixi_lock                 the lock for other tools
    image_tar                                 the image in one file
    bytecode                                  what the compiler made, for directories
    components ← spdx cyclonedx provenance    what it consists of, what it was made of
    diff              what two locks differ in
    image_tree        the documents of an image
"""

from builder.exports.diff import LockDiff, PackageChange, diff
from builder.exports.exports import Exports
from builder.exports.formats import EXPORTS, ExportedFile, ExportFormat, FormatSpec

__all__ = [
    "EXPORTS",
    "ExportFormat",
    "ExportedFile",
    "Exports",
    "FormatSpec",
    "LockDiff",
    "PackageChange",
    "diff",
]
