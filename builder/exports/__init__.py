"""Every form of a lock beside its image: a pure function of the lock.

::

    form              which forms there are
    forms             makes them on first request, keeps them in the store
    environment_yml pixi_lock                 the lock for other tools
    image_tar                                 the image in one file
    components ← spdx cyclonedx provenance    what it consists of, what it was made of
    diff              what two locks differ in
    image_tree        the documents of an image
"""

from builder.exports.diff import LockDiff, PackageChange, diff
from builder.exports.exports import Forms
from builder.exports.formats import FORMS, FormFile, FormKind, FormName

__all__ = [
    "FORMS",
    "FormFile",
    "FormKind",
    "FormName",
    "Forms",
    "LockDiff",
    "PackageChange",
    "diff",
]
