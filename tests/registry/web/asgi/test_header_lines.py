"""Text gets into an answer's headers by one way, which lets nothing through that ends a line."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry
from registry.web.asgi.responses import header, quoted

SOURCES = Path(registry.__file__).parent
#: Whose header lines are made otherwise, and of what: lengths and a checked request id.
OTHERS = {"web/asgi/responses.py", "web/observe.py"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "a\r\nx-injected: 1",
        "a\nb",
        "a\rb",
        "a\0b",
        "€",
        "\xff",
        "\ud800",
        "a\x7f",
        " a",
        "a ",
    ],
)
def test_what_is_no_value_is_not_sent(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be the value"):
        header("location", value)


@given(st.text())
def test_a_line_has_one_value_of_visible_characters(value: str) -> None:
    try:
        _, line = header("location", value)
    except ValueError:
        return
    assert line == value.encode("ascii")
    assert line == line.strip()
    assert all(0x20 <= byte <= 0x7E for byte in line)


@given(st.text(alphabet='ab",=\\ '))
def test_a_parameter_ends_where_its_value_does(value: str) -> None:
    text = quoted(value)
    found, rest, i = "", text[1:], 0
    while rest[i] != '"':
        i += rest[i] == "\\"
        found += rest[i]
        i += 1
    assert (found, rest[i:]) == (value, '"')


def test_no_header_line_is_made_of_text_elsewhere() -> None:
    """A pair that begins with a name in bytes is a header line: its value is written out there."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Tuple(elts=[ast.Constant(value=bytes()), ast.Constant(value=bytes())]):
                    continue
                case ast.Tuple(elts=[ast.Constant(value=bytes()), _]):
                    found.append(str(path.relative_to(SOURCES)))
    assert set(found) <= OTHERS
