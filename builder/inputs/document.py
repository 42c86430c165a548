"""YAML or JSON as values that know where they stand, so that every refusal can name the place."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from builder.errors import InputError
from builder.lock.safe_yaml import MalformedYaml, compose, most_values

#: How deep JSON may nest; YAML has a bound of its own.
_MAX_DEPTH: Final = 20
_MAX_TEXT: Final = 2000
_MAX_ITEMS: Final = 20_000

Kind = Literal["text", "number", "boolean", "nothing", "list", "mapping"]

_KINDS: Final[Mapping[str, Kind]] = {
    "str": "text",
    # What only YAML takes for something else than text.
    "timestamp": "text",
    "merge": "text",
    "value": "text",
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "null": "nothing",
    "seq": "list",
    "map": "mapping",
}
#: What PyYAML calls a node of that kind; any other is a scalar.
_SHAPES: Final[Mapping[Kind, str]] = {"list": "sequence", "mapping": "mapping"}
_SCALARS: Final[frozenset[Kind]] = frozenset({"text", "number", "boolean"})
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a document."""

    kind: Kind
    #: As it is written, of anything but a list and a mapping: ``1.10`` stays ``"1.10"``.
    written: str = ""
    #: Of a list.
    elements: "tuple[Field, ...]" = ()
    #: Of a mapping, in the order of the file.
    entries: "tuple[tuple[str, Field], ...]" = ()
    #: Where it stands, e.g. ``"dependencies[3].pip[0]"``; ``""`` for the whole.
    path: str = ""
    #: Counted from 1; JSON has none.
    line: int | None = None

    @property
    def _words(self) -> str:
        return self.kind if self.kind in {"text", "nothing"} else f"a {self.kind}"

    def error(self, reason: str) -> InputError:
        """Return the error that names this place."""
        return InputError(reason, self.path or None, self.line)

    def mapping(self) -> "dict[str, Field]":
        """Return the values by key; ``null`` has none.

        Raises:
            InputError: It is not a mapping.
        """
        if self.kind not in {"mapping", "nothing"}:
            raise self.error(f"{self._words} stands where a mapping is expected")
        return dict(self.entries)

    def present(self) -> "dict[str, Field]":
        """Return the values by key without those that are ``null``, as programs leave things out.

        Raises:
            InputError: It is not a mapping.
        """
        return {key: value for key, value in self.mapping().items() if value.kind != "nothing"}

    def only(self, known: frozenset[str]) -> "dict[str, Field]":
        """Return the values by key, of which there are only ``known`` ones.

        Raises:
            InputError: It is not a mapping, or has another key.
        """
        for key, value in self.mapping().items():
            if key not in known:
                raise value.error(
                    f"'{key[:60]}' is not known here: write {', '.join(sorted(known))}"
                )
        return self.mapping()

    def list(self, most: int = _MAX_ITEMS) -> "tuple[Field, ...]":
        """Return the elements; ``null`` has none.

        Raises:
            InputError: It is not a list, or longer than ``most``.
        """
        if self.kind not in {"list", "nothing"}:
            raise self.error(f"{self._words} stands where a list is expected")
        if len(self.elements) > most:
            raise self.error(f"the list has {len(self.elements)} items, and {most} are allowed")
        return self.elements

    def scalar(self) -> str:
        """Return text, or a number or truth value as it is written.

        For files that programs write: what YAML 1.1 takes for a number need not be quoted in 1.2.

        Raises:
            InputError: It is none of these, or as :meth:`text`.
        """
        return replace(self, kind="text").text() if self.kind in _SCALARS else self.text()

    def text(self) -> str:
        """Return the text, which can be printed in one line.

        Raises:
            InputError: It is not text, is empty, too long, or has unprintable characters.
        """
        if self.kind != "text":
            raise self.error(f"{self._words} stands where text is expected")
        if not self.written or len(self.written) > _MAX_TEXT:
            raise self.error(
                f"the text has {len(self.written)} characters, and 1 to {_MAX_TEXT} may be"
            )
        if not self.written.isprintable():
            raise self.error("the text has characters that cannot be printed")
        return self.written


def parse_document(text: str) -> Field:
    """Return the one value that YAML or JSON in ``text`` holds.

    A key that stands twice in a mapping is refused, as are aliases and tags of YAML.

    Raises:
        InputError: It is neither, nests too deep, or has too many values.
    """
    if text.lstrip().startswith("{"):
        if sum(text.count(mark) for mark in ",[{") > most_values(text):
            raise InputError("the text has more values than one of its size may have")
        try:
            content = json.loads(
                text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number
            )
        except (ValueError, RecursionError):
            # YAML has the same braces, and can say in which line it ends to be YAML.
            pass
        else:
            return _of_json(content, "", 0)
    try:
        node = compose(text)
    except MalformedYaml as exc:
        raise InputError(f"the text {exc}", line=exc.line) from exc
    if node is None:
        raise InputError("the text is empty")
    return _of_yaml(node, "")


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object of JSON with all its keys."""

    __slots__ = ()


class _Number(str):
    """A number of JSON as it is written."""

    __slots__ = ()


def _of_json(value: Any, path: str, depth: int) -> Field:
    if depth > _MAX_DEPTH:
        raise InputError(f"the text nests more than {_MAX_DEPTH} levels", path[:100])
    match value:
        case _Pairs():
            entries = ((key, _of_json(item, _join(path, key), depth + 1)) for key, item in value)
            return Field("mapping", entries=_unique(entries), path=path)
        case list():
            elements = (_of_json(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value))
            return Field("list", elements=tuple(elements), path=path)
        case bool():
            return Field("boolean", str(value).lower(), path=path)
        case None:
            return Field("nothing", path=path)
        case _Number() | float():
            return Field("number", str(value), path=path)
        case _:
            return Field("text", value, path=path)


def _of_yaml(node: Any, path: str) -> Field:
    line = node.start_mark.line + 1
    kind = _KINDS.get(node.tag.removeprefix(_TAG))
    if kind is None or node.id != _SHAPES.get(kind, "scalar"):
        raise InputError(f"the YAML tag '{str(node.tag)[:60]}' is not allowed", path or None, line)
    if kind == "list":
        elements = (_of_yaml(child, f"{path}[{i}]") for i, child in enumerate(node.value))
        return Field(kind, elements=tuple(elements), path=path, line=line)
    if kind == "mapping":
        entries = ((_key(key, path), value) for key, value in node.value)
        read = ((key, _of_yaml(value, _join(path, key))) for key, value in entries)
        return Field(kind, entries=_unique(read), path=path, line=line)
    return Field(kind, node.value, path=path, line=line)


def _key(node: Any, path: str) -> str:
    if not isinstance(node.value, str):
        raise InputError("a key is not text", path or None, node.start_mark.line + 1)
    return node.value


def _unique(entries: Iterator[tuple[str, Field]]) -> tuple[tuple[str, Field], ...]:
    seen: dict[str, Field] = {}
    for key, value in entries:
        if key in seen:
            raise value.error("the key stands here for the second time")
        seen[key] = value
    return tuple(seen.items())


def _join(path: str, key: str) -> str:
    """Return the path of an entry; a key that would make an error unreadable is cut."""
    shown = key[:60] if key.isprintable() else repr(key[:60])
    return f"{path}.{shown}" if path else shown
