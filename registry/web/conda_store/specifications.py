"""What clients of conda-store send to have an environment built: read as they mean it.

Its interface joins a text of YAML with lines that it does not quote::

    channels: …
    description: Ada's: the first # and best
    name: forecast
    prefix: null

so a description may be anything, also ``undefined``, and in several lines. What is kept is the part
before, with the name; the description is the environment's. Of an environment without variables it
sends a list of none.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from builder.errors import InputError
from builder.inputs.document import Field, parse_document
from builder.lock.block_yaml import dump

#: What a script writes for something that there is not.
_UNDEFINED: Final = "undefined"
#: A line that begins so is not of a description that nobody has quoted.
_KEYS: Final = ("category:", "channels:", "dependencies:", "platforms:", "variables:")
_NO_VARIABLES: Final = "variables: []"
_LOCK: Final = frozenset({"package", "metadata"})


@dataclass(frozen=True, slots=True)
class SentSpecification:
    """What is to be built, and what it is called."""

    name: str
    #: ``None``: nothing is said of it.
    description: str | None
    #: What the version is asked for by.
    data: bytes


@dataclass(frozen=True, slots=True)
class Defaults:
    """What stands for what a specification leaves empty; empty itself: nothing."""

    channels: Sequence[str] = ()
    packages: Sequence[str] = ()
    pip: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.channels or self.packages or self.pip)


def read_specification(text: str) -> SentSpecification:
    r"""Return what an ``environment.yml`` asks for, with a name and perhaps a description.

    >>> sent = read_specification(
    ...     "dependencies:\n- zlib\ndescription: a: b\nname: x\nprefix: null"
    ... )
    >>> sent.name, sent.description, sent.data
    ('x', 'a: b', b'dependencies:\n- zlib\nname: "x"\n')

    Raises:
        InputError: It is none, or has no name.
    """
    text = text.replace("\r\n", "\n")
    _encoded(text)
    mended = _mended(text)
    body, description = mended if mended is not None else (text, None)
    entries = _mapping(parse_document(body))
    if "name" not in entries:
        advice = (
            "send a lock file with 'is_lockfile': true and its 'environment_name'"
            if entries.keys() >= _LOCK
            else "write one, such as 'name: forecast'"
        )
        raise InputError(f"the specification has no name: {advice}")
    if mended is None and "description" in entries:
        description = _said(entries["description"])
    return SentSpecification(entries["name"].scalar(), description, _encoded(body))


def read_lockfile(text: str, name: str, description: str | None) -> SentSpecification:
    """Return what a lock file of conda-lock asks for.

    It may leave its version out, as the API of conda-store gives it.

    Raises:
        InputError: It is no such file.
    """
    entries = _mapping(parse_document(text))
    if not entries.keys() >= _LOCK:
        raise InputError(
            "this is no lock file of conda-lock, which has 'metadata' and 'package': send what"
            " 'conda-lock lock' writes"
        )
    data = _encoded(text)
    if entries.get("version", _NOTHING).kind == "nothing":
        data = dump({**{key: _plain(value) for key, value in entries.items()}, "version": 1})
    if description == _UNDEFINED:
        description = None
    return SentSpecification(name, description, data)


def completed(data: bytes, defaults: Defaults) -> bytes:
    r"""Return an ``environment.yml`` with what settings say where it says nothing.

    Args:
        data: The file; it was read before.
        defaults: What settings say.

    >>> completed(b"name: x\ndependencies: []\n", Defaults(packages=["zlib"])).decode()
    'name: x\ndependencies:\n- zlib\n'
    """
    entries = _mapping(parse_document(data.decode()))
    wanted = entries.get("dependencies", _NOTHING).list()
    sections = [key for one in wanted if one.kind == "mapping" for key, _ in one.entries]
    added: dict[str, Any] = {}
    if defaults.channels and not entries.get("channels", _NOTHING).list():
        added["channels"] = list(defaults.channels)
    dependencies: list[Any] = [_plain(one) for one in wanted]
    more: list[Any] = [] if wanted else list(defaults.packages)
    if defaults.pip and "pip" not in sections:
        more.append({"pip": list(defaults.pip)})
    if more:
        added["dependencies"] = [*dependencies, *more]
    if not added:
        return data
    kept = {key: _plain(value) for key, value in entries.items() if key not in added}
    return dump({**kept, **added})


def _mended(text: str) -> tuple[str, str | None] | None:
    """Return the part before the lines that conda-store's interface adds, and the description.

    Returns:
        ``None`` if the text does not end with such lines.
    """
    lines = text.rstrip().split("\n")
    starts = [at for at, line in enumerate(lines[:-2]) if line.startswith("description:")]
    if len(lines) < 4 or not starts or lines[-1].split() != ["prefix:", "null"]:
        return None
    told = lines[starts[0] : -2]
    if not lines[-2].startswith("name:") or any(line.startswith(_KEYS) for line in told):
        return None
    name = lines[-2].removeprefix("name:").strip()
    if name[:1] not in {"'", '"'}:
        name = json.dumps(name, ensure_ascii=False)
    kept = [line for line in lines[: starts[0]] if line != _NO_VARIABLES]
    body = "\n".join([*kept, f"name: {name}", ""])
    return body, _meant("\n".join(told).removeprefix("description:").strip())


def _meant(written: str) -> str | None:
    """Return what a description says that perhaps nobody has quoted.

    >>> _meant("undefined"), _meant("'a ''b'''"), _meant("'it's'"), _meant("a # b")
    (None, "a 'b'", "it's", 'a # b')
    """
    if written == _UNDEFINED:
        return None
    rest = written.split("\n")[1:]
    if written[:1] in {"'", '"', "|", ">"} or (rest and all(line[:1] == " " for line in rest)):
        try:
            field = dict(parse_document(f"description: {written}").entries)
        except InputError:
            field = {}
        if field.keys() == {"description"} and field["description"].kind == "text":
            return field["description"].written.rstrip("\n")
    if len(written) > 1 and written[0] == written[-1] == "'":
        return written[1:-1]
    return written


def _said(field: Field) -> str | None:
    if field.kind in {"list", "mapping"}:
        raise field.error("a description is text: write it in quotes")
    is_nothing = field.kind == "nothing" or field.written == _UNDEFINED
    return None if is_nothing else field.written.rstrip("\n")


def _mapping(document: Field) -> dict[str, Field]:
    if document.kind != "mapping":
        raise InputError(
            "the specification is no mapping: write 'name:', 'channels:' and 'dependencies:', as in"
            " an environment.yml"
        )
    return document.mapping()


def _plain(field: Field) -> Any:
    """Return a value as Python has it; a number as the text that is written."""
    match field.kind:
        case "mapping":
            return {key: _plain(value) for key, value in field.entries}
        case "list":
            return [_plain(value) for value in field.elements]
        case "nothing":
            return None
        case "boolean":
            return field.written.lower() in {"true", "yes", "on"}
        case "number":
            return int(field.written) if field.written.isdecimal() else field.written
        case _:
            return field.written


def _encoded(text: str) -> bytes:
    """Return text as bytes.

    Raises:
        InputError: It has characters that are none.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InputError("the specification has characters that are none: send UTF-8") from exc


_NOTHING: Final = Field("nothing")
