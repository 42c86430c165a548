"""Match specs: from the text that people write to a requirement."""

import re
from collections.abc import Iterable
from typing import Final, get_args

import rattler

from builder.spec import Constraint, Operator, Requirement

_MAX_LENGTH: Final = 500
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[A-Za-z0-9_.!+*~=<>,|()-]+")
_BUILD = re.compile(r"[A-Za-z0-9_.+*-]{1,128}")
#: One comparison of rattler's canonical form; ``1.26.*`` is its form of ``=1.26``.
_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)?([A-Za-z0-9_.!+-]+?)(\.\*)?")
#: What conda takes for a word that means nothing, and people write for a channel.
_NAMESPACE = re.compile(r"([A-Za-z0-9_./-]+):(?:[A-Za-z0-9_-]*:)?([A-Za-z0-9_.-]+[^:\[]*)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_KEY = re.compile(r"[\[,]\s*([a-z_0-9]+)=")
_BRACKET_CHANNEL = re.compile(r"[\[,]\s*channel\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s,\]]*))")
#: What a requirement can say.
_HONOURED: Final = frozenset({"version", "build", "channel"})


def parse_match_spec(text: str) -> Requirement:
    r"""Return what a match spec asks for, in canonical form.

    ``Requirement.channel`` is what stands for the channel in ``text``: a name or an address.

    >>> str(parse_match_spec("Python=3.11.*=*_cpython"))
    'python 3.11.* *_cpython'
    >>> parse_match_spec("numpy <2,>=1.26") == parse_match_spec("numpy[version='>=1.26,<2']")
    True
    >>> str(parse_match_spec("conda-forge::blas=*=*mkl"))
    'conda-forge::blas * *mkl'
    >>> parse_match_spec("numpy[md5=d41d8cd98f00b204e9800998ecf8427e]")
    Traceback (most recent call last):
        ...
    ValueError: 'numpy[md5=d41d8cd98f00b204e9800998ecf8427e]' sets md5: only channel, name, version and build of a package can be asked for

    Raises:
        ValueError: It is not one, or asks for more than a requirement can say. The message is a
            sentence.
    """  # noqa: E501 - a doctest's line is as long as its message
    shown = repr(text[:100])
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"{shown}… has {len(text)} characters, and {_MAX_LENGTH} are allowed")
    channel, separator, rest = text.strip().partition("::")
    if not separator:
        channel, rest = "", channel
    try:
        spec = rattler.MatchSpec(rest)
        canonical = spec.to_canonical_string()
    except BaseException as exc:
        # Its exceptions have no base of their own, and a panic in Rust is none of Python's.
        if not isinstance(exc, Exception) and type(exc).__name__ != "PanicException":
            raise
        raise ValueError(f"{shown} is not a match spec such as 'numpy>=1.26,<2'") from exc
    if namespace := _NAMESPACE.match(rest):
        raise ValueError(
            f"{shown} has one colon where two are needed: write '{namespace[1]}::{namespace[2]}'"
            " for a package of that channel"
        )
    name, _, brackets = canonical.partition("[")
    keys = set(_KEY.findall("[" + _QUOTED.sub('""', brackets))) if brackets else set()
    if not keys <= _HONOURED:
        raise ValueError(
            f"{shown} sets {', '.join(sorted(keys - _HONOURED))}: only channel, name, version and"
            " build of a package can be asked for"
        )
    version, build = spec.version or "", spec.build or ""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{shown} is not a match spec: {name[:50]!r} is not a package name")
    if name.startswith("__"):
        raise ValueError(
            f"{shown} is a virtual package: it describes the machine and cannot be installed"
        )
    if (version and not _VERSION.fullmatch(version)) or (build and not _BUILD.fullmatch(build)):
        if "^" in version + build:
            raise ValueError(
                f"{shown} uses a regular expression: write versions and builds with '*'"
            )
        raise ValueError(f"{shown} is not a match spec such as 'numpy>=1.26,<2'")
    if "channel" in keys and not channel and (found := _BRACKET_CHANNEL.search(rest)):
        channel = next(filter(None, found.groups()), "")
    constraints, others = _split(version)
    return Requirement(name, constraints, channel, others, "" if build == "*" else build)


def _split(version: str) -> tuple[tuple[Constraint, ...], str]:
    """Return a condition as constraints, and in words what they cannot say."""
    if "(" in version:
        return (), version
    if "|" in version:
        return (), "|".join(_sorted(_conjunction(part) for part in version.split("|")))
    constraints, others = set(), set()
    for part in filter(None, version.split(",")):
        constraint = _constraint(part)
        if constraint:
            constraints.add(constraint)
        elif part != "*":
            others.add(part)
    return tuple(sorted(constraints)), ",".join(sorted(others))


def _constraint(comparison: str) -> Constraint | None:
    match = _COMPARISON.fullmatch(comparison)
    if match is None or bool(match[1]) == bool(match[3]):
        return None
    operator = match[1] or "="
    for known in get_args(Operator):
        if known == operator:
            return Constraint(known, match[2])
    return None


def _conjunction(text: str) -> str:
    return ",".join(_sorted(text.split(",")))


def _sorted(parts: Iterable[str]) -> list[str]:
    return sorted(set(parts))
