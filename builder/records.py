"""Packages as a lock knows them."""

import heapq
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote

from builder.oci.digest import Digest

NoarchKind = Literal["python", "generic"]

#: What :attr:`PackageRecord.listed` may hold: fields of an index that no decision depends on.
LISTED: Final = (
    "arch",
    "constrains",
    "extra_depends",
    "features",
    "flags",
    "legacy_bz2_md5",
    "legacy_bz2_size",
    "license",
    "license_family",
    "platform",
    "purls",
    "track_features",
)
_SPEC: Final = re.compile(r"\s*(?:[^\s\[]*:)?([^\s\[\]<>=!~,;:|*()]+)\s*(.*)", re.DOTALL)


def split_match_spec(spec: str) -> tuple[str, str] | None:
    """Return the name in a match spec as an index has it, in lower case, and what follows it.

    The channel is left out; ``None`` if there is no name. It is what rattler's parser finds,
    which takes time and is not needed for names.

    >>> split_match_spec("numpy>=1.2")
    ('numpy', '>=1.2')
    >>> split_match_spec("conda-forge::python_abi 3.12.* *_cp312")
    ('python_abi', '3.12.* *_cp312')
    """
    match = _SPEC.match(spec)
    return (match[1].lower(), match[2]) if match else None


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """One exact archive of a channel; an equal ``sha256`` means equal bytes, wherever it lies."""

    name: str
    version: str
    #: The build string, for example ``"py311h64a7726_0"``.
    build: str
    build_number: int
    #: The directory of the channel it lies in: a platform's, or ``"noarch"``.
    subdir: str
    #: Where the archive is; ends in ``.conda`` or ``.tar.bz2``; never holds credentials.
    url: str
    #: 64 hex digits.
    sha256: str
    #: 32 hex digits; conda-lock requires it.
    md5: str
    size_bytes: int
    #: Match specs of what it needs, as the channel states them.
    depends: tuple[str, ...] = ()
    noarch: NoarchKind | None = None
    #: Where noarch modules go, for Pythons that say so, e.g. ``"lib/python3.13t/site-packages"``.
    python_site_packages_path: str | None = None
    #: When it was published, in milliseconds since 1970, if the channel says.
    timestamp_ms: int | None = None
    #: What else the channel's index says of it: a JSON object in canonical form with keys of
    #: :data:`LISTED`. Empty when no index has been asked: what the package itself says counts then.
    listed: str = ""
    #: The address of the channel whose index lists it, where it lies elsewhere than in that channel
    #: (``base_url`` of CEP 15); ``""``: it lies in its channel's subdir.
    channel: str = ""

    @property
    def file_name(self) -> str:
        """The archive's file name, for example ``"zlib-1.3-h0_0.conda"``."""
        return self.url.rpartition("/")[2]

    @property
    def channel_url(self) -> str:
        """The channel's address, without the subdir and without a slash at the end."""
        return self.channel or self.url.rsplit("/", 2)[0]

    @property
    def said(self) -> Mapping[str, Any]:
        """What :attr:`listed` holds, as an object."""
        said: dict[str, Any] = json.loads(self.listed) if self.listed else {}
        return said

    @property
    def depends_names(self) -> tuple[str, ...]:
        """The names of what it needs, sorted, without virtual packages."""
        names = {split[0] for spec in self.depends if (split := split_match_spec(spec))}
        return tuple(sorted(name for name in names if not name.startswith("__")))


def canonical_json(value: object) -> str:
    """Return ``value`` as JSON, the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class WheelRecord:
    """One exact wheel of an index; an equal ``sha256`` means equal bytes, wherever it lies."""

    #: Normalized (PEP 503), for example ``"ruamel-yaml"``.
    name: str
    version: str
    #: Where the wheel is; ends in ``.whl``; never holds credentials.
    url: str
    #: 64 hex digits.
    sha256: str
    #: 0 when the index does not say.
    size_bytes: int = 0
    #: What it needs as PEP 508 writes it, without what the target does not need; sorted.
    requires: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The wheel's file name, for example ``"six-1.17.0-py2.py3-none-any.whl"``."""
        return unquote(self.url.rpartition("/")[2])


#: One exact archive, of which a layer is made.
ArchiveRecord = PackageRecord | WheelRecord


def needs_bytecode(record: ArchiveRecord) -> bool:
    """Tell whether it may have modules, which get bytecode of the environment's Python."""
    # A noarch package whose index does not say of which kind it is may have some, until it is read.
    if isinstance(record, WheelRecord):
        return True
    return record.noarch == "python" or (record.noarch is None and record.subdir == "noarch")


@dataclass(frozen=True, slots=True)
class BaseReference:
    """The exact image that an environment's layers are put on."""

    #: Host and repository, e.g. ``"docker.io/library/debian"``; for a layout directory
    #: ``"oci-layout"``, since its path differs between machines.
    name: str
    #: Of the index or manifest that the reference led to.
    digest: Digest


_USER = re.compile(r"(?<=://)[^/@]*@")
_TOKEN = re.compile(r"/t/[^/]+(?=/)")


def without_credentials(url: str) -> str:
    """Return a channel's or package's address without user, password and token.

    >>> without_credentials("https://user:secret@host/t/tk-1-2/main/noarch/a-1-0.conda")
    'https://host/main/noarch/a-1-0.conda'
    """
    return _TOKEN.sub("", _USER.sub("", url), count=1)


def wheel_address(url: str) -> str:
    """Return a wheel's address in the one form that keys know, however its version is escaped.

    It is that which every server takes: to some, ``+`` is a blank.

    >>> wheel_address("https://host/torch-2.6.0+cu124-py3-none-any.whl")
    'https://host/torch-2.6.0%2Bcu124-py3-none-any.whl'
    """
    host, _, path = url.partition("://")[2].partition("/")
    path = re.sub(r"%2[bB]|\+", "%2B", path).replace("%21", "!")
    return f"{url.partition('://')[0]}://{host}/{path}"


def link_order(records: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
    """Return packages of different names so that what one needs comes before it; ties by name.

    Python comes before packages that it needs if they need it too (pip), since they cannot be
    installed without it. In other circles the one that waits for fewest others goes first.
    """
    by_name = {record.name: record for record in records}
    waits_for = {
        name: {need for need in record.depends_names if need in by_name} - {name}
        for name, record in by_name.items()
    }
    if "python" in waits_for:
        circle = {need for need in waits_for["python"] if "python" in waits_for[need]}
        waits_for["python"] -= circle
    waited_for: dict[str, list[str]] = {name: [] for name in by_name}
    for name, needs in waits_for.items():
        for need in needs:
            waited_for[need].append(name)
    ready = sorted(name for name, needs in waits_for.items() if not needs)
    order: list[PackageRecord] = []
    while waits_for:
        if not ready:
            ready.append(min(waits_for, key=lambda name: (len(waits_for[name]), name)))
        name = heapq.heappop(ready)
        del waits_for[name]
        order.append(by_name[name])
        for waiting in waited_for[name]:
            if waits_for.get(waiting):
                waits_for[waiting].discard(name)
                if not waits_for[waiting]:
                    heapq.heappush(ready, waiting)
    return tuple(order)
