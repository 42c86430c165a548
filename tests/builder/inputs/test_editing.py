"""Changing an ``environment.yml`` by parts: everything else stays as it is, to the character."""

import difflib
import os
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.inputs.editing import PARTS, Change, edited, outline_of
from builder.inputs.places import place_of

#: As people write them: each has other indents, comments, and things that no form shows.
FILES = {
    "four blanks": (
        "# how to use it:\n#   $ conda env create\nname: geo\nchannels:\n    - conda-forge\n"
        "dependencies:\n    # required\n    - fiona>=1.7\n    - pandas>=0.23.4\n\n"
        "    # testing\n    - mock>=1.0.1   # not needed for python >= 3.3\n\n    # style\n"
        "    - black\n"
    ),
    "a section of pip, indented otherwise": (
        "name: ldm\nchannels:\n  - pytorch\n  - defaults\ndependencies:\n  - python>=3.9\n"
        "  - pip=20.3\n  - pip:\n    - six==1.0\n    - -e git+https://x.example/a.git@main#egg=a\n"
        "    - jax # no way from conda\n"
    ),
    "selectors between packages": (
        "channels:\n  - conda-forge\ndependencies:\n  - cmake >=3.16\n  - sel(win): winreg\n"
        "  # tests\n  - catch2\n  - sel(win): menuinst\n  - sel(unix):\n    - bash\n"
    ),
    "variables and a prefix": (
        "name: a\ndependencies:\n- 'numpy >=1.26'\n- \"scipy\"\n- libblas=*=*openblas  # no MKL\n"
        "variables:\n  THREADS: '4'   # of OpenMP\n  EMPTY: ''\nprefix: C:\\Users\\a\\envs\\b\n"
    ),
    "lists in one line": "channels: [main, other]\ndependencies: [a, b >=1, {pip: [six, x]}]\n",
    "a list over lines": "dependencies: [a,\n  b,\n  c]\nplatforms: [linux-64]\n",
    "nothing at its end": "channels:\n  - main\ndependencies:\n  - a\n  - b    ",
    "an entry of nothing": "dependencies:\n  - \n  -\n  - python=3.12\n",
    "no list yet": "name: x\nchannels: []\ndependencies:\n",
}
WORDS = ("numpy >=2,<3", "", "a: b #c", "x[version='>=1']", "-e .", "'q'", "é", "yes", "1.10")


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_every_entry_can_be_changed_and_taken_out_and_its_line_alone_changes(text: str) -> None:
    outline = outline_of(text)
    for part in PARTS:
        for number, item in enumerate(outline.parts[part]):
            for word in WORDS:
                changed = edited(text, [Change(part, number, word)])
                wanted = outline.texts(part)
                wanted[number : number + 1] = [word] if word else []
                assert outline_of(changed).texts(part) == wanted
                assert _changed_lines(text, changed) <= 3, (item, word, changed)
                assert not item.text or edited(text, [Change(part, number, item.text)]) == text


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("part", PARTS)
def test_an_entry_is_added_behind_those_that_there_are(text: str, part: str) -> None:
    (this,) = (one for one in PARTS if one == part)
    for word in filter(None, WORDS):
        changed = edited(text, [Change(this, None, word)])
        assert outline_of(changed).texts(this) == [*outline_of(text).texts(this), word]
        assert _changed_lines(text, changed) <= 3, changed


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_all_can_be_taken_out_and_put_back_and_what_no_form_shows_survives(text: str) -> None:
    outline = outline_of(text)
    out = [
        Change(part, number, "") for part in PARTS for number, _ in enumerate(outline.parts[part])
    ]
    back = [Change(part, None, word) for part in PARTS for word in outline.texts(part)]
    empty = edited(text, out)
    assert outline_of(empty).others == outline.others
    again = outline_of(edited(empty, back))
    assert {part: again.texts(part) for part in PARTS} == {
        part: list(filter(None, outline.texts(part))) for part in PARTS
    }
    for line in text.splitlines():
        if line.strip().startswith("#"):
            assert line in empty


def test_several_changes_mean_the_places_of_the_text_that_was_shown() -> None:
    text = FILES["four blanks"]
    changes = [
        Change("packages", 1, "pandas >=2"),
        Change("packages", 0, ""),
        Change("packages", None, "shapely"),
        Change("channels", 0, "main"),
    ]
    changed = outline_of(edited(text, changes))
    assert changed.texts("packages") == ["pandas >=2", "mock>=1.0.1", "black", "shapely"]
    assert changed.texts("channels") == ["main"]


@pytest.mark.parametrize(
    "text",
    [
        "dependencies:\n  -\n    numpy\n",
        "dependencies:\n  - >\n    numpy\n  - a\n",
        'dependencies:\n  - "numpy\n    >=2"\n',
        'dependencies:\n  - "numpy\\n>=2"\n',
    ],
)
def test_what_is_written_oddly_is_shown_and_left_as_it_is(text: str) -> None:
    item = outline_of(text).parts["packages"][0]
    assert not item.is_plain
    with pytest.raises(InputError, match="change it as text"):
        edited(text, [Change("packages", 0, "scipy")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "name: x\n",
        '{"specs": ["numpy"]}',
        "dependencies: &a [x]\nchannels: *a\n",
        "dependencies:\n  - a\ndependencies:\n  - b\n",
        "dependencies: [",
        "dependencies:\n- a\u2028- b\n",
    ],
)
def test_what_is_no_environment_file_has_no_form(text: str) -> None:
    with pytest.raises(InputError):
        outline_of(text)


@pytest.mark.parametrize("word", ["a\nb", "a\x00", "x" * 3000])
def test_an_entry_is_one_line(word: str) -> None:
    with pytest.raises(InputError, match="one line"):
        edited(FILES["four blanks"], [Change("packages", 0, word)])


def test_what_a_solver_says_is_about_a_line_of_the_file() -> None:
    text = FILES["a section of pip, indented otherwise"].encode()
    assert place_of(text, "python >=3.9 needs what pip 20.3 excludes") == ("dependencies[0]", 6)
    assert place_of(text, "'six' is wanted twice") == ("dependencies[2].pip[0]", 9)
    assert place_of(text, "nothing of it is named") is None
    assert place_of(b"\xff", "python") is None
    assert place_of(b'{"specs": ["numpy >=2"]}', "no package 'NumPy'") == ("specs[0]", None)


def test_files_of_others_keep_all_that_is_not_changed() -> None:
    place = os.environ.get("INPUTS_OF_OTHERS")
    if place is None:
        pytest.skip("INPUTS_OF_OTHERS names no directory")
    found = [path for path in Path(place).rglob("*environment*.y*ml") if path.is_file()]
    for path in found:
        text = path.read_text().replace("\r\n", "\n")
        try:
            outline = outline_of(text)
        except InputError:
            continue
        for part in PARTS:
            for number, item in enumerate(outline.parts[part]):
                if item.is_plain:
                    changed = edited(text, [Change(part, number, "zzz =1")])
                    assert _changed_lines(text, changed) <= 2, path


def _changed_lines(before: str, after: str) -> int:
    """Return how many lines came or went."""
    lines = difflib.ndiff(before.split("\n"), after.split("\n"))
    return sum(line[0] in "+-" for line in lines)
