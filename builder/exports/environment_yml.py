"""A lock as an ``environment.yml`` of exact packages, for conda, mamba and conda-lock."""

from typing import Any

from builder.lock import Lock
from builder.lock.block_yaml import dump
from builder.platforms import Subdir


def to_environment_yml(lock: Lock, platform: Subdir) -> bytes:
    """Return the packages of ``platform`` as ``name=version=build``, with wheels and variables.

    Channels are given by address, since a name may mean another channel elsewhere. Hashes are left
    out: conda's packages have no field for them, and only conda reads those of pip.
    """
    dependencies: list[Any] = [
        f"{record.name}={record.version}={record.build}" for record in lock.platforms[platform]
    ]
    if wheels := lock.wheels.get(platform):
        dependencies.append({"pip": [f"{wheel.name}=={wheel.version}" for wheel in wheels]})
    content: dict[str, Any] = {
        "name": f"build-{lock.key[:12]}",
        # "nodefaults": or conda would add the channels of its own configuration.
        "channels": [*(channel.url for channel in lock.channels), "nodefaults"],
        "dependencies": dependencies,
    }
    if lock.variables:
        content["variables"] = dict(lock.variables)
    header = f"# Build {lock.key} for {platform}, made by pullforge.\n"
    return header.encode() + dump(content)
