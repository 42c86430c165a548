"""YAML in the bytes that PyYAML's dumper writes, several times faster: locks come by thousands.

Nearly all text of a lock is of a few shapes whose form is known: names, versions, addresses,
checksums, and JSON. How other text is written is asked of PyYAML once. What has a form that does
not stand in one line, or is there twice, is left to PyYAML as a whole.
"""

import re
from functools import lru_cache
from typing import Any, Final

import yaml

#: Always the one in Python: libyaml does not write the same bytes.
_DUMPER: Final = yaml.SafeDumper
#: Written as it is, unless it is another thing than text to YAML, such as a number.
_PLAIN: Final = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./+-]*|[a-z]+://[A-Za-z0-9_./+%~-]+")
#: Quoted, since it begins with what YAML means something by.
_JSON: Final = re.compile(r"[{\[](?:[ -~]*[!-~])?")
_RESOLVERS: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = _DUMPER.yaml_implicit_resolvers
#: Longer keys may have a form of their own.
_LONG_KEY: Final = 100
#: How many texts, and of what length at most, are remembered as they are written.
_REMEMBERED: Final = 20_000
_REMEMBERED_LENGTH: Final = 200
_MAX_DEPTH: Final = 20


class _Odd(Exception):
    """There is something that is left to PyYAML."""


def dump(content: Any) -> bytes:
    """Return ``content`` as YAML, with keys in their order and no line folded."""
    lines: list[str] = []
    try:
        _write(content, "", "", lines, set(), 0)
    except _Odd:
        return _slowly(content).encode()
    return ("\n".join(lines) + "\n").encode()


def _write(
    value: Any, first: str, indent: str, lines: list[str], seen: set[int], depth: int
) -> None:
    """Add the lines of a value.

    Args:
        value: It.
        first: What stands before it in its first line.
        indent: What stands before its other lines.
        lines: Added to.
        seen: Which lists and mappings there were: PyYAML has a name for what is there twice.
        depth: How deep it lies.
    """
    if not isinstance(value, dict | list):
        if not first:
            raise _Odd
        lines.append(first + _scalar(value))
        return
    if id(value) in seen or depth > _MAX_DEPTH:
        raise _Odd
    seen.add(id(value))
    if not value:
        if not first:
            raise _Odd
        lines.append(first + ("{}" if isinstance(value, dict) else "[]"))
    elif isinstance(value, list):
        for one in value:
            _write(one, f"{first}- ", f"{indent}  ", lines, seen, depth + 1)
            first = indent
    else:
        for name, one in value.items():
            key = f"{first}{_key(name)}:"
            if isinstance(one, dict | list) and one:
                lines.append(key)
                # A list stands right below its key.
                inner = indent if isinstance(one, list) else f"{indent}  "
                _write(one, inner, inner, lines, seen, depth + 1)
            else:
                _write(one, f"{key} ", indent, lines, seen, depth + 1)
            first = indent


def _scalar(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case None:
            return "null"
        case _:
            raise _Odd


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text):
        resolvers = _RESOLVERS.get(text[0], [])
        if not any(pattern.match(text) for _, pattern in resolvers):
            return text
    elif _JSON.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    ask = _asked if len(text) <= _REMEMBERED_LENGTH else _asked.__wrapped__
    return _one_line(ask(text))


def _key(name: Any) -> str:
    if not isinstance(name, str) or len(name) > _LONG_KEY:
        raise _Odd
    return _one_line(_asked_key(name))


def _one_line(text: str) -> str:
    if "\n" in text:
        raise _Odd
    return text


@lru_cache(_REMEMBERED)
def _asked(text: str) -> str:
    return _slowly({"k": text}).removeprefix("k:").removeprefix(" ").removesuffix("\n")


@lru_cache(_REMEMBERED)
def _asked_key(name: str) -> str:
    return _slowly({name: 0}).removesuffix(": 0\n")


def _slowly(content: Any) -> str:
    text: str = yaml.dump(content, Dumper=_DUMPER, sort_keys=False, width=2**31)
    return text
