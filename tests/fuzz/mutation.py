"""Changes to what readers read, made where their formats have their meaning.

Random bytes in an archive change its checksums and nothing else. These change a field of a header
and put the checksum right, a value of a document, a line of a text. All chance comes from the
``Random`` that is given, so that a number stands for an input.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

Mutate = Callable[[bytes, Random], bytes]

#: Numbers at which sizes and offsets go wrong.
NUMBERS: Final = (
    *(0, 1, -1, 2, 7, 9, 127, 128, 255, 256, 511, 512, 513, 4095, 65_535, 65_536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**19, -(2**63)),
)
TEXTS: Final = (
    *("", ".", "..", "/", "//", "../x", "a/../b", "/etc/passwd", "~", "a\\b", "C:\\x", "\0", "a\0b"),
    *("\n", "a\nb", "\r\n", "\x1b[2J", "\x7f", "\u202e", "\ud800", "\udcff", "\ufeff", "é", "é", "🦆"),
    *("%00", "%2e%2e%2f", "{}", "${HOME}", "$(id)", "`id`", "'\"<>&", "*", "**", "=", "==", ">=", "@"),
    *("sha256:", "sha256:" + "0" * 64, "sha512:" + "0" * 64, "0" * 32, "null", "true", "1e999", "-0"),
    *("x" * 300, "x/" * 300, "9" * 400, "http://[", "http://a:b@c/", "file:///etc/passwd", "a" * 5000),
)  # fmt: skip
_BYTES: Final = (b"\0", b"\xff", b"\n", b"..", b"/", b"\xed\xa0\x80", b"\xc0\xaf", b"[" * 2000)


def change_bytes(data: bytes, chance: Random) -> bytes:
    """Change, cut, repeat or insert some bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(changed) + 1)
        length = chance.choice((0, 1, 1, 2, 4, 16, 200))
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + length] = chance.choice(_BYTES)
            case 2:
                changed[at : at + length] = b""
            case 3:
                piece = bytes(changed[at : at + length])
                place = chance.randrange(len(changed) + 1)
                changed[place:place] = piece * chance.choice((1, 2, 50))
            case _:
                changed[at : at + length] = chance.randbytes(length)
    return bytes(changed)


def change_text(data: bytes, chance: Random) -> bytes:
    """Change lines and words of a text; now and then bytes."""
    if chance.randrange(5) == 0:
        return change_bytes(data, chance)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines))
        line = lines[at]
        place = chance.randrange(len(line) + 1)
        end = place + chance.choice((0, 1, 3, len(line)))
        match chance.randrange(7):
            case 0:
                lines[at] = line[:place] + chance.choice(TEXTS) + line[end:]
            case 1:
                lines[at] = line[:place] + str(chance.choice(NUMBERS)) + line[end:]
            case 2:
                del lines[at]
                lines = lines or [""]
            case 3:
                lines.insert(chance.randrange(len(lines)), line)
            case 4:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], line
            case 5:
                lines[at] = " " * chance.choice((1, 2, 4)) + line
            case _:
                lines[at] = line[:place] + chance.choice("[]{}:,-#&*!|>%@\"'") + line[end:]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def change_json(data: bytes, chance: Random) -> bytes:
    """Change values of a JSON document; now and then its text."""
    if chance.randrange(6) == 0:
        return change_text(data, chance)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return change_text(data, chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        document = change_value(document, chance)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def change_value(value: Any, chance: Random) -> Any:
    """Return a document with one value of it changed, left out, repeated or put elsewhere."""
    if isinstance(value, dict) and value and chance.randrange(8):
        key = chance.choice(list(value))
        match chance.randrange(10):
            case 0:
                return {name: one for name, one in value.items() if name != key}
            case 1:
                return {**value, chance.choice(TEXTS): value[key]}
            case 2:
                return {**value, chance.choice(list(value)): value[key]}
            case _:
                return {**value, key: change_value(value[key], chance)}
    if isinstance(value, list) and value and chance.randrange(8):
        at = chance.randrange(len(value))
        match chance.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] + [value[at]] * chance.choice((2, 3, 100)) + value[at:]
            case _:
                return [*value[:at], change_value(value[at], chance), *value[at + 1 :]]
    return odd_value(value, chance)


def odd_value(value: Any, chance: Random) -> Any:
    """Return something in the place of a value: of its own kind half of the time."""
    if isinstance(value, str) and chance.randrange(2):
        place = chance.randrange(len(value) + 1)
        return value[:place] + chance.choice(TEXTS) + value[place + chance.randrange(4) :]
    deep: Any = 0
    for _ in range(chance.choice((1, 20, 400))):
        deep = [deep]
    return chance.choice(
        [*NUMBERS, *TEXTS, None, True, False, 1.5, float("inf"), [], {}, [[]], {"": None}, deep]
    )
