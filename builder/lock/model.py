"""What a lock says, in canonical form, and the key that stands for it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final, NewType

from builder.errors import LockError
from builder.platforms import Subdir
from builder.records import BaseReference, PackageRecord, without_credentials
from builder.spec import Channel, VirtualPackage

#: 32 hex digits that stand for a :class:`Lock`.
BuildKey = NewType("BuildKey", str)

#: Raised whenever the same packages and base would give another image; part of every key.
LOCK_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that decides the bytes of an image.

    It is canonical however it was made: platforms, packages, their dependencies and virtual
    packages are sorted by name, and addresses hold no credentials. Who asked for it and when is
    not part of it.
    """

    #: The packages of each platform, sorted by name; no name twice.
    platforms: Mapping[Subdir, tuple[PackageRecord, ...]]
    #: In order of priority.
    channels: tuple[Channel, ...]
    #: Sorted by name.
    virtual_packages: tuple[VirtualPackage, ...]
    #: ``None`` for an image of packages alone.
    base: BaseReference | None = None
    #: For platforms with noarch Python packages: the exact version of the Python that compiles
    #: them.
    bytecode: Mapping[Subdir, str] = field(default_factory=dict)
    #: The sha256 of all the above and :data:`LOCK_FORMAT`, cut to 32 hex digits.
    key: BuildKey = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Bring the lock into canonical form.

        Raises:
            LockError: A platform has two packages of one name.
        """
        channels = tuple(Channel(c.name, without_credentials(c.url)) for c in self.channels)
        platforms = {
            subdir: _canonical(subdir, self.platforms[subdir]) for subdir in sorted(self.platforms)
        }
        virtual_packages = tuple(sorted(self.virtual_packages, key=lambda v: (v.name, v.version)))
        bytecode = {subdir: self.bytecode[subdir] for subdir in sorted(self.bytecode)}
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "platforms", platforms)
        object.__setattr__(self, "virtual_packages", virtual_packages)
        object.__setattr__(self, "bytecode", bytecode)
        object.__setattr__(self, "key", self._key())

    def _key(self) -> BuildKey:
        content = {
            "format": LOCK_FORMAT,
            "platforms": {
                subdir: [asdict(record) for record in records]
                for subdir, records in self.platforms.items()
            },
            "channels": [[channel.name, channel.url] for channel in self.channels],
            "virtual_packages": [[v.name, v.version, v.build] for v in self.virtual_packages],
            "base": [self.base.name, self.base.digest] if self.base else None,
            "bytecode": self.bytecode,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return BuildKey(hashlib.sha256(text.encode()).hexdigest()[:32])


def _canonical(subdir: Subdir, records: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
    by_name: dict[str, PackageRecord] = {}
    for record in records:
        if record.name in by_name:
            raise LockError(f"package '{record.name}' is locked twice for {subdir}")
        by_name[record.name] = replace(
            record,
            url=without_credentials(record.url),
            depends=tuple(sorted(set(record.depends))),
        )
    return tuple(by_name[name] for name in sorted(by_name))
