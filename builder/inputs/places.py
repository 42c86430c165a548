"""Where in a file a package is asked for: what a solver says has no line of its own."""

import re
from collections.abc import Iterator
from contextlib import suppress

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as PipRequirement
from packaging.utils import canonicalize_name

from builder.errors import InputError
from builder.inputs.document import Field, parse_document
from builder.rules.match_spec import parse_match_spec

#: What an error names as something of PyPI or of conda.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*[A-Za-z0-9_]|[A-Za-z0-9_]")


def place_of(data: bytes, sentence: str) -> tuple[str, int | None] | None:
    r"""Return field and line of the package that a sentence names first; ``None``: of none.

    >>> place_of(b"dependencies:\n- python\n- numppy\n", "no package 'numppy' in main")
    ('dependencies[1]', 3)

    Args:
        data: An environment file, or a request in JSON.
        sentence: Why it cannot be had.
    """
    places: dict[str, Field] = {}
    with suppress(InputError, UnicodeDecodeError):
        for name, field in _wanted(parse_document(data.decode("utf-8-sig"))):
            places.setdefault(name, field)
    for match in _WORD.finditer(sentence):
        for name in (match[0].lower(), canonicalize_name(match[0])):
            if name in places:
                return places[name].path, places[name].line
    return None


def _wanted(document: Field) -> Iterator[tuple[str, Field]]:
    """Yield the names of all packages that are asked for, with their places."""
    for key, field in document.entries:
        if key in {"dependencies", "specs"}:
            yield from _of_conda(field)
        elif key == "pip":
            yield from _of_pypi(field)


def _of_conda(field: Field) -> Iterator[tuple[str, Field]]:
    for element in field.elements:
        if element.kind == "text":
            with suppress(ValueError):
                yield parse_match_spec(element.written).name, element
        for key, section in element.entries:
            yield from _of_pypi(section) if key == "pip" else _of_conda(section)


def _of_pypi(field: Field) -> Iterator[tuple[str, Field]]:
    for element in field.elements:
        if element.kind == "text":
            with suppress(InvalidRequirement):
                yield canonicalize_name(PipRequirement(element.written).name), element
