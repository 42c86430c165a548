import os
from pathlib import Path

import pytest

from registry.errors import PolicyTextInvalid
from registry.policy.book import PolicyBook
from registry.policy.files import PolicyFiles
from registry.policy.places import Place
from tests.registry.policy.texts import EVERYTHING

pytestmark = pytest.mark.anyio


def denying(spec: str) -> str:
    return f'[packages]\ndenied = ["{spec}"]'


def denied(book: PolicyBook) -> list[str]:
    return [rule.spec for rule in book.rules(None).denied]


def files(directory: Path) -> tuple[PolicyFiles, PolicyBook]:
    book = PolicyBook()
    return PolicyFiles(Place(directory, (".toml",)), book), book


async def settle(followed: PolicyFiles) -> None:
    """Look as often as it takes for a change to be taken."""
    await followed.look()
    await followed.look()


async def test_each_file_is_the_policy_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "company.toml").write_text(EVERYTHING)
    (tmp_path / "b.toml").write_text(denying("b"))
    (tmp_path / "readme.md").write_text("x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.toml").write_text(denying("c"))
    followed, book = files(tmp_path)
    await followed.start()
    assert [one.name for one in book.policies()] == ["b", "company"]
    assert book.problems() == []


async def test_changes_hold_after_two_looks(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(denying("a"))
    followed, book = files(tmp_path)
    await followed.start()
    (tmp_path / "a.toml").write_text(denying("a2"))
    (tmp_path / "b.toml").write_text(denying("b"))
    await followed.look()
    assert denied(book) == ["a"]
    await followed.look()
    assert denied(book) == ["a2", "b"]
    seen = book.changes
    await settle(followed)
    assert book.changes == seen


async def test_a_file_that_is_written_slowly_holds_when_it_is_whole(tmp_path: Path) -> None:
    whole = denying("a") + '\n[licences]\ndenied = ["GPL-3.0-*"]\n'
    (tmp_path / "a.toml").write_text(whole)
    followed, book = files(tmp_path)
    await followed.start()
    for end in range(0, len(whole), 7):
        (tmp_path / "a.toml").write_text(whole[:end])
        await followed.look()
        assert denied(book) == ["a"]
        assert book.rules(None).licences


async def test_a_bad_file_changes_nothing_and_its_problem_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(denying("a"))
    (tmp_path / "b.toml").write_text(denying("b"))
    followed, book = files(tmp_path)
    await followed.start()
    for bad in (
        '[packages]\n\ndenied = ["<<"]',
        "a.b." * 20_000,
        "x = " + "[" * 300,
        "x" * 300_000,
    ):
        (tmp_path / "a.toml").write_text(bad)
        (tmp_path / "b.toml").write_text(denying("b") + f" # {len(bad)}")
        await settle(followed)
        assert denied(book) == ["a", "b"]
        assert book.policies()[1].text.endswith(f"# {len(bad)}")
        assert [one.file for one in book.problems()] == ["a.toml"]
    (tmp_path / "a.toml").write_bytes(b"description = '\xff'")
    await settle(followed)
    assert [one.message for one in book.problems()] == ["a.toml, line 1: it is not text in UTF-8"]
    (tmp_path / "a.toml").write_text(denying("a2"))
    await settle(followed)
    assert denied(book) == ["a2", "b"]
    assert book.problems() == []


async def test_what_takes_the_place_of_a_file_and_is_none_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "out.toml").write_text("")
    (root / "a.toml").write_text(denying("a"))
    followed, book = files(root)
    await followed.start()
    for target in (None, "../out.toml", "/dev/zero"):
        (root / "a.toml").unlink()
        if target is None:
            os.mkfifo(root / "a.toml")
        else:
            (root / "a.toml").symlink_to(target)
        for _ in range(3):
            await followed.look()
        assert denied(book) == ["a"]
        assert [one.file for one in book.problems()] == ["a.toml"]


async def test_a_file_that_is_removed_goes_and_one_that_is_replaced_does_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.toml").write_text(denying("a"))
    (tmp_path / "b.toml").write_text(denying("b"))
    followed, book = files(tmp_path)
    await followed.start()
    (tmp_path / "a.toml").unlink()
    (tmp_path / "b.toml").unlink()
    await followed.look()
    assert denied(book) == ["a", "b"]
    (tmp_path / "b.toml").write_text(denying("b2"))
    await followed.look()
    assert denied(book) == ["b"]
    await followed.look()
    assert denied(book) == ["b2"]


async def test_while_the_directory_is_gone_all_holds(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.toml").write_text(denying("a"))
    followed, book = files(root)
    await followed.start()
    root.rename(tmp_path / "away")
    for _ in range(3):
        await followed.look()
    assert denied(book) == ["a"]
    assert [one.message for one in book.problems()] == [
        f"{root}: it cannot be read (No such file or directory); what was holds"
    ]
    (tmp_path / "away").rename(root)
    await settle(followed)
    assert book.problems() == []


async def test_a_server_does_not_start_with_a_bad_file_or_without_the_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.toml").write_text('mode = "x"')
    followed, _ = files(tmp_path)
    with pytest.raises(PolicyTextInvalid, match=r"a\.toml, line 1, mode"):
        await followed.start()
    followed, _ = files(tmp_path / "nowhere")
    with pytest.raises(PolicyTextInvalid, match="cannot be read"):
        await followed.start()


async def test_a_file_with_the_name_of_namespaces_own_policies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("")
    followed, _ = files(tmp_path)
    with pytest.raises(PolicyTextInvalid, match="'own' is no name of a policy"):
        await followed.start()
