"""What can be said of a name without knowing any channel's packages."""

import datetime
from typing import Final

from packaging.utils import InvalidName, canonicalize_name

from builder.errors import MalformedName, UnsupportedItem
from builder.image_name.resolve import MAX_ITEMS, ScannedName, Segment
from builder.image_name.tag import parse_tag
from builder.image_name.tokens import PYPI, decode, is_component, quote
from builder.policy import EnvironmentPolicy

PREFIX: Final = "env/"

#: What the OCI distribution specification recommends clients to be able to store.
MAX_LENGTH: Final = 255


def scan(
    repository: str, tag: str, defaults: EnvironmentPolicy, *, today: datetime.date | None = None
) -> ScannedName:
    """Return the parts of a name, with the channels that are needed to read it.

    Args:
        repository: With its ``env/`` prefix.
        tag: Without a colon, for example ``"latest"``.
        defaults: What the administrator offers.
        today: If given, dates after it are refused.

    Raises:
        MalformedName: The repository is not written as the grammar says.
        MalformedTag: The tag is not.
        UnsupportedItem: A package is virtual, or of PyPI where that is not offered.
        ChannelNotAllowed: A channel is asked for that is not offered.
    """
    if len(repository) > MAX_LENGTH:
        raise MalformedName(
            f"the name has {len(repository)} characters, and {MAX_LENGTH} are allowed: "
            f"use a named environment"
        )
    if not repository.startswith(PREFIX):
        raise MalformedName(
            f"{quote(repository)} does not start with '{PREFIX}': write '{PREFIX}numpy' for a"
            " package, without a host before it"
        )
    runs = repository.removeprefix(PREFIX).split("/")
    if len(runs) > MAX_ITEMS:
        raise MalformedName(f"the name has {len(runs)} items, and {MAX_ITEMS} are allowed")
    segments = tuple(segment for run in runs for segment in _scan_run(run, repository))
    for segment in segments:
        if segment.channel == PYPI:
            _check_project(segment.tokens[0], defaults)
    parts = parse_tag(tag, today=today)
    pinned = frozenset(segment.channel for segment in segments) - {"", PYPI}
    for channel in sorted(pinned):
        defaults.channel(channel)
    return ScannedName(segments, parts, defaults, defaults.needed(pinned))


def _scan_run(run: str, repository: str) -> list[Segment]:
    """Return the segments of what stands between two ``/``."""
    if not is_component(run):
        raise MalformedName(_component_fault(run, repository))
    segments: list[Segment] = []
    tokens: list[str] = []
    channel = ""
    for token in run.split("."):
        if "--" in token:
            if tokens:
                segments.append(Segment(channel, tuple(tokens)))
            channel, _, token = token.partition("--")  # noqa: PLW2901 - what is left of it
            _check_pinned(channel, token, run)
            tokens = []
        tokens.append(decode(token))
    segments.append(Segment(channel, tuple(tokens)))
    for segment in segments:
        for name in segment.tokens:
            if name.startswith("__"):
                raise UnsupportedItem(
                    f"{quote(name)} is a virtual package: it describes the machine and cannot be "
                    f"installed; for CUDA add a tag such as ':cuda12.4'"
                )
    return segments


def _check_pinned(channel: str, package: str, run: str) -> None:
    if "--" in package or package.startswith("-"):
        raise MalformedName(
            f"{quote(channel + '--' + package)} in {quote(run)} is not '<channel>--<package>'"
        )


def _check_project(name: str, defaults: EnvironmentPolicy) -> None:
    if not defaults.pypi:
        raise UnsupportedItem(
            f"{quote(name)} is asked from PyPI, which this server does not offer: ask for a conda "
            f"package"
        )
    try:
        canonicalize_name(name, validate=True)
    except InvalidName as exc:
        raise MalformedName(f"{quote(name)} cannot be the name of a project of PyPI") from exc


def _component_fault(run: str, repository: str) -> str:
    if not run:
        return f"an item of {quote(repository)} is empty"
    forbidden = sorted({c for c in run if not (c.isascii() and (c.isalnum() or c in "._-"))})
    if forbidden:
        return (
            f"{quote(run)} contains {quote(forbidden[0])}: names are made of lower-case letters, "
            f"digits, '.', '_' and '-'"
        )
    if run != run.lower():
        return f"{quote(run)} contains upper-case letters: write {quote(run.lower())}"
    return (
        f"{quote(run)} is not an item: each of '.', '_' and '-' stands between letters or digits "
        f"(a leading '_' is written 'zzz_')"
    )
