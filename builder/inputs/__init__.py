"""What people send to have an image of it: bytes that nobody has looked at yet.

Which kind they are is told by what they hold, never by the name of a file::

    "@EXPLICIT" on a line            explicit      → PackageList
    name=version=build on each       exported      → EnvironmentSpec
    {"package", "metadata"}          conda_lock    → Lock if a pullforge wrote it, else PackageList
    {"environments", "packages"}     pixi_lock     → PackageList
    {"dependencies"}                 environment   → EnvironmentSpec
    {"specs"} or {"pip"}             request       → EnvironmentSpec

    document     YAML and JSON as values that know their place
    offers       what of the settings a file may ask for
    wishes       match specs, PyPI requirements, variables as parts of a spec
    foreign      files of other tools, which are refused with advice
    listing      entries of lock files as packages
    packages     PackageList, and how channels complete it
    editing      an environment.yml changed by parts, for forms
    places       where in a file a package is asked for

Everything here is computation: bounded, yet to be run beside the event loop, by ``Workers``.
``docs/inputs.md`` is the page for those who write the files.
"""

import datetime
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from builder.errors import InputError
from builder.image_name import EnvironmentPolicy
from builder.inputs.allowed import AllowedSources, PackageLocation
from builder.inputs.conda_lock import read_conda_lock
from builder.inputs.document import Field, parse_document
from builder.inputs.environment import read_environment
from builder.inputs.explicit import is_explicit, read_explicit
from builder.inputs.exported import is_exported, read_exported
from builder.inputs.foreign import refusal
from builder.inputs.packages import ListedPackage, PackageList
from builder.inputs.pixi_lock import read_pixi_lock
from builder.inputs.request import read_json_request
from builder.lock import Lock
from builder.spec import EnvironmentSpec

__all__ = ["ListedPackage", "PackageList", "PackageLocation", "read_request"]


def read_request(
    data: bytes,
    defaults: EnvironmentPolicy,
    *,
    max_bytes: int,
    today: datetime.date | None = None,
) -> EnvironmentSpec | Lock | PackageList:
    """Return what ``data`` asks for; takes at most about two seconds a megabyte.

    Args:
        data: The file or request, of unknown origin.
        defaults: What the administrator offers.
        max_bytes: More are refused unread.
        today: If given, dates after it are refused.

    Raises:
        InputError: It cannot be understood, or asks for what this server does not offer. The
            error can be pickled.
    """
    if len(data) > max_bytes:
        raise InputError(f"the text has {len(data)} bytes, and {max_bytes} are allowed")
    allowed = AllowedSources(defaults)
    text = _text(data)
    if is_explicit(text):
        return read_explicit(text, allowed)
    if is_exported(text):
        return read_exported(text, allowed)
    try:
        document = parse_document(text)
    except InputError as exc:
        if reason := refusal(text, None):
            raise InputError(reason) from exc
        raise
    return _read(text, document, allowed, today)


def _text(data: bytes) -> str:
    """Return the text: in UTF-8, or in UTF-16 if a mark says so, as PowerShell writes it."""
    encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise InputError(
            "the text is not in UTF-8, or in UTF-16 with a mark at its beginning", line=line
        ) from exc


def _read(
    text: str, document: Field, allowed: AllowedSources, today: datetime.date | None
) -> EnvironmentSpec | Lock | PackageList:
    keys = {key for key, _ in document.entries}
    if {"package", "metadata"} <= keys:
        return read_conda_lock(text.encode(), document, allowed)
    if {"environments", "packages"} <= keys:
        return read_pixi_lock(document, allowed)
    if "dependencies" in keys:
        return read_environment(document, allowed)
    if keys & {"specs", "pip"}:
        return read_json_request(document, allowed, today)
    raise InputError(refusal(text, document) or "this cannot be read")
