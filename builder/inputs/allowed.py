"""What the administrator offers, as files may ask for it: nothing else is ever fetched."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import unquote, urlsplit

from builder.errors import BuilderError, ChannelNotAllowed
from builder.fetch.base_image import LAYOUT_NAME, LAYOUT_SCHEME, PUSHED_SCHEME, split_pushed
from builder.image_name import EnvironmentPolicy
from builder.oci.digest import is_digest
from builder.oci.reference import parse_reference
from builder.platforms import PLATFORMS, Subdir
from builder.records import BaseReference, PackageRecord, wheel_address, without_credentials
from builder.spec import Channel

#: Where a package lies in its channel: subdir and file name.
_PLACE = re.compile(r"[a-z0-9-]+/[a-z0-9_][A-Za-z0-9_.!+~-]*-[^-/]+-[^-/]+(?:\.conda|\.tar\.bz2)")
_CHARACTERS = re.compile(r"[A-Za-z0-9_.!+~/-]+")
_WHEEL_PATH = re.compile(r"(?:/[A-Za-z0-9_.!+~%-]+)+\.whl")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
#: What a name means to conda that is no address.
_ALIAS: Final = "https://conda.anaconda.org"
#: What else conda knows by a name: channels of Anaconda, which are elsewhere.
_NAMED: Final = {
    name: f"https://repo.anaconda.com/{name}" for name in ("pkgs/main", "pkgs/r", "pkgs/msys2")
}
#: What is wrong with the address of a mirror in a lock that has a key.
_OF_MIRROR: Final = "the mirror of {}, by which locks name it: lock again"
#: Words for no base image.
_BARE: Final = "none"


@dataclass(frozen=True, slots=True)
class PackageLocation:
    """Where an archive lies."""

    #: ``None``: whichever lists it.
    channel: Channel | None
    #: Directory and file name, e.g. ``"linux-64/zlib-1.3-h0_0.conda"``.
    path: str
    #: The address, where it lies elsewhere than in a channel (``base_url`` of CEP 15): it is taken
    #: if the index of the channel says so, and then alone.
    elsewhere: str = ""

    @property
    def url(self) -> str:
        """The address, without credentials."""
        if self.elsewhere or self.channel is None:
            return self.elsewhere
        return f"{without_credentials(self.channel.url)}/{self.path}"

    @property
    def listed(self) -> str:
        """What it is looked up by in the channel: path or address."""
        return self.elsewhere or self.path


@dataclass(frozen=True, slots=True)
class AllowedSources:
    """Answers what of the settings a file may use; each refusal is a sentence."""

    defaults: EnvironmentPolicy

    def channel(self, text: str) -> Channel:
        """Return the channel that a name or address stands for.

        The administrator's names come first, then addresses, then what conda means by a name, and
        the addresses of mirrors.

        Raises:
            ChannelNotAllowed: The administrator does not offer it.
        """
        for channel in self.defaults.channels:
            if text == channel.name or text.rstrip("/") in _addresses(channel):
                return channel
        address = text.rstrip("/")
        meant = address if "://" in text else _NAMED.get(text, f"{_ALIAS}/{address}")
        for channel in self.defaults.channels:
            if meant == channel.url or address == self._mirror(channel):
                return channel
        raise self._not_offered(text)

    def locked_channel(self, url: str) -> Channel:
        """Return the channel that a lock of a pullforge names, by the address that locks have.

        Raises:
            ChannelNotAllowed: The administrator does not offer it.
            ValueError: It is the address of a mirror.
        """
        for channel in self.defaults.channels:
            if url in _addresses(channel):
                return channel
        for channel in self.defaults.channels:
            if url == self._mirror(channel):
                raise ValueError(f"{url[:200]!r} is {_OF_MIRROR.format(channel.url)}")
        raise self._not_offered(url)

    def package(self, url: str, said: str | None = None) -> PackageLocation:
        """Return where a package's address leads: below an offered channel, or elsewhere.

        The address must begin as the channel's does, character by character: host, port and
        path cannot be written in another way. Elsewhere are the hosts of channels, and any host
        where the file says which offered channel lists the package.

        Args:
            url: The address.
            said: The channel's name or address, if the file says it.

        Raises:
            ValueError: It leads to neither.
            ChannelNotAllowed: The administrator does not offer the channel.
        """
        shown = repr(without_credentials(url)[:200])
        if without_credentials(url) != url:
            raise ValueError(f"the address {shown} holds credentials: take them out")
        home = None if said is None else self.channel(said)
        channels = self.defaults.channels if home is None else (home,)
        identities = [(without_credentials(channel.url), channel) for channel in channels]
        mirrors = [(self._mirror(channel), channel) for channel in channels]
        for address, channel in [*identities, *mirrors]:
            base = f"{address}/"
            # conda writes the '!' and '+' of versions with and without '%'.
            path = unquote(url.removeprefix(base))
            if url.startswith(base) and _CHARACTERS.fullmatch(path) and _PLACE.fullmatch(path):
                return PackageLocation(channel, path)
        path = "/".join(unquote(url).rsplit("/", 2)[-2:])
        if self._may_lie(url, home) and _CHARACTERS.fullmatch(path) and _PLACE.fullmatch(path):
            return PackageLocation(home, path, unquote(url))
        offered = ", ".join(without_credentials(c.url) for c in self.defaults.channels)
        raise ValueError(
            f"{shown} is no package of a channel of this server, whose channels are {offered}"
        )

    def locked(self, record: PackageRecord) -> PackageLocation | None:
        """Return what the channel must list for a package that was locked to be fetched, if any.

        What lies in its channel need not be listed any more. What a lock says to be of one channel
        and lies in another would be held against the policies of the wrong one: that one is asked.

        Raises:
            ValueError: It may not be fetched.
            ChannelNotAllowed: The administrator does not offer its channel.
        """
        if record.channel:
            self.locked_channel(record.channel)
        place = self.package(record.url, record.channel or None)
        if place.channel and not place.elsewhere and not _lies_in(record.url, place.channel):
            raise ValueError(f"{record.url[:200]!r} is in {_OF_MIRROR.format(place.channel.url)}")
        if not record.channel:
            if place.elsewhere:
                raise ValueError(f"{record.url[:200]!r} lies in no channel of this server")
            return None
        return place if place.elsewhere else None

    def _mirror(self, channel: Channel) -> str:
        return self.defaults.mirrors.address(channel.url)

    def _not_offered(self, text: str) -> ChannelNotAllowed:
        offered = [channel.name for channel in self.defaults.channels]
        return ChannelNotAllowed(without_credentials(text)[:100], offered)

    def _may_lie(self, url: str, home: Channel | None) -> bool:
        """Tell whether an index may name this address; a server's index never names a file."""
        channels = self.defaults.channels if home is None else [home]
        local = any(channel.url.startswith("file:") for channel in channels)
        if url.startswith("file:///"):
            return local
        return self._has_host(url) or (home is not None and not local and _is_address(url))

    def _has_host(self, url: str) -> bool:
        """Tell whether an address is one of a server that has a channel."""
        return _is_address(url) and any(
            urlsplit(without_credentials(channel.url))[:2] == urlsplit(url)[:2]
            for channel in self.defaults.channels
        )

    def wheel(self, url: str) -> str:
        """Return a wheel's address, which is on an offered host.

        Raises:
            ValueError: It is not, or does not lead to a wheel.
        """
        shown = repr(without_credentials(url)[:200])
        try:
            parts = urlsplit(url)
        except ValueError as exc:
            raise ValueError(f"{shown} is not an address") from exc
        if not parts.path.endswith(".whl") or "+" in parts.scheme:
            raise ValueError(
                f"{shown} is not a wheel: packages that must be built are not accepted"
            )
        if parts.scheme not in {"https", "http"} or parts.netloc not in self.defaults.wheel_hosts:
            hosts = ", ".join(self.defaults.wheel_hosts) or "none"
            raise ValueError(
                f"{shown} does not lie on a host that wheels may come from, which are {hosts}"
            )
        path = unquote(parts.path)
        if not _WHEEL_PATH.fullmatch(parts.path) or "/.." in path or "//" in path:
            raise ValueError(
                f"{shown} is not a wheel: packages that must be built are not accepted"
            )
        return wheel_address(f"{parts.scheme}://{parts.netloc}{parts.path}")

    def platform(self, text: str) -> Subdir:
        """Return the platform of that name.

        Raises:
            ValueError: This server builds no images for it.
        """
        for subdir in self.platforms([text]):
            return subdir
        raise ValueError(
            f"'{text[:40]}' is not a platform this server builds for, which are"
            f" {', '.join(self.defaults.platforms)}"
        )

    def platforms(self, names: Sequence[str]) -> tuple[Subdir, ...]:
        """Return those of the named platforms that this server builds for, sorted."""
        return tuple(sorted(s for s in PLATFORMS if s in names and s in self.defaults.platforms))

    def base(self, reference: str) -> str | None:
        """Return the base image that ``reference`` asks for; ``None`` for ``"none"``.

        Raises:
            ValueError: The administrator does not offer it.
        """
        if reference == _BARE:
            return None
        default, written = self.defaults.base, _written(reference)
        if reference == default or (default and written and written == _written(default)):
            return default
        if written and any(fnmatchcase(written, pattern) for pattern in self.defaults.bases):
            return written
        offered = [*filter(None, [default]), *self.defaults.bases, _BARE]
        raise ValueError(
            f"the base image '{reference[:100]}' is not offered by this server, which offers"
            f" {', '.join(offered)}"
        )

    def check_base(self, base: BaseReference) -> None:
        """Check that the base of a lock may be fetched.

        Raises:
            ValueError: It comes from elsewhere than what the administrator offers.
        """
        default = self.defaults.base or ""
        if default.startswith(LAYOUT_SCHEME):
            home = LAYOUT_NAME
        elif default.startswith(PUSHED_SCHEME):
            home = f"{PUSHED_SCHEME}{split_pushed(default)[0]}"
        else:
            home = parse_reference(default).name if default else ""
        if base.name != home:
            self.base(f"{base.name}@{base.digest}")


