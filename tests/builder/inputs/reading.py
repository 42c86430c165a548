"""Reading what is sent to a server with two channels and two platforms."""

from typing import Any

import pytest

from builder.errors import InputError
from builder.image_name import EnvironmentPolicy
from builder.inputs import PackageList, read_request
from builder.lock import Lock
from builder.spec import Channel, EnvironmentSpec

FORGE = Channel("conda-forge", "https://conda.anaconda.org/conda-forge")
BIO = Channel("bioconda", "https://conda.anaconda.org/bioconda")
DEFAULTS = EnvironmentPolicy(
    (FORGE, BIO),
    default_channels=("conda-forge",),
    platforms=("linux-64", "linux-aarch64"),
    base="docker.io/library/debian:bookworm-slim",
    pypi=True,
    wheel_hosts=("files.pythonhosted.org",),
    bases=("ghcr.io/acme/*", "docker.io/library/debian:*"),
)
MAX_BYTES = 4 * 1024 * 1024


def read(
    data: str | bytes, defaults: EnvironmentPolicy = DEFAULTS, **more: Any
) -> EnvironmentSpec | Lock | PackageList:
    """Return what the text means there."""
    encoded = data.encode() if isinstance(data, str) else data
    return read_request(encoded, defaults, max_bytes=MAX_BYTES, **more)


def spec(data: str, defaults: EnvironmentPolicy = DEFAULTS, **more: Any) -> EnvironmentSpec:
    """Return what a file that wants packages means there."""
    wanted = read(data, defaults, **more)
    assert isinstance(wanted, EnvironmentSpec)
    return wanted


def packages(data: str | bytes, defaults: EnvironmentPolicy = DEFAULTS) -> PackageList:
    """Return what a file of another tool lists."""
    listed = read(data, defaults)
    assert isinstance(listed, PackageList)
    return listed


def refused(data: str | bytes, defaults: EnvironmentPolicy = DEFAULTS, **more: Any) -> InputError:
    """Return the error that the text is refused with."""
    with pytest.raises(InputError) as caught:
        read(data, defaults, **more)
    assert len(caught.value.message) < 600
    return caught.value
