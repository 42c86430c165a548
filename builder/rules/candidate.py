"""A package as rules look at it, wherever it is known from: an index, a lock, a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from packaging.utils import canonicalize_name

from builder.lock import WheelFacts
from builder.records import PackageRecord, WheelRecord, split_match_spec
from builder.rules.model import Manager

#: Instead of the moment of publication of a wheel whose index was asked and does not say.
UNDATED: Final = -1
#: Instead of the licence of a wheel that was looked into and does not say; the word is SPDX's.
NO_LICENCE: Final = "NOASSERTION"

_PYPI: Final = "pkg:pypi/"
#: What needs one of these is a module of Python, as far as an index tells.
_PYTHON: Final = frozenset({"python", "python_abi"})


class Judged(Protocol):
    """What :class:`builder.rules.judging.Judge` reads of a package, and only when it has to."""

    @property
    def manager(self) -> Manager:
        """Who installs it."""
        ...

    @property
    def name(self) -> str:
        """Its name, normalized."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...

    @property
    def build(self) -> str:
        """Its build string; ``""`` of a wheel."""
        ...

    @property
    def channel(self) -> str:
        """The name of its channel; ``""`` of a wheel."""
        ...

    @property
    def licence(self) -> str:
        """What is said of its licence; ``""``: nothing."""
        ...

    @property
    def published_ms(self) -> int | None:
        """When it was published, in milliseconds since 1970, if that is known."""
        ...

    @property
    def project(self) -> str:
        """The project of PyPI that it is made from, normalized; ``""``: none that is known."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """One exact package."""

    manager: Manager
    #: Normalized: of PyPI as PEP 503 says.
    name: str
    version: str
    build: str = ""
    #: The name of its channel, or its address where the channel is none of this server's; ``""``
    #: of a wheel.
    channel: str = ""
    #: As the index says it; ``""``: nothing is said, of a wheel: nobody has looked.
    licence: str = ""
    #: When it was published, in milliseconds since 1970; ``None``: the index does not say, of a
    #: wheel: nobody has asked, see :data:`UNDATED`.
    published_ms: int | None = None
    #: The project of PyPI that it is made from, normalized; ``""``: none.
    project: str = ""
    #: 0: nobody says.
    size_bytes: int = 0

    @classmethod
    def of_package(cls, record: PackageRecord, channels: Mapping[str, str]) -> "Candidate":
        """Return a package of conda.

        Args:
            record: The package.
            channels: Names of channels by their addresses, without credentials.
        """
        said = record.said
        licence = said.get("license")
        return cls(
            manager="conda",
            name=record.name,
            version=record.version,
            build=record.build,
            channel=channels.get(record.channel_url, record.channel_url),
            licence=licence if isinstance(licence, str) else "",
            published_ms=record.timestamp_ms,
            project=project_of(record.name, record.depends, said.get("purls")),
            size_bytes=record.size_bytes,
        )

    @classmethod
    def of_wheel(cls, record: WheelRecord, facts: WheelFacts | None = None) -> "Candidate":
        """Return a wheel, with what its index says of it."""
        facts = facts or WheelFacts()
        return cls(
            manager="pypi",
            name=record.name,
            version=record.version,
            licence=facts.licence,
            published_ms=facts.published_ms,
            project=record.name,
            size_bytes=record.size_bytes,
        )


def project_of(name: str, depends: tuple[str, ...] | list[str], purls: object) -> str:
    """Return the project of PyPI that a package of conda is made from; ``""``: none.

    It is what the index says (CEP 63's ``purls``), and where it says nothing, what has the same
    name, if the package needs Python.

    >>> project_of("pytorch", ["python"], ["pkg:pypi/torch@2.5.1"])
    'torch'
    >>> project_of("ruamel.yaml", ["python >=3.9"], None)
    'ruamel-yaml'
    >>> project_of("zlib", ["libgcc"], None)
    ''
    """
    if isinstance(purls, list | tuple) and purls:
        for purl in purls:
            if isinstance(purl, str) and purl.startswith(_PYPI):
                project = purl.removeprefix(_PYPI).partition("@")[0].partition("?")[0]
                return canonicalize_name(project)
        return ""
    for spec in depends:
        split = split_match_spec(spec)
        if split and split[0] in _PYTHON:
            return canonicalize_name(name)
    return ""
