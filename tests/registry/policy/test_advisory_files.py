import io
import json
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest

from builder.errors import WorkerLost
from registry.errors import PolicyTextInvalid
from registry.images.processes import LocalProcesses
from registry.policy.advisory_files import AdvisoryFiles
from registry.policy.advisory_reading import SUFFIXES, Piece
from registry.policy.book import PolicyBook
from registry.policy.places import Place
from tests.registry.policy.texts import osv, osv_json

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
Result = TypeVar("Result")


class Here:
    """Does what processes would, and fails as one does that dies of a file."""

    def __init__(self, deadly: str = "") -> None:
        self._deadly = deadly
        self.pieces: list[tuple[str, ...]] = []

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        if isinstance(args[-1], Piece):
            self.pieces.append(args[-1].names)
            if self._deadly in args[-1].names:
                raise WorkerLost("a process died")
        return function(*args, **kwargs)


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


def files(path: Path, workers: Any = None) -> tuple[AdvisoryFiles, PolicyBook]:
    book = PolicyBook()
    return AdvisoryFiles(Place(path, SUFFIXES, is_deep=True), book, workers or Here()), book


def ids(book: PolicyBook) -> list[str]:
    return [advisory.id for advisory in book.advisories]


async def settle(followed: AdvisoryFiles) -> None:
    await followed.look()
    await followed.look()


async def test_documents_lists_archives_and_directories_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.json").write_bytes(osv_json("A-1"))
    (tmp_path / "deep" / "b.yaml").write_bytes(osv_json("A-2"))
    (tmp_path / "deep" / "er" / "c.json").write_text(json.dumps([osv("A-3"), osv("A-4")]))
    data = archive(x_json=osv_json("A-5"), d__y_yml=osv_json("A-6"), readme_md=b"x")
    (tmp_path / "all.zip").write_bytes(data)
    (tmp_path / "readme.md").write_text("x")
    followed, book = files(tmp_path)
    await followed.start()
    assert ids(book) == [f"A-{number}" for number in range(1, 7)]
    assert book.problems() == []


@pytest.mark.parametrize("name", ["all.zip", "one.json", "one"])
async def test_a_file_may_be_all_that_there_is(tmp_path: Path, name: str) -> None:
    data = archive(x_json=osv_json("A-1")) if name.endswith(".zip") else osv_json("A-1")
    (tmp_path / name).write_bytes(data)
    followed, book = files(tmp_path / name)
    await followed.start()
    assert ids(book) == ["A-1"]


async def test_processes_read_them(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.json").write_bytes(osv_json(f"A-{number}"))
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "all.zip").write_bytes(archive(x_json=osv_json("A-9")))
    with closing(LocalProcesses(1)) as workers:
        followed, book = files(tmp_path, workers)
        await followed.start()
    assert ids(book) == ["A-0", "A-1", "A-2", "A-3", "A-4", "A-9"]
    assert [(one.file, one.line) for one in book.problems()] == [("bad.json", 1)]


