import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.policy.reading import MAX_BYTES, TomlInvalid, lines_of, read_toml
from tests.registry.policy.texts import EVERYTHING


def test_a_text_says_what_tomllib_reads_of_it() -> None:
    assert read_toml(EVERYTHING) == tomllib.loads(EVERYTHING)
    assert read_toml(EVERYTHING.replace("\n", "\r\n")) == tomllib.loads(EVERYTHING)


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("a = 1\nb = {", "this is no TOML", 2),
        ("a = 1\n\nb = 'x", "this is no TOML: the text that begins here has no end", 3),
        ('a = """x\n\ny', "this is no TOML: the text that begins here has no end", 1),
        ("a = 1\nx.1." + "a." * 20 + "b = 1", "a key has more than 8 parts", 2),
        ("\na = " + "[" * 9 + "]" * 9, "brackets nest more than 8 levels", 2),
        ("a = 1\na = 2", "this is no TOML: cannot overwrite a value", 2),
        ("[a]\n[a]", "this is no TOML", 2),
        ("a = 1979-99-99", "this is no TOML", 1),
        ("a = " + "9" * 5000, "this is no TOML", None),
        ("# " + "x" * MAX_BYTES, "the text is larger than 256 KiB", None),
        ("\0", "this is no TOML", 1),
    ],
)
def test_what_is_no_toml_is_refused_by_its_line(text: str, reason: str, line: int | None) -> None:
    with pytest.raises(TomlInvalid) as caught:
        read_toml(text)
    assert str(caught.value).startswith(reason)
    assert caught.value.line == line
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "a." * 20_000 + "b = 1",
        "[" + "a." * 20_000 + "b]",
        "a = " + "[" * 300 + "]" * 300,
        "a = " + "{a=" * 300,
        "a = [" + "[]," * 80_000 + "]",
        'a = "' + "\\n" * 120_000 + '"',
        'a = """' + '\\"""' * 60_000,
        "'" * 250_000,
        '"' * 250_000,
        "a = '''" + "''\n" * 80_000,
        "=" * 250_000,
        "a=1\n" * 60_000,
        "".join(f"[a{n}]\n" for n in range(30_000)),
        "\n" * 250_000,
        "a = {" + "b=1," * 60_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_made_to_take_long_is_read_or_refused_at_once(text: str) -> None:
    # The processor's time: whatever else this machine does.
    started = time.thread_time()
    try:
        read_toml(text)
    except TomlInvalid:
        pass
    else:
        lines_of(text)
    assert time.thread_time() - started < 5


def test_each_field_and_element_has_its_line() -> None:
    lines = lines_of(EVERYTHING)
    rows = EVERYTHING.split("\n")
    for path, within in {
        ("mode",): "mode =",
        ("channels",): "[channels]",
        ("channels", "only_in", "bioconda", 0): "only_in =",
        ("packages", "denied", 0): '"openssl <3.0.8"',
        ("packages", "denied", 1, "reason"): "withdrawn",
        ("packages", "denied", 2, "manager"): "pypi",
        ("packages", "required", 1, "if"): "required =",
        ("limits", "size"): "size =",
    }.items():
        assert within in rows[lines[path] - 1], path


def test_quoted_keys_arrays_of_tables_and_texts_of_several_lines_are_counted() -> None:
    text = '"a.b".c = """\n[x]\n"""\n[[t]]\nd = 1.5\n[[t]]\n# e\nd = [1979-05-27 07:32:00,\n\n2]\n'
    assert tomllib.loads(text)
    lines = lines_of(text)
    assert lines["a.b", "c"] == 1
    assert lines["t", 0] == 4
    assert lines["t", 0, "d"] == 5
    assert lines["t", 1, "d"] == 8
    assert lines["t", 1, "d", 1] == 10
    assert ("x",) not in lines


@given(st.text(alphabet="ab.=[]{}\"'\\\n #,1", max_size=60))
def test_whatever_tomllib_reads_has_lines(text: str) -> None:
    try:
        read = read_toml(text)
    except TomlInvalid:
        return
    lines = lines_of(text)
    for key in read:
        assert (key,) in lines or "\\" in text, (key, lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
