r"""Changing what an ``environment.yml`` asks for, and nothing else of its text.

A form shows the lists of the file as fields. What is changed there is changed where it stands; all
other characters stay: comments, order, quotes, indents, and what no form shows. Writers of YAML
that keep comments were tried first: they indent a whole file anew if its lists are not all written
alike, as in most files.

A change is carried out in the text, and the text is read again: it must then say what was meant,
and otherwise what it said before. Where it does not, the form refuses, and nothing is lost.

>>> text = "channels: [main]\ndependencies:\n- numpy  # fast\n- pip:\n  - six\n"
>>> print(edited(text, [Change("packages", 0, "numpy >=2"), Change("packages", None, "scipy")]))
channels: [main]
dependencies:
- numpy >=2  # fast
- scipy
- pip:
  - six
<BLANKLINE>
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from builder.errors import InputError
from builder.inputs.document import Field, parse_document
from builder.lock.safe_yaml import MalformedYaml, compose

#: The lists that a form has fields for.
Part = Literal["channels", "packages", "pip", "platforms"]
PARTS: Final[tuple[Part, ...]] = ("channels", "packages", "pip", "platforms")

_KEYS: Final[Mapping[Part, str]] = {
    "channels": "channels",
    "packages": "dependencies",
    "platforms": "platforms",
}
#: What stands for nothing that could be shown, and needs not be.
_SILENT: Final = frozenset({"name", "prefix"})
#: Line breaks of YAML that editors do not know as such.
_ODD_BREAKS: Final = re.compile("[\r\x85\u2028\u2029]")
_DASH: Final = re.compile(r" *-[ \t]*")
_INDENT: Final = re.compile(r"[ ]*")
_MAX_TEXT: Final = 2000


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a form changes."""

    part: Part
    #: Which of the list; ``None``: it is added at the end.
    index: int | None
    #: What is to stand there; empty: nothing, it is taken out.
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a list."""

    text: str
    #: Counted from 1.
    line: int
    #: Whether a form can change it.
    is_plain: bool = True


@dataclass(frozen=True, slots=True)
class Outline:
    """What a form shows of a file."""

    parts: Mapping[Part, Sequence[Item]]
    #: What stands in the file besides, e.g. ``"variables"``, ``"sel(win)"``.
    others: Sequence[str] = ()

    def texts(self, part: Part) -> list[str]:
        """Return what stands in a list."""
        return [item.text for item in self.parts[part]]


def outline_of(text: str) -> Outline:
    """Return what a form shows of an ``environment.yml``.

    Raises:
        InputError: It is none, or cannot be read.
    """
    return _read(text).outline


def edited(text: str, changes: Sequence[Change]) -> str:
    """Return the text with changes, whose places are those in ``text``, carried out in order.

    Raises:
        InputError: It is no ``environment.yml``, or written so that it cannot be changed by parts.
    """
    for change in changes:
        if len(change.text) > _MAX_TEXT or not change.text.isprintable():
            raise InputError(f"an entry has 1 to {_MAX_TEXT} characters, all in one line")
    # From behind, so that the places of those before stay what they are; what is added, last.
    placed = [one for one in changes if one.index is not None]
    placed.sort(key=lambda one: (one.part, one.index), reverse=True)
    added = [one for one in changes if one.index is None and one.text]
    for change in [*placed, *added]:
        text = _carried_out(text, change)
    return text


@dataclass(slots=True)
class _File:
    """A file with the places of what it says."""

    lines: list[str]
    outline: Outline
    #: The node of each list, if there is one.
    nodes: Mapping[Part, Any]
    #: The key and value of each part of the file.
    keys: Mapping[str, tuple[Any, Any]]
    #: The elements of each list, by the numbers that the outline has.
    items: Mapping[Part, Sequence[Any]] = field(default_factory=dict)


def _read(text: str) -> _File:
    if _ODD_BREAKS.search(text.replace("\r\n", "\n")):
        raise InputError("the file has line breaks of another kind: it can be changed as text")
    text = text.replace("\r\n", "\n")
    try:
        root = compose(text)
    except MalformedYaml as exc:
        raise InputError(f"the text {exc}", line=exc.line) from exc
    if not isinstance(root, yaml.MappingNode) or text.lstrip().startswith("{"):
        raise InputError("this is no environment.yml, whose lists a form could show")
    parse_document(text)  # no key twice, no tag
    keys = {key.value: (key, value) for key, value in root.value}
    if "dependencies" not in keys:
        raise InputError("this is no environment.yml: it has no 'dependencies'")
    nodes: dict[Part, Any] = {part: keys.get(key, (None, None))[1] for part, key in _KEYS.items()}
    others = [key for key in keys if key not in {*_KEYS.values(), *_SILENT}]
    for entry in _elements(nodes["packages"]):
        if isinstance(entry, yaml.MappingNode):
            for key, value in entry.value:
                if key.value == "pip":
                    nodes["pip"] = value
                else:
                    others.append(str(key.value))
    items: dict[Part, Sequence[Any]] = {
        part: [one for one in _elements(nodes.get(part)) if isinstance(one, yaml.ScalarNode)]
        for part in PARTS
    }
    lines = text.split("\n")
    parts = {
        part: tuple(_item(node, lines, nodes[part]) for node in found)
        for part, found in items.items()
    }
    outline = Outline(parts, tuple(dict.fromkeys(others)))
    return _File(lines, outline, nodes, keys, items)


def _item(node: Any, lines: Sequence[str], parent: Any) -> Item:
    start = node.start_mark
    is_line = start.line == node.end_mark.line and node.style not in {"|", ">"}
    is_line = is_line and node.value.isprintable()  # no field of a form holds anything else
    dash = _DASH.fullmatch(lines[start.line][: start.column])
    return Item(node.value, start.line + 1, is_line and bool(parent.flow_style or dash))


def _elements(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value


def _carried_out(text: str, change: Change) -> str:
    """Return the text with one change, which must say what was meant then."""
    before = _read(text)
    wanted = {part: before.outline.texts(part) for part in PARTS}
    if change.index is None:
        wanted[change.part].append(change.text)
        changed = _with_added(before, change.part, change.text)
    else:
        items = before.outline.parts[change.part]
        if change.index >= len(items):
            raise InputError("the file was changed meanwhile: what was to be changed is gone")
        if change.text and items[change.index].text == change.text:
            return text
        if not items[change.index].is_plain:
            raise _refusal(items[change.index].line)
        if change.text:
            wanted[change.part][change.index] = change.text
            _replace(before, change.part, change.index, change.text)
        else:
            del wanted[change.part][change.index]
            _remove(before, change.part, change.index)
        changed = "\n".join(before.lines)
    try:
        after = _read(changed)
    except InputError as exc:
        raise _refusal() from exc
    is_meant = all(after.outline.texts(part) == wanted[part] for part in PARTS)
    if not is_meant or _others(changed) != _others(text):
        raise _refusal()
    return changed


def _refusal(line: int | None = None) -> InputError:
    return InputError(
        "this is written in a way that the form cannot change: change it as text", line=line
    )


def _others(text: str) -> list[tuple[str, object]]:
    """Return all that a file says but for the lists of the form."""

    def plain(value: Field) -> object:
        if value.kind == "list":
            return [plain(one) for one in value.elements]
        if value.kind == "mapping":
            return [(key, plain(one)) for key, one in value.entries]
        return value.kind, value.written

    found: list[tuple[str, object]] = []
    for key, value in parse_document(text).entries:
        if key == "dependencies":
            for one in value.elements:
                found += [(k, plain(v)) for k, v in one.entries if k != "pip"]
        elif key not in _KEYS.values():
            found.append((key, plain(value)))
    return found


def _replace(file: _File, part: Part, index: int, text: str) -> None:
    node = file.items[part][index]
    line, is_flow = node.start_mark.line, bool(file.nodes[part].flow_style)
    written = file.lines[line]
    start, end = node.start_mark.column, node.end_mark.column
    blank = " " if written[:start].endswith("-") else ""
    file.lines[line] = written[:start] + blank + _scalar(text, is_flow=is_flow) + written[end:]


def _remove(file: _File, part: Part, index: int) -> None:
    node, parent = file.items[part][index], file.nodes[part]
    if not parent.flow_style:
        del file.lines[node.start_mark.line]
        return
    place = parent.value.index(node)
    start, end = node.start_mark, node.end_mark
    if place + 1 < len(parent.value):
        end = parent.value[place + 1].start_mark
    elif place > 0:
        start = parent.value[place - 1].end_mark
    first, last = file.lines[start.line], file.lines[end.line]
    if "#" in "\n".join(file.lines[start.line : end.line + 1]) and start.line != end.line:
        raise _refusal(node.start_mark.line + 1)
    file.lines[start.line : end.line + 1] = [first[: start.column] + last[end.column :]]


def _with_added(file: _File, part: Part, text: str) -> str:
    node, lines = file.nodes.get(part), file.lines
    if isinstance(node, yaml.SequenceNode) and node.flow_style:
        _add_to_flow(file, node, _scalar(text, is_flow=True))
    elif isinstance(node, yaml.SequenceNode):
        _add_to_block(file, part, f"- {_scalar(text)}")
    elif part == "pip":
        return _with_pip(file, text)
    elif part in {"channels", "platforms"} and _KEYS[part] not in file.keys:
        at = file.keys["dependencies"][0].start_mark.line
        lines[at:at] = [f"{_KEYS[part]}:", f"  - {_scalar(text)}"]
    elif node is not None and node.tag.endswith(":null") and not node.value:
        at = file.keys[_KEYS[part]][0].start_mark.line
        lines.insert(at + 1, f"  - {_scalar(text)}")
    else:
        raise _refusal()
    return "\n".join(lines)


def _add_to_flow(file: _File, node: Any, written: str) -> None:
    if node.value:
        last = node.value[-1].end_mark
        line = file.lines[last.line]
        file.lines[last.line] = f"{line[: last.column]}, {written}{line[last.column :]}"
        return
    start = node.start_mark
    line = file.lines[start.line]
    file.lines[start.line] = f"{line[: start.column + 1]}{written}{line[start.column + 1 :]}"


def _add_to_block(file: _File, part: Part, written: str) -> None:
    """Add a line behind the last that is alike; a section of other things stays behind them."""
    node, items = file.nodes[part], file.items[part]
    first = node.value[0].start_mark.line
    indent = _INDENT.match(file.lines[first])
    after = items[-1].end_mark.line + 1 if items else first
    file.lines.insert(after, f"{indent[0] if indent else ''}{written}")


def _with_pip(file: _File, text: str) -> str:
    """Return the text with a section for PyPI at the end of the dependencies."""
    node, lines = file.nodes["packages"], file.lines
    for entry in _elements(node):
        if isinstance(entry, yaml.MappingNode):
            for key, value in entry.value:
                if key.value == "pip" and not isinstance(value, yaml.SequenceNode):
                    indent = " " * (key.start_mark.column + 2)
                    lines.insert(key.start_mark.line + 1, f"{indent}- {_scalar(text)}")
                    return "\n".join(lines)
    section = ["pip:", f"    - {_scalar(text)}"]
    if not isinstance(node, yaml.SequenceNode):
        if node.value:
            raise _refusal()
        at = file.keys["dependencies"][0].start_mark.line + 1
        lines[at:at] = [f"  - {section[0]}", f"  {section[1]}"]
        return "\n".join(lines)
    if node.flow_style:
        _add_to_flow(file, node, f"{{pip: [{_scalar(text, is_flow=True)}]}}")
        return "\n".join(lines)
    first, last = node.value[0].start_mark.line, _last_line(node)
    match = _INDENT.match(lines[first])
    indent = match[0] if match else ""
    lines[last + 1 : last + 1] = [f"{indent}- {section[0]}", f"{indent}{section[1]}"]
    return "\n".join(lines)


def _last_line(node: Any) -> int:
    """Return the line in which the last scalar of a node ends."""
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    line: int = node.end_mark.line
    return line


def _scalar(text: str, *, is_flow: bool = False) -> str:
    """Return text as YAML: as it is where that means the same, else in quotes."""
    sample = f"[{text}, x]" if is_flow else f"- {text}\n"
    try:
        node = compose(sample)
    except MalformedYaml:
        node = None
    plain = list(_elements(node))[:1]
    if plain and isinstance(plain[0], yaml.ScalarNode) and len(node.value) == 1 + is_flow:
        one = plain[0]
        if one.value == text and one.tag == "tag:yaml.org,2002:str" and not one.style:
            return text
    if "'" not in text:
        return f"'{text}'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
