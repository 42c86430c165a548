"""What a lock says, in canonical form, and the key that stands for it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, NewType, TypeVar

from builder.errors import LockError
from builder.lock.told import Told, WheelFacts
from builder.platforms import Subdir
from builder.records import BaseReference, PackageRecord, WheelRecord, without_credentials
from builder.spec import Channel, VirtualPackage

Record = TypeVar("Record", PackageRecord, WheelRecord)

#: 32 hex digits that stand for a :class:`Lock`.
BuildKey = NewType("BuildKey", str)

#: Raised whenever the same packages and base would give another image; part of every key.
LOCK_FORMAT: Final = 2
_RECORD_FIELDS: Final = tuple(each.name for each in fields(PackageRecord))


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
    #: For platforms with noarch Python packages or wheels: the exact version of the Python that
    #: compiles them.
    bytecode: Mapping[Subdir, str] = field(default_factory=dict)
    #: The wheels of each platform that has any, sorted by name; no name twice.
    wheels: Mapping[Subdir, tuple[WheelRecord, ...]] = field(default_factory=dict)
    #: Variables of the image's environment, sorted by name.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: Who runs in a container, e.g. ``"1000:1000"``; ``""`` for whoever the base says.
    user: str = ""
    #: Platforms that were wanted and for which nothing fits, with the sentence that says why.
    #: Not part of the key, as the image is the same; so it is told to whoever asked for this solve,
    #: and neither written into files nor read from them.
    left_out: Mapping[Subdir, str] = field(default_factory=dict, compare=False)
    #: What policies did; told in the same way.
    told: Told = field(default=Told(), compare=False)
    #: What the index says of its wheels, by their sha256, as far as somebody has asked; not part of
    #: the key either.
    wheel_facts: Mapping[str, WheelFacts] = field(default_factory=dict, compare=False)
    #: What channels say of its packages, by their addresses, where somebody has sent it: what rules
    #: judge in place of what the lock itself says; not part of the key either.
    indexed: Mapping[str, PackageRecord] = field(default_factory=dict, compare=False)
    #: The sha256 of all the above and :data:`LOCK_FORMAT`, cut to 32 hex digits.
    key: BuildKey = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Bring the lock into canonical form.

        Raises:
            LockError: A platform has two packages or two wheels of one name.
        """
        channels = tuple(Channel(c.name, without_credentials(c.url)) for c in self.channels)
        platforms = {
            subdir: _canonical(subdir, self.platforms[subdir]) for subdir in sorted(self.platforms)
        }
        virtual_packages = tuple(
            sorted(self.virtual_packages, key=lambda v: (v.name, v.version, v.platform or ""))
        )
        bytecode = {subdir: self.bytecode[subdir] for subdir in sorted(self.bytecode)}
        wheels = {
            subdir: _canonical_wheels(subdir, self.wheels[subdir])
            for subdir in sorted(self.wheels)
            if self.wheels[subdir]
        }
        object.__setattr__(self, "wheels", wheels)
        object.__setattr__(self, "variables", dict(sorted(self.variables.items())))
        object.__setattr__(self, "left_out", dict(sorted(self.left_out.items())))
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "platforms", platforms)
        object.__setattr__(self, "virtual_packages", virtual_packages)
        object.__setattr__(self, "bytecode", bytecode)
        object.__setattr__(self, "key", self._key())

    def archive_bytes(self, platform: Subdir) -> int:
        """Return how much the archives of a platform take together, as far as it is known."""
        packages = sum(record.size_bytes for record in self.platforms[platform])
        return packages + sum(wheel.size_bytes for wheel in self.wheels.get(platform, ()))

    def _key(self) -> BuildKey:
        content: dict[str, Any] = {
            "format": LOCK_FORMAT,
            "platforms": {
                subdir: [_content(record) for record in records]
                for subdir, records in self.platforms.items()
            },
            "channels": [[channel.name, channel.url] for channel in self.channels],
            "virtual_packages": [v.written for v in self.virtual_packages],
            "base": [self.base.name, self.base.digest] if self.base else None,
            "bytecode": self.bytecode,
        }
        # Said only where there are any: locks from before these came have kept their keys.
        if self.wheels:
            content["wheels"] = {
                subdir: [asdict(wheel) for wheel in wheels]
                for subdir, wheels in self.wheels.items()
            }
        if self.variables:
            content["variables"] = self.variables
        if self.user:
            content["user"] = self.user
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return BuildKey(hashlib.sha256(text.encode()).hexdigest()[:32])


def _content(record: PackageRecord) -> dict[str, Any]:
    # Its values are plain, so that none need be copied as asdict() does.
    content = {name: getattr(record, name) for name in _RECORD_FIELDS}
    # Said only where there is any, for the same reason.
    if not record.listed:
        del content["listed"]
    # Said only where there is one, for the same reason.
    if not record.channel:
        del content["channel"]
    return content


def _canonical(subdir: Subdir, records: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
    return _by_name(subdir, "package", [_canonical_record(record) for record in records])


def _canonical_record(record: PackageRecord) -> PackageRecord:
    url = without_credentials(record.url)
    # Some indexes list an empty one.
    depends = tuple(sorted({spec for spec in record.depends if spec.strip()}))
    # Nearly all are what they should be, and a copy takes longer than all of this.
    if (url, depends) == (record.url, record.depends):
        return record
    return replace(record, url=url, depends=depends)


def _canonical_wheels(subdir: Subdir, wheels: Iterable[WheelRecord]) -> tuple[WheelRecord, ...]:
    return _by_name(
        subdir,
        "wheel",
        [
            replace(
                wheel,
                url=without_credentials(wheel.url),
                requires=tuple(sorted(set(wheel.requires))),
            )
            for wheel in wheels
        ],
    )


def _by_name(subdir: Subdir, kind: str, records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records sorted by name.

    Raises:
        LockError: Two have the same.
    """
    found: dict[str, Record] = {}
    for record in records:
        if record.name in found:
            raise LockError(f"{kind} '{record.name}' is locked twice for {subdir}")
        found[record.name] = record
    return tuple(found[name] for name in sorted(found))