async def test_one_bad_file_or_archive_stops_no_other_and_what_it_said_holds(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.json").write_bytes(osv_json("A-1"))
    whole = archive(x_json=osv_json("A-2"), y_json=osv_json("A-3"))
    (tmp_path / "all.zip").write_bytes(whole)
    followed, book = files(tmp_path)
    await followed.start()
    (tmp_path / "a.json").write_text('{"id": "A-1", ')
    (tmp_path / "all.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.json").write_bytes(osv_json("B-1"))
    await settle(followed)
    assert ids(book) == ["A-1", "A-2", "A-3", "B-1"]
    assert [one.message for one in book.problems()] == [
        "a.json, line 1: it is not JSON: Expecting property name enclosed in double quotes",
        "all.zip: it is no zip archive, or a damaged one",
    ]
    (tmp_path / "a.json").write_bytes(osv_json("A-7"))
    (tmp_path / "all.zip").write_bytes(archive(y_json=osv_json("A-8")))
    await settle(followed)
    assert ids(book) == ["A-7", "A-8", "B-1"]
    assert book.problems() == []


async def test_one_bad_member_of_an_archive_stops_no_other_and_what_it_said_holds(
    tmp_path: Path,
) -> None:
    (tmp_path / "all.zip").write_bytes(archive(x_json=osv_json("A-1"), y_json=osv_json("A-2")))
    followed, book = files(tmp_path)
    await followed.start()
    (tmp_path / "all.zip").write_bytes(archive(x_json=b'{"id": 3}', y_json=osv_json("A-3")))
    await settle(followed)
    assert ids(book) == ["A-1", "A-3"]
    assert [one.message for one in book.problems()] == [
        "all.zip:x.json, line 1, id: text of 1 to 100 characters has to stand here"
    ]


async def test_damaged_bytes_inside_an_archive_are_told_by_their_member(tmp_path: Path) -> None:
    data = bytearray(archive(x_json=osv_json("A-1"), y_json=osv_json("A-2")))
    data[60] ^= 0xFF  # in the first member's content
    (tmp_path / "all.zip").write_bytes(bytes(data))
    followed, book = files(tmp_path)
    await followed.start()
    assert ids(book) == ["A-2"]
    assert [one.file for one in book.problems()] == ["all.zip:x.json"]


@pytest.mark.parametrize("flags", [0x01, 0x20, 0x40, 0x2000])
async def test_an_encrypted_or_patched_member_is_told_and_stops_no_other(
    tmp_path: Path, flags: int
) -> None:
    (tmp_path / "a.json").write_bytes(osv_json("A-1"))
    data = bytearray(archive(x_json=osv_json("A-2")))
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = data.index(mark) + place
        data[start : start + 2] = flags.to_bytes(2, "little")
    (tmp_path / "all.zip").write_bytes(bytes(data))
    followed, book = files(tmp_path)
    await followed.start()
    assert "A-1" in ids(book)
    assert {one.file for one in book.problems()} <= {"all.zip:x.json"}
    assert bool(book.problems()) != ("A-2" in ids(book))


async def test_a_bomb_and_an_endless_list_of_members_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.zip").write_bytes(archive(x_json=b" " * (33 << 20), y_json=osv_json("A-1")))
    end = b"PK\5\6" + b"\0" * 8 + (100 << 20).to_bytes(4, "little") + b"\0" * 6
    (tmp_path / "list.zip").write_bytes(b"PK\3\4" + b"\0" * 100 + end)
    followed, book = files(tmp_path)
    await followed.start()
    assert ids(book) == ["A-1"]
    assert [one.message for one in book.problems()] == [
        "bomb.zip:x.json: it unpacks to more than 32768 KiB",
        "list.zip: it has more than 200000 members",
    ]


async def test_a_file_that_kills_whatever_reads_it_stops_no_other(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "c.json"):
        (tmp_path / name).write_bytes(osv_json(name[0].upper()))
    workers = Here("b.json")
    followed, book = files(tmp_path, workers)
    await followed.start()
    assert ids(book) == ["A", "C"]
    assert [one.message for one in book.problems()] == [
        "b.json: whatever reads it dies, perhaps for lack of memory"
    ]
    # It kills no more of them until it changes.
    tried = len(workers.pieces)
    await settle(followed)
    assert len(workers.pieces) == tried


async def test_advisories_with_one_id_say_what_all_of_them_say(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(osv_json("A-1", aliases=["X"]))
    (tmp_path / "b.json").write_bytes(osv_json("A-1", aliases=["Y"]))
    followed, book = files(tmp_path)
    await followed.start()
    assert [one.aliases for one in book.advisories] == [("X", "Y")]
    (tmp_path / "b.json").unlink()
    await settle(followed)
    assert [one.aliases for one in book.advisories] == [("X",)]


async def test_what_a_removed_file_said_goes_and_that_of_a_replaced_one_stays(
    tmp_path: Path,
) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(osv_json(name[0].upper()))
    followed, book = files(tmp_path)
    await followed.start()
    (tmp_path / "a.json").unlink()
    (tmp_path / "b.json").unlink()
    await followed.look()
    assert ids(book) == ["A", "B"]
    (tmp_path / "b.json").write_bytes(osv_json("B"))
    await settle(followed)
    assert ids(book) == ["B"]


async def test_while_the_place_is_gone_all_holds(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.json").write_bytes(osv_json("A"))
    followed, book = files(root)
    await followed.start()
    root.rename(tmp_path / "away")
    for _ in range(3):
        await followed.look()
    assert ids(book) == ["A"]
    assert "what was holds" in book.problems()[0].message
    (tmp_path / "away").rename(root)
    await settle(followed)
    assert book.problems() == []


async def test_nothing_is_read_again_that_has_not_changed(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.json").write_bytes(osv_json(f"A-{number}"))
    workers = Here()
    followed, book = files(tmp_path, workers)
    await followed.start()
    (tmp_path / "1.json").write_bytes(osv_json("A-9"))
    seen = book.changes
    await settle(followed)
    assert workers.pieces == [("0.json", "1.json", "2.json"), ("1.json",)]
    assert book.changes == seen + 1
    # Written again, it says the same: whatever was compiled holds.
    (tmp_path / "1.json").write_bytes(osv_json("A-9") + b" ")
    await settle(followed)
    assert book.changes == seen + 1


async def test_a_place_without_advisories_is_told_and_one_that_is_missing_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "package.json").write_text('{"name": "x"}')
    followed, book = files(tmp_path)
    await followed.start()
    assert [one.reason for one in book.problems()] == [
        "there is no advisory in it about packages of conda or PyPI"
    ]
    followed, _ = files(tmp_path / "nowhere")
    with pytest.raises(PolicyTextInvalid, match="cannot be read"):
        await followed.start()


async def test_of_many_problems_the_first_are_told_and_the_number_of_the_rest(
    tmp_path: Path,
) -> None:
    (tmp_path / "all.zip").write_bytes(archive(**{f"x{n}_json": b"{" for n in range(150)}))
    followed, book = files(tmp_path)
    await followed.start()
    assert len(book.problems()) == 101
    assert any(one.reason == "50 more cannot be used" for one in book.problems())
