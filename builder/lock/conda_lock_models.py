"""conda-lock's own models of its files, without its command line.

Its package imports all of that first, with poetry and what talks to package indexes: two thirds of
the time, and 20 MB. So it stands here without its ``__init__`` while the models are imported;
whoever imports it afterwards gets it whole.
"""

import sys
from importlib.util import find_spec, module_from_spec
from typing import Final

_PACKAGE: Final = "conda_lock"

_is_first: Final = _PACKAGE not in sys.modules
if _is_first:
    _spec = find_spec(_PACKAGE)
    assert _spec is not None
    sys.modules[_PACKAGE] = module_from_spec(_spec)
try:
    from conda_lock.lockfile.v1.models import LockedDependency, Lockfile, LockMeta
    from conda_lock.models.channel import Channel as LockChannel
finally:
    if _is_first:
        del sys.modules[_PACKAGE]

__all__ = ["LockChannel", "LockMeta", "LockedDependency", "Lockfile"]
