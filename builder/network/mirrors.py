"""Where channels are fetched from, which may be elsewhere than where they are said to be.

Whatever is kept, shown or decided by (locks and their keys, SBOMs, records of prefixes, policies)
names a channel by its *identity*, such as ``https://conda.anaconda.org/conda-forge``. What asks
servers turns that into the address of the mirror at the last moment, and back in what an index says
of itself: :mod:`builder.solve` and :mod:`builder.fetch.packages`, and nothing else. So what is made
does not change with the mirror, and processes with different mirrors make the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from builder.spec import Channel


@dataclass(frozen=True, slots=True)
class MirroredChannel(Channel):
    """A channel as it is fetched: its address is that of the mirror."""

    #: The address that everything else knows.
    identity: str = ""

    @property
    def told(self) -> str:
        """As errors name it."""
        return f"'{self.name}' (from {self.url})"


@dataclass(frozen=True, slots=True)
class Mirrors:
    """The addresses of all channels that are offered: identity, and where it is fetched from.

    The two are the same for a channel without a mirror, which has to be among them where it lies
    below one that has.

    >>> forge = "https://conda.anaconda.org/conda-forge"
    >>> mirrors = Mirrors(((forge, "https://mirror.example.org/forge"),))
    >>> mirrors.fetched(f"{forge}/noarch/tzdata-2025b-h78e105d_0.conda")
    'https://mirror.example.org/forge/noarch/tzdata-2025b-h78e105d_0.conda'
    >>> mirrors.channel(Channel("conda-forge", forge)).told
    "'conda-forge' (from https://mirror.example.org/forge)"
    """

    addresses: tuple[tuple[str, str], ...] = ()

    def address(self, identity: str) -> str:
        """Return where a channel is fetched from."""
        return next((at for known, at in self.addresses if known == identity), identity)

    def channel(self, channel: Channel) -> Channel:
        """Return a channel as it is fetched."""
        at = self.address(channel.url)
        if at == channel.url:
            return channel
        return MirroredChannel(channel.name, at, channel.url)

    def fetched(self, url: str) -> str:
        """Return where an archive is fetched from that is locked with an address."""
        return moved(url, self.addresses)

    def told(self, identity: str, url: str) -> str:
        """Return the channel that an archive at ``url`` is of, and where that is fetched from."""
        if self.fetched(url) == url:
            return identity
        return f"{identity} (from {self.address(identity)})"


def identity_of(channel: Channel) -> str:
    """Return the address that locks have of a channel, as it is fetched or not."""
    return channel.identity if isinstance(channel, MirroredChannel) else channel.url


def moved(url: str, addresses: Iterable[tuple[str, str]]) -> str:
    """Return an address with its beginning replaced by the longest pair that fits, or the first.

    One channel may lie below another, as labels of anaconda.org do.
    """
    fitting = [pair for pair in addresses if url == pair[0] or url.startswith(f"{pair[0]}/")]
    if not fitting:
        return url
    before, after = max(fitting, key=lambda pair: len(pair[0]))
    return after + url[len(before) :]


#: Every channel is fetched from where it is said to be.
NO_MIRRORS: Final = Mirrors()
