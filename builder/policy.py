"""What the administrator offers, and what a name means where it says nothing."""

from dataclasses import dataclass
from typing import Final

from builder.errors import ChannelNotAllowed
from builder.network.mirrors import NO_MIRRORS, Mirrors
from builder.platforms import Subdir
from builder.spec import Channel, Requirement, VirtualPackage

#: What Debian 12, the default base, offers; the kernel is the oldest one still supported, and the
#: processor the least that each platform has: an image must run wherever it is pulled.
DEFAULT_VIRTUAL_PACKAGES: Final = (
    VirtualPackage("__archspec", "1", "aarch64", "linux-aarch64"),
    VirtualPackage("__archspec", "1", "x86_64", "linux-64"),
    VirtualPackage("__glibc", "2.36"),
    VirtualPackage("__linux", "5.10"),
    VirtualPackage("__unix", "0"),
)


@dataclass(frozen=True, slots=True)
class EnvironmentPolicy:
    """The part of a spec that the name does not say.

    A channel can be named in an image name only if its own name is made of lower-case letters,
    digits and single ``-`` or ``_`` between them.
    """

    #: Every channel that may be named, in order of priority.
    channels: tuple[Channel, ...]
    #: Names of the channels that packages come from unless the name says otherwise, in order of
    #: priority; empty for all of them.
    default_channels: tuple[str, ...] = ()
    platforms: tuple[Subdir, ...] = ("linux-64",)
    virtual_packages: tuple[VirtualPackage, ...] = DEFAULT_VIRTUAL_PACKAGES
    #: The reference of the base image; ``None`` for none.
    base: str | None = None
    #: What may be asked for instead: patterns of references such as ``"ghcr.io/acme/*"``.
    bases: tuple[str, ...] = ()
    #: The hosts that wheels may come from, with the port where there is one.
    wheel_hosts: tuple[str, ...] = ()
    #: Wanted in every image, besides what its name says.
    builtin: tuple[Requirement, ...] = ()
    #: Who runs in a container unless the name says otherwise; ``""`` for whoever the base says.
    user: str = ""
    #: Whether projects of PyPI may be asked for.
    pypi: bool = False
    #: Where channels are fetched from: a file may name a channel by its mirror, too.
    mirrors: Mirrors = NO_MIRRORS

    def channel(self, name: str) -> Channel:
        """Return the channel of that name.

        Raises:
            ChannelNotAllowed: The administrator does not offer it.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        raise ChannelNotAllowed(name, [channel.name for channel in self.channels])

    def needed(self, pinned: frozenset[str]) -> tuple[Channel, ...]:
        """Return the default channels and then ``pinned`` ones, each once, by priority.

        Raises:
            ChannelNotAllowed: The administrator does not offer one of them.
        """
        names = list(self.default_channels or (channel.name for channel in self.channels))
        names += [c.name for c in self.channels if c.name in pinned and c.name not in names]
        return tuple(self.channel(name) for name in dict.fromkeys(names))
