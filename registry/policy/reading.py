"""TOML of others: refused in linear time where it would cost, and by its place where it is wrong.

``tomllib`` takes time with the square of the parts of a dotted key, and recurses without a bound
where brackets nest. So a text is first cut into tokens, once from its start to its end, and what
nests or is dotted more than policies ever are is refused. ``tomllib`` says nothing of where a value
stands, either: the same tokens tell the line of each field.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

#: The size of a text, at most.
MAX_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 8
_MAX_PARTS: Final = 8

#: What leads to a value: keys, and places in lists counted from 0.
Path = tuple[str | int, ...]
_Kind = Literal["string", "bare", "mark", "newline"]

#: Marks stand alone; all else up to the next mark, blank, quote or comment is one bare token.
_NEXT: Final = re.compile(
    r"(?P<blank>[ \t\r]+)|(?P<comment>#[^\n]*)|(?P<newline>\n\s*)|(?P<mark>[\[\]{}=,.])"
    r"|(?P<quote>\"\"\"|'''|[\"'])|(?P<bare>[^\s\[\]{}=,.\"'#]+)|(?P<odd>.)",
    re.DOTALL,
)
#: What ends a string, or has to be passed over, by how it begins.
_IN_STRING: Final = {
    '"': re.compile(r"\\.|[\"\n]", re.DOTALL),
    "'": re.compile(r"['\n]"),
    '"""': re.compile(r"\\.|\"{3,5}", re.DOTALL),
    "'''": re.compile(r"'{3,5}"),
}
_AT: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")
#: How much of somebody's text a message repeats.
_MAX_SHOWN: Final = 200


class TomlInvalid(ValueError):
    """A text is no TOML, or nothing that is read."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        #: Counted from 1.
        self.line = line
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    #: Of a string, what stands between its quotes.
    text: str
    line: int


def read_toml(text: str) -> dict[str, Any]:
    """Return what a text says.

    Raises:
        TomlInvalid: It is no TOML, larger than :data:`MAX_BYTES`, or nests too deep.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TomlInvalid(f"the text is larger than {MAX_BYTES // 1024} KiB")
    # What tomllib does before it counts lines.
    text = text.replace("\r\n", "\n")
    _require_shallow(text)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        reason = str(exc)
        place = _AT.search(reason)
        line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
        shown = _AT.sub("", reason)[:_MAX_SHOWN]
        raise TomlInvalid(f"this is no TOML: {shown[:1].lower()}{shown[1:]}", line) from exc
    except ValueError as exc:  # a date that there is not, an integer of a million digits
        raise TomlInvalid(f"this is no TOML: {str(exc)[:_MAX_SHOWN]}") from exc


def lines_of(text: str) -> Mapping[Path, int]:
    r"""Return the line of each field and each element of a list, of a text that was read.

    >>> lines_of('mode = "warn"\n[a]\nb.c = [\n  1,\n  {d = 2},\n]')[("a", "b", "c", 1, "d")]
    5
    """
    return _Lines(text.replace("\r\n", "\n")).found


def _require_shallow(text: str) -> None:
    depth = parts = 0
    for token in _tokens(text):
        if token.kind == "newline" or (token.kind == "mark" and token.text != "."):
            parts = 0
        if token.kind != "mark":
            continue
        if token.text == ".":
            parts += 1
        elif token.text in "[{":
            depth += 1
        elif token.text in "]}":
            depth -= 1
        if depth > _MAX_DEPTH:
            raise TomlInvalid(f"brackets nest more than {_MAX_DEPTH} levels", token.line)
        if parts >= _MAX_PARTS:
            raise TomlInvalid(f"a key has more than {_MAX_PARTS} parts", token.line)


def _tokens(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        match = _NEXT.match(text, position)
        assert match is not None, "the last alternative takes any character"
        position = match.end()
        kind = match.lastgroup
        if kind == "quote":
            end, closing = _end_of_string(text, position, match[0], line)
            inside = text[position : end - len(closing)]
            yield _Token("string", inside + closing[len(match[0]) :], line)
            line += text.count("\n", position, end)
            position = end
        elif kind == "newline":
            yield _Token("newline", "\n", line)
            line += match[0].count("\n")
        elif kind == "mark":
            yield _Token("mark", match[0], line)
        elif kind in {"bare", "odd"}:
            yield _Token("bare", match[0], line)


def _end_of_string(text: str, position: int, quote: str, line: int) -> tuple[int, str]:
    """Return where a string ends, and what ends it."""
    for found in _IN_STRING[quote].finditer(text, position):
        if found[0].startswith("\\"):
            continue
        if found[0] == "\n":
            break
        return found.end(), found[0]
    raise TomlInvalid("this is no TOML: the text that begins here has no end", line)


class _Lines:
    """Walks through the tokens of a text that ``tomllib`` has read: what is wrong was refused."""

    def __init__(self, text: str) -> None:
        self.found: dict[Path, int] = {}
        self._tokens = list(_tokens(text))
        self._at = 0
        table: Path = ()
        tables_of_list: dict[Path, int] = {}
        while token := self._peek():
            if token.kind == "newline":
                self._at += 1
            elif (token.kind, token.text) == ("mark", "["):
                self._at += 1
                is_list = self._skip("[")
                table = self._key()
                if is_list:
                    index = tables_of_list[table] = tables_of_list.get(table, -1) + 1
                    table = (*table, index)
                self.found.setdefault(table, token.line)
                self._until_newline()
            else:
                self._entry(table)
                self._until_newline()

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _skip(self, mark: str) -> bool:
        token = self._peek()
        if token is not None and (token.kind, token.text) == ("mark", mark):
            self._at += 1
            return True
        return False

    def _until_newline(self) -> None:
        while (token := self._peek()) and token.kind != "newline":
            self._at += 1

    def _key(self) -> Path:
        parts: list[str | int] = []
        while (token := self._peek()) and token.kind in {"string", "bare"}:
            parts.append(token.text)
            self._at += 1
            if not self._skip("."):
                break
        return tuple(parts)

    def _entry(self, table: Path) -> None:
        token = self._peek()
        path = (*table, *self._key())
        if token is not None:
            for end in range(len(table) + 1, len(path) + 1):
                self.found.setdefault(path[:end], token.line)
        if self._skip("="):
            self._value(path)
        else:
            self._at += 1  # never the same token again, whatever it is

    def _value(self, path: Path) -> None:
        if self._skip("["):
            index = 0
            while self._newlines() and not self._skip("]"):
                if token := self._peek():
                    self.found[*path, index] = token.line
                self._value((*path, index))
                index += 1
                self._newlines()
                self._skip(",")
        elif self._skip("{"):
            while self._newlines() and not self._skip("}"):
                self._entry(path)
                self._skip(",")
        else:
            self._at += 1
            # The rest of a number or date: up to what ends a value.
            while (token := self._peek()) and not _ends_value(token):
                self._at += 1

    def _newlines(self) -> bool:
        """Go to the next token that is none; tell whether there is one."""
        while (token := self._peek()) and token.kind == "newline":
            self._at += 1
        return token is not None


def _ends_value(token: _Token) -> bool:
    return token.kind == "newline" or (token.kind == "mark" and token.text in {",", "]", "}"})
