"""What a layer is made of, and what is remembered of it."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Final, Literal, NewType

from builder.oci.digest import Digest
from builder.records import ArchiveRecord, WheelRecord, canonical_json

#: 64 hex digits that stand for a :class:`LayerPlan`.
LayerKey = NewType("LayerKey", str)

#: How a layer's tar is compressed.
Encoding = Literal["zstd", "gzip"]

#: The prefix every environment is installed into, inside the image.
PREFIX: Final = "/opt/conda"

#: Raised whenever the same packages would give other bytes; old layers are then made anew.
LAYER_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """The Python that noarch packages and wheels of a layer are installed and compiled for."""

    #: Of the Python that compiles, exact, for example ``"3.11.7"``; it shares major and minor
    #: with the one of the environment.
    version: str
    #: Relative to the prefix, for example ``"lib/python3.11/site-packages"``.
    site_packages: str

    @property
    def short(self) -> str:
        """Major and minor, for example ``"3.11"``."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True)
class LayerPackage:
    """One package or wheel of a layer, with what the others of the image change in it."""

    record: ArchiveRecord
    #: Installed paths (relative to the prefix, sorted) that a package linked later has too:
    #: left out here.
    omit: tuple[str, ...] = ()
    #: Installed directories (relative to the prefix, sorted) that another package of the image has
    #: as a symlink, with the directory it leads to: entries below the first go below the second.
    redirects: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A layer that is to be made: a pure function of its packages."""

    #: In the order in which they are linked; wheels and conda packages are never in one layer.
    packages: tuple[LayerPackage, ...]
    #: Set when the layer has wheels or a ``noarch: python`` package, else ``None``, so that layers
    #: without these are shared between Pythons.
    python: PythonTarget | None = None

    @property
    def key(self) -> LayerKey:
        """The sha256 of everything that decides the bytes of the layer's tar."""
        content = {
            "format": LAYER_FORMAT,
            "prefix": PREFIX,
            "python": asdict(self.python) if self.python else None,
            "packages": [[*_identity(p.record), p.omit, p.redirects] for p in self.packages],
        }
        return LayerKey(hashlib.sha256(canonical_json(content).encode()).hexdigest())


def _identity(record: ArchiveRecord) -> list[object]:
    """Return what a record puts into a layer: all that goes into ``conda-meta``."""
    # A channel may correct some of it, and a lock file that somebody sent may say anything.
    if isinstance(record, WheelRecord):
        return [record.sha256]
    return [
        record.sha256,
        record.md5,
        record.url,
        record.channel_url,
        record.size_bytes,
        record.subdir,
        record.build_number,
        record.depends,
        [record.listed, record.timestamp_ms, record.noarch, record.python_site_packages_path]
        if record.listed
        else None,
    ]


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """A layer in one encoding, as its descriptor has it."""

    encoding: Encoding
    digest: Digest
    size_bytes: int
    #: The digest of the tar before compression: the same in every encoding.
    diff_id: Digest
    #: The size of the tar before compression.
    tar_size_bytes: int