def file_parts(path: str) -> tuple[str, str, str]:
    """Return name, version and build of a package by where it lies.

    >>> file_parts("linux-64/ld_impl_linux-64-2.43-h712a8e2_2.conda")
    ('ld_impl_linux-64', '2.43', 'h712a8e2_2')
    """
    name, version, build = path.rpartition("/")[2].rsplit("-", 2)
    return name, version, build.removesuffix(".conda").removesuffix(".tar.bz2")


def _addresses(channel: Channel) -> set[str]:
    return {channel.url, without_credentials(channel.url)}


def _lies_in(url: str, channel: Channel) -> bool:
    return url.startswith(f"{without_credentials(channel.url)}/")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_web = url.startswith(("http://", "https://")) and _HOST.fullmatch(parts.netloc)
    return bool(is_web) and ".." not in unquote(parts.path).split("/")


def _written(reference: str) -> str | None:
    """Return a registry's reference with all its parts; ``None`` if it is not one."""
    if reference.startswith(LAYOUT_SCHEME):
        return None
    try:
        if reference.startswith(PUSHED_SCHEME):
            repository, tag = split_pushed(reference)
            return f"{PUSHED_SCHEME}{repository}{'@' if is_digest(tag) else ':'}{tag}"
        parsed = parse_reference(reference)
    except BuilderError:
        return None
    if not _HOST.fullmatch(parsed.host):
        return None
    return f"{parsed.name}@{parsed.digest}" if parsed.digest else f"{parsed.name}:{parsed.manifest}"
