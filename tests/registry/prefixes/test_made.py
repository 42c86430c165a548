"""What a root has made is known by what is written down, whatever happened to that."""

from pathlib import Path

import pytest

from registry.prefixes import made as written
from registry.prefixes.made import FILE, forget, note_package, note_prefix, read_made


def test_lines_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    assert read_made(tmp_path).size_bytes == 0
    note_package(tmp_path, "one", 5)
    with (tmp_path / FILE).open("a") as file:
        file.write('{"package": "half", "by')
    note_prefix(tmp_path, "builds/x", 7, 11, 0)
    with (tmp_path / FILE).open("a") as file:
        file.write('[1]\n"text"\n{"bytes": null}\n' + "[" * 10_000)
    note_package(tmp_path, "two", 3)
    made = read_made(tmp_path)
    assert made.prefixes == {"builds/x": (7, 11)}
    assert made.packages == {"one": 5, "two": 3}
    assert made.size_bytes == 19


def test_what_is_gone_is_left_out_when_there_is_much_of_it(tmp_path: Path) -> None:
    note_package(tmp_path, "stays", 5)
    for number in range(600):
        note_prefix(tmp_path, f"builds/{number}", number, 1, 0)
    made = read_made(tmp_path)
    forget(tmp_path, made, {"builds/599"}, {"stays"})
    assert (made.prefixes, made.packages) == ({"builds/599": (599, 1)}, {"stays": 5})
    size = (tmp_path / FILE).stat().st_size
    assert read_made(tmp_path) == made
    assert size < 300


def test_a_package_is_believed_until_the_machine_starts_anew_or_for_ever_after_a_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start"
    monkeypatch.setattr(written, "_START_ID", start)
    start.write_text("first\n")
    note_package(tmp_path, "early", 1)
    lines = read_made(tmp_path).lines
    note_package(tmp_path, "meanwhile", 1)
    note_prefix(tmp_path, "builds/x", 1, 1, lines)
    assert read_made(tmp_path).sound == {"early", "meanwhile"}
    start.write_text("second\n")
    assert read_made(tmp_path).sound == {"early"}
    for number in range(600):
        note_prefix(tmp_path, f"builds/{number}", number, 1, 0)
    forget(tmp_path, read_made(tmp_path), {"builds/x"}, {"early", "meanwhile"})
    assert read_made(tmp_path).sound == {"early"}
    start.unlink()
    assert read_made(tmp_path).sound == {"early"}
