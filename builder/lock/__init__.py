"""The exact packages of an environment, their key, and the files that remember them.

::

    model               Lock and its key
    file                a lock as a conda-lock file, and back
    conda_lock_models   conda-lock's models of it, without its command line
    explicit            a lock as an @EXPLICIT list
    told                what is told of a lock beside it
"""

from builder.lock.explicit import to_explicit
from builder.lock.file import from_yaml, to_yaml
from builder.lock.model import LOCK_FORMAT, BuildKey, Lock
from builder.lock.told import Told, WheelFacts
from builder.records import BaseReference

__all__ = [
    "LOCK_FORMAT",
    "BaseReference",
    "BuildKey",
    "Lock",
    "Told",
    "WheelFacts",
    "from_yaml",
    "to_explicit",
    "to_yaml",
]
