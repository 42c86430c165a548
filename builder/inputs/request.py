"""A request: what an ``environment.yml`` can say and more, as one writes it in JSON.

::

    {"specs": ["python=3.12", "numpy>=1.26"],      match specs
     "pip": ["requests>=2"],                       PEP 508
     "channels": ["conda-forge"],                  by priority
     "platforms": ["linux-64"],                    each of them must be possible
     "variables": {"OMP_NUM_THREADS": "4"},
     "base": "docker.io/library/debian:12",        "none" or null: packages alone
     "user": "1000:1000",                          who runs in a container, by numbers
     "virtual_packages": {"__cuda": "12.4"},       what the machines that run it have
     "until": "2026-11-01"}                        nothing published after that day, UTC

Only ``specs`` or ``pip`` must be there.
"""

import datetime
import re
from typing import Final

from builder.inputs.allowed import AllowedSources
from builder.inputs.document import Field
from builder.inputs.requirements import (
    MAX_REQUIREMENTS,
    RequestedEnvironment,
    read_channels,
    read_pip,
    read_requirements,
    read_variables,
)
from builder.platforms import Subdir
from builder.spec import EnvironmentSpec, VirtualPackage, parse_user

_KEYS: Final = frozenset(
    {
        "specs",
        "pip",
        "channels",
        "platforms",
        "variables",
        "base",
        "user",
        "virtual_packages",
        "until",
    }
)
_NOTHING: Final = Field("nothing")
_VIRTUAL = re.compile(r"__[a-z0-9_]{1,60}")
#: A version, and a build behind it.
_OFFER = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(?: ([A-Za-z0-9_.]{1,64}))?")
_ARCHSPEC: Final = "__archspec"
#: What no machine that runs images has.
_ELSEWHERE: Final = frozenset({"__osx", "__win"})
_MAX_VIRTUAL: Final = 20
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_json_request(
    document: Field, allowed: AllowedSources, today: datetime.date | None = None
) -> EnvironmentSpec:
    """Return what a request asks for.

    Args:
        document: The request.
        allowed: What may be asked for.
        today: If given, dates after it are refused.

    Raises:
        InputError: It is not a request, or asks for what this server does not offer.
    """
    entries = document.only(_KEYS)
    specs = entries.get("specs", _NOTHING).list(MAX_REQUIREMENTS)
    platforms = _platforms(entries.get("platforms", _NOTHING), allowed)
    pip, hashes = read_pip(entries.get("pip", _NOTHING), allowed)
    requested = RequestedEnvironment(
        requirements=read_requirements(specs, allowed),
        channels=read_channels(entries.get("channels", _NOTHING), allowed),
        platforms=platforms,
        pip=pip,
        hashes=hashes,
        variables=read_variables(entries.get("variables", _NOTHING)),
        until=_day(entries.get("until", _NOTHING), today),
        user=_user(entries.get("user", _NOTHING)),
        virtual_packages=_virtual_packages(entries.get("virtual_packages", _NOTHING), platforms),
    )
    if not requested.requirements and not requested.pip:
        raise document.error("no package is asked for: 'specs' and 'pip' are empty")
    base = allowed.defaults.base
    if "base" in entries:
        base = _base(entries["base"], allowed)
    return requested.spec(allowed, base)


def _platforms(field: Field, allowed: AllowedSources) -> tuple[Subdir, ...]:
    found = set()
    for element in field.list():
        try:
            found.add(allowed.platform(element.text()))
        except ValueError as exc:
            raise element.error(str(exc)) from exc
    return tuple(sorted(found))


def _base(field: Field, allowed: AllowedSources) -> str | None:
    if field.kind == "nothing":
        return None
    try:
        return allowed.base(field.text())
    except ValueError as exc:
        raise field.error(str(exc)) from exc


def _user(field: Field) -> str:
    if field.kind == "nothing":
        return ""
    try:
        return parse_user(field.scalar())
    except ValueError as exc:
        raise field.error(str(exc)) from exc


def _virtual_packages(field: Field, platforms: tuple[Subdir, ...]) -> tuple[VirtualPackage, ...]:
    found = []
    for name, element in field.present().items():
        offer = _OFFER.fullmatch(element.scalar())
        if not _VIRTUAL.fullmatch(name) or name in _ELSEWHERE:
            raise element.error(
                f"'{name[:60]}' is no virtual package of Linux, such as '__cuda' or '__glibc'"
            )
        if offer is None or (name == _ARCHSPEC and not offer[2]):
            raise element.error(
                "it is no version, or version and build, such as '12.4' or '1 x86_64_v3'"
            )
        if name == _ARCHSPEC and len(platforms) != 1:
            raise element.error("a processor is of one platform: name it alone in 'platforms'")
        platform = platforms[0] if name == _ARCHSPEC else None
        found.append(VirtualPackage(name, offer[1], offer[2] or "0", platform))
    if len(found) > _MAX_VIRTUAL:
        raise field.error(f"it has {len(found)} entries, and {_MAX_VIRTUAL} are allowed")
    return tuple(found)


def _day(field: Field, today: datetime.date | None) -> datetime.date | None:
    if field.kind == "nothing":
        return None
    text = field.text()
    try:
        day = datetime.date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise field.error("it is no day of the calendar: write year-month-day")
    if today and day > today:
        raise field.error(
            f"{day} has not come yet: what a channel will offer by then cannot be known"
        )
    return day
