"""A lock as a ``pixi.lock`` of version 6, which older and newer versions of pixi read.

Source: rattler's ``rattler_lock/src/parse/models/v6``.
"""

from typing import Any, Final

from builder.lock import Lock
from builder.lock.block_yaml import dump
from builder.records import PackageRecord, WheelRecord

_VERSION: Final = 6
#: What of an index's further fields it has, in the form in which the index has it.
_SAID: Final = ("constrains", "features", "license", "license_family")


def to_pixi_lock(lock: Lock) -> bytes:
    """Return the packages of every platform of ``lock`` as its one environment, ``default``."""
    environment: dict[str, Any] = {
        "channels": [{"url": f"{channel.url}/"} for channel in lock.channels],
        "packages": {
            subdir: [{"conda": record.url} for record in records]
            + [{"pypi": wheel.url} for wheel in lock.wheels.get(subdir, ())]
            for subdir, records in lock.platforms.items()
        },
    }
    conda = {r.url: _conda(r) for records in lock.platforms.values() for r in records}
    wheels = {w.url: _pypi(w) for found in lock.wheels.values() for w in found}
    content = {
        "version": _VERSION,
        "environments": {"default": environment},
        "packages": [entry for _, entry in [*sorted(conda.items()), *sorted(wheels.items())]],
    }
    return dump(content)


def _conda(record: PackageRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "conda": record.url,
        "name": record.name,
        "version": record.version,
        "build": record.build,
        "build_number": record.build_number,
        "subdir": record.subdir,
        "noarch": record.noarch,
        "sha256": record.sha256,
        "md5": record.md5,
        "depends": list(record.depends),
        # 0 is a size nobody knows.
        "size": record.size_bytes or None,
        "timestamp": record.timestamp_ms,
        # Said only where the address does not say it.
        "channel": f"{record.channel}/" if record.channel else None,
        "python_site_packages_path": record.python_site_packages_path,
        **{field: record.said.get(field) for field in _SAID},
    }
    return {name: value for name, value in entry.items() if value is not None}


def _pypi(wheel: WheelRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "pypi": wheel.url,
        "name": wheel.name,
        "version": wheel.version,
        "sha256": wheel.sha256,
    }
    if wheel.requires:
        entry["requires_dist"] = list(wheel.requires)
    return entry
