"""What the administrator offers, as files may ask for it: nothing else is ever fetched."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import unquote, urlsplit

from builder.base_image import LAYOUT_NAME, LAYOUT_SCHEME, PUSHED_SCHEME, split_pushed
from builder.errors import BuilderError, ChannelNotAllowed
from builder.image_name import NameDefaults
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
#: Words for no base image.
_BARE: Final = "none"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive lies."""

    channel: Channel
    #: Subdir and file name, e.g. ``"linux-64/zlib-1.3-h0_0.conda"``.
    path: str

    @property
    def url(self) -> str:
        """The address, without credentials."""
        return f"{without_credentials(self.channel.url)}/{self.path}"


@dataclass(frozen=True, slots=True)
class Offers:
    """Answers what of the settings a file may use; each refusal is a sentence."""

    defaults: NameDefaults

    def channel(self, text: str) -> Channel:
        """Return the channel that a name or address stands for.

        Raises:
            ChannelNotAllowed: The administrator does not offer it.
        """
        for channel in self.defaults.channels:
            addresses = {channel.url, without_credentials(channel.url)}
            if text == channel.name or text.rstrip("/") in addresses:
                return channel
        raise ChannelNotAllowed(without_credentials(text)[:100], self._channel_names())

    def package(self, url: str) -> Place:
        """Return where below an offered channel a package's address leads.

        The address must begin as the channel's does, character by character: host, port and
        path cannot be written in another way.

        Raises:
            ValueError: It does not.
        """
        shown = repr(without_credentials(url)[:200])
        if without_credentials(url) != url:
            raise ValueError(f"the address {shown} holds credentials: take them out")
        for channel in self.defaults.channels:
            base = without_credentials(channel.url) + "/"
            # conda writes the '!' and '+' of versions with and without '%'.
            path = unquote(url.removeprefix(base))
            if url.startswith(base) and _CHARACTERS.fullmatch(path) and _PLACE.fullmatch(path):
                return Place(channel, path)
        offered = ", ".join(without_credentials(c.url) for c in self.defaults.channels)
        raise ValueError(
            f"{shown} is no package of a channel of this server, whose channels are {offered}"
        )

    def locked(self, record: PackageRecord) -> None:
        """Check that a package that this or another server locked may be fetched.

        One that lies elsewhere than in its channel must lie on the host of some channel.

        Raises:
            ValueError: It may not.
            ChannelNotAllowed: The administrator does not offer its channel.
        """
        if not record.channel:
            self.package(record.url)
            return
        self.channel(record.channel)
        hosts = {urlsplit(channel.url).netloc for channel in self.defaults.channels}
        parts = urlsplit(record.url)
        if parts.scheme not in {"http", "https"} or parts.netloc not in hosts:
            shown = repr(record.url[:200])
            raise ValueError(f"{shown} does not lie on the host of a channel of this server")

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

    def _channel_names(self) -> list[str]:
        return [channel.name for channel in self.defaults.channels]


def file_parts(path: str) -> tuple[str, str, str]:
    """Return name, version and build of a package by where it lies.

    >>> file_parts("linux-64/ld_impl_linux-64-2.43-h712a8e2_2.conda")
    ('ld_impl_linux-64', '2.43', 'h712a8e2_2')
    """
    name, version, build = path.rpartition("/")[2].rsplit("-", 2)
    return name, version, build.removesuffix(".conda").removesuffix(".tar.bz2")


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
