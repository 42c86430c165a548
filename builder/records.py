"""Packages as a lock knows them."""

import re
from dataclasses import dataclass
from typing import Literal

from builder.oci.digest import Digest

NoarchKind = Literal["python", "generic"]


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """One exact package archive of a channel.

    Two records with the same ``sha256`` are the same bytes wherever they come from.
    """

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

    @property
    def file_name(self) -> str:
        """The archive's file name, for example ``"zlib-1.3-h0_0.conda"``."""
        return self.url.rpartition("/")[2]

    @property
    def channel_url(self) -> str:
        """The channel's address, without the subdir and without a slash at the end."""
        return self.url.rsplit("/", 2)[0]

    @property
    def depends_names(self) -> tuple[str, ...]:
        """The names of what it needs, sorted, without virtual packages."""
        names = {spec.split()[0].rpartition("::")[2] for spec in self.depends}
        return tuple(sorted(name for name in names if not name.startswith("__")))


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
