"""Which forms of a lock there are."""

from dataclasses import dataclass
from typing import Final, Literal

from builder.errors import LockError
from builder.install.prefix.installation import FORMAT as INSTALLATION_FORMAT
from builder.layer import LAYER_FORMAT
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.platforms import Subdir

ExportFormat = Literal[
    "lock",
    "explicit",
    "environment.yml",
    "pixi.lock",
    "archive.tar.gz",
    "archive.tar.zst",
    "image.tar",
    "sbom.spdx.json",
    "sbom.cdx.json",
    "provenance",
    "installation.json",
    "bytecode.tar.zst",
]

#: Whether a form is of the whole lock, of one of its platforms, or of either.
Scope = Literal["all", "one", "either"]

SPDX_TYPE: Final = "application/spdx+json"
CYCLONEDX_TYPE: Final = "application/vnd.cyclonedx+json"
IN_TOTO_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """What all files of one form have in common."""

    media_type: str
    #: What a user's file is called; ``{platform}`` and ``{key}`` stand for the lock's.
    file_name: str
    scope: Scope
    #: Raised whenever the same lock would give other bytes.
    format: int = 1


EXPORTS: Final[dict[ExportFormat, FormatSpec]] = {
    "lock": FormatSpec("application/yaml", "conda-lock.yml", "all", format=2),
    "explicit": FormatSpec("text/plain; charset=utf-8", "explicit-{platform}.txt", "one"),
    "environment.yml": FormatSpec("application/yaml", "environment.yml", "one"),
    "pixi.lock": FormatSpec("application/yaml", "pixi.lock", "all"),
    "archive.tar.gz": FormatSpec("application/gzip", "{key}-{platform}.tar.gz", "one", format=2),
    "archive.tar.zst": FormatSpec("application/zstd", "{key}-{platform}.tar.zst", "one", format=2),
    "image.tar": FormatSpec("application/x-tar", "{key}-{platform}.image.tar", "one"),
    "sbom.spdx.json": FormatSpec(SPDX_TYPE, "{key}-{platform}.spdx.json", "either"),
    "sbom.cdx.json": FormatSpec(CYCLONEDX_TYPE, "{key}-{platform}.cdx.json", "either"),
    "provenance": FormatSpec(IN_TOTO_TYPE, "{key}.intoto.json", "all"),
    "installation.json": FormatSpec(
        "application/json", "{key}-{platform}.installation.json", "one", format=INSTALLATION_FORMAT
    ),
    # It is a part of layers.
    "bytecode.tar.zst": FormatSpec(
        "application/zstd", "{key}-{platform}.bytecode.tar.zst", "one", format=LAYER_FORMAT
    ),
}
#: What archives of packages are: every channel and index calls them something else.
ARCHIVE_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A form of a lock, in the store."""

    #: Where it is in the store.
    key: str
    size_bytes: int
    media_type: str
    #: What a user's file is called, e.g. ``"conda-lock.yml"``.
    file_name: str
    #: Of its bytes; known of archives.
    digest: Digest | None = None


def platform_of(lock: Lock, form: ExportFormat, platform: Subdir | None) -> Subdir | None:
    """Return the platform that a form is made for; ``None`` for the whole lock.

    A form of one platform is that of the lock's first where none is asked for.

    Raises:
        LockError: The lock has no such platform.
    """
    scope = EXPORTS[form].scope
    if platform is not None and platform not in lock.platforms:
        raise LockError(f"the lock has {', '.join(lock.platforms)}, and not {platform}")
    if scope == "all":
        return None
    if scope == "one" and platform is None:
        return next(iter(lock.platforms))
    return platform
