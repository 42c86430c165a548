"""rattler's records as ours."""

import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import unquote

import rattler

from builder.network.mirrors import identity_of, moved
from builder.records import (
    LISTED,
    PackageRecord,
    canonical_json,
    link_order,
    without_credentials,
)
from builder.spec import Channel

#: Addresses of channels as they are fetched, and as locks have them.
_Identities = Sequence[tuple[str, str]]


def by_place(
    found: Sequence[rattler.RepoDataRecord], places: Collection[str], channel: Channel
) -> Mapping[str, PackageRecord]:
    """Return the packages that lie at ``places``, such as ``"linux-64/zlib-1.3-h0_0.conda"``.

    A place may also be the whole address, without ``%``.

    A checksum that the index does not give is empty.
    """
    identities = _identities([channel])
    known = {f"{record.subdir}/{record.file_name}": record for record in found}
    known.update({unquote(_address(record.url, identities)): record for record in found})
    return {place: _to_record(known[place], identities) for place in places if place in known}


def to_records(
    found: Sequence[rattler.RepoDataRecord], channels: Sequence[Channel]
) -> tuple[PackageRecord, ...]:
    """Return rattler's records as ours, in order; a missing checksum is empty.

    Args:
        found: Where they were fetched from.
        channels: As they were fetched; records name what these are known by.
    """
    identities = _identities(channels)
    return link_order(_to_record(record, identities) for record in found)


def _identities(channels: Sequence[Channel]) -> _Identities:
    # As rattler writes addresses: a path may be escaped in several ways.
    fetched = (rattler.Channel(channel.url).base_url for channel in channels)
    addresses = (without_credentials(address).rstrip("/") for address in fetched)
    return [
        (address, address if identity_of(channel) == channel.url else identity_of(channel))
        for address, channel in zip(addresses, channels, strict=True)
    ]


def _address(url: str, identities: _Identities) -> str:
    return moved(without_credentials(url), identities)


def _to_record(record: rattler.RepoDataRecord, identities: _Identities) -> PackageRecord:
    timestamp_ms = None
    if record.timestamp is not None:
        since = record.timestamp - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        timestamp_ms = since // datetime.timedelta(milliseconds=1)
    return PackageRecord(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        subdir=record.subdir,
        url=_address(record.url, identities),
        sha256=record.sha256.hex() if record.sha256 else "",
        md5=record.md5.hex() if record.md5 else "",
        size_bytes=record.size or 0,
        depends=tuple(record.depends),
        noarch="python" if record.noarch.python else "generic" if record.noarch.generic else None,
        python_site_packages_path=record.python_site_packages_path,
        timestamp_ms=timestamp_ms,
        listed=_listed(record),
        channel=_channel(record, identities),
    )


def _listed(record: rattler.RepoDataRecord) -> str:
    said = json.loads(record.to_json())
    return canonical_json({field: said[field] for field in LISTED if field in said})


def _channel(record: rattler.RepoDataRecord, identities: _Identities) -> str:
    """Return the address of the record's channel, if that is not where it lies."""
    channel = _address((record.channel or "").rstrip("/"), identities)
    here = _address(record.url, identities).rsplit("/", 2)[0]
    return channel if "://" in channel and channel != here else ""
