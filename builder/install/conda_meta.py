"""``conda-meta/<package>.json``: by which conda, pixi and scanners know what is installed.

Source: conda's ``PrefixRecord`` (``conda/models/records.py``) and rattler's
``rattler_conda_types/src/prefix_record.rs``. It says nothing about the machine that made it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from builder.install.package_info import PackageInfo, dist_name
from builder.layer import PREFIX
from builder.records import LISTED, PackageRecord, canonical_json

#: conda's ``LinkType.copy``: nothing is shared with a package cache.
_LINK_TYPE_COPY: Final = 3
#: Where conda keeps the variables of an environment, relative to the prefix.
STATE: Final = "conda-meta/state"

InstalledType = Literal["hardlink", "softlink", "directory", "unix_python_entry_point", "pyc_file"]


@dataclass(frozen=True, slots=True)
class InstalledPath:
    """One path that a package has put into the prefix."""

    #: Relative to the prefix.
    path: str
    type: InstalledType
    #: As the package lists it, 64 hex digits.
    sha256: str | None = None
    #: As the package lists it.
    size_bytes: int | None = None
    #: Of the file with its prefix replaced, where that makes a difference.
    sha256_in_prefix: str | None = None
    #: What was replaced, where the package says so.
    placeholder: str | None = None
    file_mode: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry of ``paths_data``."""
        entry: dict[str, Any] = {"_path": self.path, "path_type": self.type}
        optional = {
            "sha256": self.sha256,
            "sha256_in_prefix": self.sha256_in_prefix,
            "size_in_bytes": self.size_bytes,
            "prefix_placeholder": self.placeholder,
            "file_mode": self.file_mode,
        }
        entry.update((key, value) for key, value in optional.items() if value is not None)
        return entry


def environment_state(variables: Mapping[str, str]) -> bytes:
    """Return the content of :data:`STATE` for an environment that has variables."""
    return json.dumps({"env_vars": dict(sorted(variables.items())), "version": 1}).encode()


def record_path(record: PackageRecord) -> str:
    """Return where the record of a package is, relative to the prefix."""
    return f"conda-meta/{dist_name(record)}.json"


def prefix_record(
    record: PackageRecord,
    info: PackageInfo,
    installed: Sequence[InstalledPath],
    source: str | None = None,
) -> bytes:
    """Return the record of a package, the same bytes from the same arguments.

    What the channel's index says counts, since it may have been corrected after the package was
    made, also by leaving something out. Where no index has been asked it is what the package's own
    ``info/index.json`` says.

    Args:
        record: What the lock says of it.
        info: What it says itself.
        installed: All that it has put into the prefix.
        source: The unpacked package that it was linked from; ``None``: where conda has it that is
            installed in the prefix of images.
    """
    source = f"{PREFIX}/pkgs/{dist_name(record)}" if source is None else source
    paths = sorted(installed, key=lambda path: path.path)
    content: dict[str, Any] = {
        **(_listed(record, info) if record.listed else _of_package(record, info)),
        "build_number": record.build_number,
        "channel": record.channel_url,
        "subdir": record.subdir,
        "url": record.url,
        "fn": record.file_name,
        "md5": record.md5,
        "sha256": record.sha256,
        "size": record.size_bytes,
        "files": [path.path for path in paths if path.type != "directory"],
        "paths_data": {"paths_version": 1, "paths": [path.as_json() for path in paths]},
        "link": {"source": source, "type": _LINK_TYPE_COPY},
        "requested_spec": "",
    }
    # Not indented: with 20,000 paths that takes a second, since only Python code can do it.
    return canonical_json(content).encode() + b"\n"


def _listed(record: PackageRecord, info: PackageInfo) -> dict[str, Any]:
    """Return what the index says, and what only the package can say."""
    decided = {
        "depends": list(record.depends),
        "noarch": record.noarch,
        "python_site_packages_path": record.python_site_packages_path,
        "timestamp": record.timestamp_ms,
    }
    own = {k: v for k, v in info.index.items() if k not in LISTED and k not in decided}
    said = {key: value for key, value in decided.items() if value is not None}
    return {**own, **record.said, **said}


def _of_package(record: PackageRecord, info: PackageInfo) -> dict[str, Any]:
    depends = list(record.depends) or info.index.get("depends", [])
    return {**info.index, "depends": depends}
