"""YAML of unknown origin: refused where reading it could exhaust memory or the stack."""

from typing import Any, Final

import yaml

#: The largest lock files that are known have 10 MB.
MAX_BYTES: Final = 64 * 1024 * 1024

#: A conda-lock file nests five levels; libyaml recurses on the C stack.
_MAX_DEPTH: Final = 20

#: Each value costs about a kilobyte while it is read. A lock file has one for each 24 bytes.
_BYTES_PER_VALUE: Final = 12
_FREE_VALUES: Final = 1000

#: libyaml compares each of these directives with all before it; hardly any file has one.
_TAG_DIRECTIVE: Final = "%TAG"
_MAX_TAG_DIRECTIVES: Final = 8

#: Written in C where PyYAML was built with libyaml: ten times faster.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class MalformedYaml(ValueError):
    """Text is refused; the message continues a sentence that begins with what the text is."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        #: Where, counted from 1, if it can be said.
        self.line = line
        super().__init__(reason)


def load(data: bytes) -> Any:
    """Return the one document in ``data`` as plain values.

    Raises:
        MalformedYaml: It is not YAML, too large, too deep, or uses aliases: a few lines of those
            can stand for billions of values.
    """
    if len(data) > MAX_BYTES:
        raise MalformedYaml(f"has {len(data)} bytes, and {MAX_BYTES} are allowed")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise MalformedYaml("is not text in UTF-8", line) from exc
    return _read(text, yaml.load)


def compose(text: str) -> Any:
    """Return the one document in ``text`` as PyYAML's nodes, which know their lines.

    ``None`` stands for no document at all. Nothing is constructed, whatever tags say.

    Raises:
        MalformedYaml: It is not YAML, too deep, or uses aliases.
    """
    return _read(text, yaml.compose)


def most_values(text: str) -> int:
    """Return how many values a text of that length may hold: each takes memory while it is read."""
    return len(text) // _BYTES_PER_VALUE + _FREE_VALUES


def _read(text: str, reader: Any) -> Any:
    try:
        _check_events(text)
        return reader(text, Loader=_LOADER)
    except MalformedYaml:
        raise
    except (yaml.YAMLError, ValueError) as exc:
        raise MalformedYaml(f"is not YAML: {_reason(exc)[:200]}", _line(exc)) from exc


def _check_events(text: str) -> None:
    if text.count(_TAG_DIRECTIVE) > _MAX_TAG_DIRECTIVES:
        raise MalformedYaml("declares YAML tags, which are not allowed")
    documents = depth = values = 0
    most = most_values(text)
    for event in yaml.parse(text, Loader=_LOADER):
        if type(event) is yaml.ScalarEvent and values < most:  # nearly all of them
            values += 1
            continue
        line = event.start_mark.line + 1
        match event:
            case yaml.AliasEvent():
                raise MalformedYaml("uses YAML aliases, which are not allowed", line)
            case yaml.DocumentStartEvent():
                documents += 1
            case yaml.CollectionEndEvent():
                depth -= 1
            case yaml.CollectionStartEvent():
                depth, values = depth + 1, values + 1
            case yaml.ScalarEvent():
                values += 1
        if documents > 1:
            raise MalformedYaml("holds more than one YAML document", line)
        if depth > _MAX_DEPTH:
            raise MalformedYaml(f"nests more than {_MAX_DEPTH} levels", line)
        if values > most:
            raise MalformedYaml("has more values than a file of its size may have", line)


def _reason(error: Exception) -> str:
    r"""Return what YAML's own error says, without the place, which is told beside it.

    >>> try:
    ...     yaml.load("a: [b\nc: d", Loader=_LOADER)
    ... except yaml.YAMLError as exc:
    ...     _reason(exc)
    "did not find expected ',' or ']' while parsing a flow sequence that begins in line 1"
    """
    problem, context = getattr(error, "problem", None), getattr(error, "context", None)
    if not problem:
        return " ".join(str(error).split()).partition(' in "<unicode string>"')[0]
    if not context:
        return str(problem)
    begin = getattr(error, "context_mark", None)
    if begin is not None and begin.line + 1 != _line(error):
        return f"{problem} {context} that begins in line {begin.line + 1}"
    return f"{problem} {context}"


def _line(error: Exception) -> int | None:
    """Return where YAML's own error says it is."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark else None
