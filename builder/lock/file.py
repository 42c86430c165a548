"""A lock as a conda-lock file of version 1, and back.

What that format has no field for goes into its ``custom_metadata``, a mapping from text to text::

    pullforge.format             "2"
    pullforge.key                the lock's key: a file that was changed by hand is refused
    pullforge.base               "docker.io/library/debian@sha256:…", if there is one
    pullforge.channels           JSON: [[name, address], …], by priority
    pullforge.virtual_packages   JSON: [[name, version, build], …], and the platform if it is of one
    pullforge.bytecode           JSON: {platform: version of the Python that compiles}
    pullforge.variables          JSON: {name: value}, if there are any
    pullforge.user               "1000:1000", if there is one
    pullforge.package.<platform>.<name>    JSON: a record's fields that conda-lock does not have
    pullforge.wheel.<platform>.<name>      JSON: the same of a wheel, which conda-lock calls pip's

The key covers all of it: whoever sends a lock first writes nothing that others of the same key do
not say as well. Files of before have ``pullforge.left_out`` too, sentences that anybody could have
written: they are not read.

conda-lock's models take some tenths of a second to import; so they are imported where a lock is
written or read, and never when the server starts.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from builder.errors import BuilderError, LockError
from builder.lock.block_yaml import dump
from builder.lock.fields import entry_of, extra_of, record_of, text_field
from builder.lock.model import LOCK_FORMAT, Lock
from builder.lock.safe_yaml import MalformedYaml, load
from builder.lock.wheel_fields import wheel_entry_of, wheel_extra_of, wheel_of
from builder.oci.digest import parse_digest
from builder.platforms import PLATFORMS, Subdir
from builder.records import (
    BaseReference,
    PackageRecord,
    WheelRecord,
    canonical_json,
    without_credentials,
)
from builder.spec import Channel, VirtualPackage, parse_user

if TYPE_CHECKING:
    from builder.lock.conda_lock_models import LockedDependency, Lockfile, LockMeta

_OURS: Final = "pullforge."

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VALUE: Final = re.compile(r"[^\0]{0,32768}")

_HEADER: Final = """\
# A lock file in the format of conda-lock (https://github.com/conda/conda-lock), made by pullforge.
# Install it with:
#     conda-lock install --name YOURENV conda-lock.yml
"""


def to_yaml(lock: Lock) -> bytes:
    """Return a deterministic conda-lock file; a package takes 1 ms: call it in a worker."""
    from builder.lock.conda_lock_models import (  # noqa: PLC0415 - slow, see above
        LockChannel,
        LockedDependency,
        Lockfile,
        LockMeta,
    )

    packages = [
        LockedDependency.model_validate(entry)
        for platform, records in lock.platforms.items()
        for entry in (
            *(entry_of(record, platform) for record in records),
            *(wheel_entry_of(wheel, platform) for wheel in lock.wheels.get(platform, ())),
        )
    ]
    metadata = LockMeta(
        # conda-lock keeps here what its input was, to see whether that has changed.
        content_hash=dict.fromkeys(lock.platforms, lock.key),
        # Its own constructor would look for credentials in the environment.
        channels=[LockChannel(url=channel.url, used_env_vars=()) for channel in lock.channels],
        platforms=list(lock.platforms),
        sources=[],
        custom_metadata=_custom(lock),
    )
    content = Lockfile(package=packages, metadata=metadata).dict_for_output()
    return _HEADER.encode() + dump(content)


def from_yaml(data: bytes) -> Lock:
    """Return the lock that a conda-lock file holds.

    A file that pullforge did not write gives what it has: packages of category ``main`` for the
    platforms images can have, of unknown size (0) and build number (0), no virtual packages, no
    base.

    Raises:
        LockError: It is no such file, was changed after pullforge wrote it, or lacks what an
            image needs.
    """
    parsed = _parse(data)
    custom = parsed.metadata.custom_metadata or {}
    try:
        lock = _lock(parsed, custom)
    except LockError:
        raise
    except (BuilderError, ValueError, TypeError, RecursionError) as exc:
        raise LockError(f"the lock file is damaged: {_brief(exc)}") from exc
    if f"{_OURS}key" in custom and custom[f"{_OURS}key"] != lock.key:
        raise LockError("the lock file was changed after it was written: lock the environment anew")
    return lock


def _parse(data: bytes) -> "Lockfile":
    from builder.lock.conda_lock_models import Lockfile  # noqa: PLC0415 - slow, see above

    try:
        content = load(data)
    except MalformedYaml as exc:
        raise LockError(f"the lock file {exc}") from exc
    if not isinstance(content, dict) or "package" not in content or "metadata" not in content:
        raise LockError("this is not a conda-lock file: it has no 'package' and 'metadata'")
    if content.get("version") != 1:
        raise LockError("this is not a conda-lock file of version 1")
    _refuse_bare_channels(content)
    try:
        return Lockfile.model_validate(content)
    except (ValueError, KeyError) as exc:  # its validators look up fields that may be missing
        raise LockError(f"this is not a conda-lock file: {_brief(exc)}") from exc


def _refuse_bare_channels(content: Mapping[str, Any]) -> None:
    """Refuse channels as text: conda-lock would search the environment for their credentials."""
    metadata = content["metadata"]
    channels = metadata.get("channels") if isinstance(metadata, dict) else None
    if isinstance(channels, list) and any(isinstance(channel, str) for channel in channels):
        raise LockError("this is not a conda-lock file: a channel is not written as 'url: …'")


def _custom(lock: Lock) -> dict[str, str]:
    custom = {
        "format": str(LOCK_FORMAT),
        "key": lock.key,
        "channels": canonical_json([[channel.name, channel.url] for channel in lock.channels]),
        "virtual_packages": canonical_json([v.written for v in lock.virtual_packages]),
        "bytecode": canonical_json(lock.bytecode),
    }
    if lock.base:
        custom["base"] = f"{lock.base.name}@{lock.base.digest}"
    if lock.variables:
        custom["variables"] = canonical_json(lock.variables)
    if lock.user:
        custom["user"] = lock.user
    for platform, records in lock.platforms.items():
        for record in records:
            custom[f"package.{platform}.{record.name}"] = canonical_json(extra_of(record))
        for wheel in lock.wheels.get(platform, ()):
            custom[f"wheel.{platform}.{wheel.name}"] = canonical_json(wheel_extra_of(wheel))
    return {f"{_OURS}{name}": value for name, value in custom.items()}


def _lock(parsed: "Lockfile", custom: Mapping[str, str]) -> Lock:
    written = custom.get(f"{_OURS}format", str(LOCK_FORMAT))
    if written != str(LOCK_FORMAT):
        raise LockError(
            f"the lock file has format {written[:20]!r}, and this server reads {LOCK_FORMAT}"
        )
    wanted = [subdir for subdir in PLATFORMS if subdir in parsed.metadata.platforms]
    if not wanted:
        raise LockError(
            f"the lock file has no platform that images can have: {', '.join(PLATFORMS)}"
        )
    main = [entry for entry in parsed.package if entry.category == "main"]
    return Lock(
        platforms={subdir: _records(subdir, main, custom) for subdir in wanted},
        channels=_channels(parsed.metadata, custom),
        virtual_packages=tuple(
            VirtualPackage(
                str(name), str(version), str(build), _subdir(platform[0]) if platform else None
            )
            for name, version, build, *platform in _load_list(custom, "virtual_packages")
        ),
        base=_base(custom.get(f"{_OURS}base")),
        bytecode={
            _subdir(platform): str(version)
            for platform, version in _load_object(custom, "bytecode").items()
        },
        wheels={subdir: _wheels(subdir, main, custom) for subdir in wanted},
        variables={
            text_field({"name": name}, "name", _VARIABLE, "variables"): text_field(
                {"value": value}, "value", _VALUE, name
            )
            for name, value in _load_object(custom, "variables").items()
        },
        user=parse_user(custom[f"{_OURS}user"]) if f"{_OURS}user" in custom else "",
    )


def _records(
    subdir: Subdir, entries: "list[LockedDependency]", custom: Mapping[str, str]
) -> tuple[PackageRecord, ...]:
    return tuple(
        record_of(entry.model_dump(), _load_object(custom, f"package.{subdir}.{entry.name}"))
        for entry in entries
        if entry.platform == subdir and entry.manager == "conda"
    )


def _wheels(
    subdir: Subdir, entries: "list[LockedDependency]", custom: Mapping[str, str]
) -> tuple[WheelRecord, ...]:
    return tuple(
        wheel_of(entry.model_dump(), _load_object(custom, f"wheel.{subdir}.{entry.name}"))
        for entry in entries
        if entry.platform == subdir and entry.manager == "pip"
    )


def _channels(metadata: "LockMeta", custom: Mapping[str, str]) -> tuple[Channel, ...]:
    if f"{_OURS}channels" in custom:
        return tuple(Channel(str(name), str(url)) for name, url in _load_list(custom, "channels"))
    urls = [without_credentials(channel.url).rstrip("/") for channel in metadata.channels]
    return tuple(Channel(url.rpartition("/")[2], url) for url in urls)


def _base(text: str | None) -> BaseReference | None:
    if text is None:
        return None
    name, _, digest = text.rpartition("@")
    if not name:
        raise ValueError("the base image has no name")
    return BaseReference(name, parse_digest(digest))


def _subdir(text: str) -> Subdir:
    for subdir in PLATFORMS:
        if subdir == text:
            return subdir
    raise ValueError(f"'{text[:40]}' is no platform")


def _load_list(custom: Mapping[str, str], name: str) -> list[Any]:
    value = json.loads(custom.get(f"{_OURS}{name}", "[]"))
    if not isinstance(value, list):
        raise TypeError(f"{name} is not a list")
    return value


def _load_object(custom: Mapping[str, str], name: str) -> dict[str, Any]:
    value = json.loads(custom.get(f"{_OURS}{name}", "{}"))
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def _brief(exc: Exception) -> str:
    """Return what an exception says in at most 200 characters."""
    text = exc.message if isinstance(exc, BuilderError) else str(exc)
    return " ".join(text.split())[:200]
