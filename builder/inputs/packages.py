"""Exact packages that a file lists, and what the channels say of them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from builder.errors import InputError
from builder.inputs.allowed import PackageLocation
from builder.lock import Lock
from builder.platforms import Subdir
from builder.records import PackageRecord, WheelRecord
from builder.spec import Channel, VirtualPackage


@dataclass(frozen=True, slots=True)
class ListedPackage:
    """One package of a file that somebody else wrote."""

    place: PackageLocation
    #: 64 hex digits, if the file says.
    sha256: str | None = None
    #: 32 hex digits, if the file says.
    md5: str | None = None
    #: What the file says of it, if that is enough for a lock; one of its checksums may be empty.
    record: PackageRecord | None = None
    #: Where it stands in the file.
    field: str | None = None
    line: int | None = None

    def complete(self, known: PackageRecord | None) -> PackageRecord:
        """Return the exact package; one of its checksums may be empty if ``known`` is ``None``.

        Args:
            known: What its channel lists there; ``None`` if it lists nothing any more.

        Raises:
            InputError: The channel has other bytes than the file says; or has nothing, and the
                file does not say enough.
        """
        channel = self.place.channel
        lister = f"channel '{channel.name}'" if channel else "the channel"
        if known is None:
            if self.place.elsewhere:
                nobody = f"{lister} does not list" if channel else "no channel of this server lists"
                raise self._error(f"{nobody} it at {self.place.elsewhere[:200]!r}")
            if self.record is None:
                raise self._error(
                    f"{lister} does not list it, and the file does not give what it needs and a"
                    " checksum"
                )
            return self.record
        for kind, here, there in (
            ("sha256", self.sha256, known.sha256),
            ("md5", self.md5, known.md5),
        ):
            if here is not None and here != there:
                raise self._error(f"its {kind} is {here} in the file and {there} in {lister}")
        return known

    def _error(self, reason: str) -> InputError:
        name = self.place.path.rpartition("/")[2]
        return InputError(f"{name} cannot be used: {reason}", self.field, self.line)


@dataclass(frozen=True, slots=True)
class PackageList:
    """What a lock file of another tool holds; a lock once the channels have completed it."""

    #: Of each platform, in the order of the file.
    platforms: Mapping[Subdir, tuple[ListedPackage, ...]]
    #: The channels that packages come from, in the administrator's order.
    channels: tuple[Channel, ...]
    #: The administrator's.
    virtual_packages: tuple[VirtualPackage, ...]
    #: The reference of the base image; ``None`` for an image of packages alone.
    base: str | None
    wheels: Mapping[Subdir, tuple[WheelRecord, ...]] = dataclasses.field(default_factory=dict)

    #: The lock that the file is, where packages of it, which are the ones above, must be listed by
    #: their channels to be fetched.
    exact: Lock | None = None

    def places(self, platform: Subdir, channel: Channel) -> tuple[str, ...]:
        """Return what to look up in ``channel`` of the packages of ``platform``."""
        listed = self.platforms[platform]
        return tuple(p.place.listed for p in listed if p.place.channel in {channel, None})
