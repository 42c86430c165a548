"""The platforms images are built for, under their conda and OCI names."""

from dataclasses import dataclass
from typing import Final, Literal

#: A conda platform directory that can be the target of an image.
Subdir = Literal["linux-64", "linux-aarch64"]

#: The directory of packages that fit every platform.
NOARCH: Final = "noarch"


@dataclass(frozen=True, slots=True)
class Platform:
    """One target, with the names that conda and OCI have for it."""

    #: Conda's name, for example ``"linux-64"``.
    subdir: Subdir
    #: OCI's ``architecture``, for example ``"amd64"``.
    architecture: str
    #: OCI's ``variant``, for example ``"v8"``, where there is one.
    variant: str | None = None
    #: OCI's ``os``.
    os: str = "linux"


#: Every platform, most common first.
PLATFORMS: Final[dict[Subdir, Platform]] = {
    "linux-64": Platform("linux-64", "amd64"),
    "linux-aarch64": Platform("linux-aarch64", "arm64", "v8"),
}

#: The platform of a machine, by what Linux calls its kind.
OF_MACHINES: Final[dict[str, Subdir]] = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
