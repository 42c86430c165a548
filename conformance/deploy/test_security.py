"""``docs/security.md`` and ``SECURITY.md``: promises have tests, and links lead somewhere."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from conformance.clients.server import ROOT

MODEL = ROOT / "docs" / "security.md"
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


def promises() -> list[str]:
    """Return the rows of the tables of promises."""
    text = MODEL.read_text(encoding="utf-8")
    part = text.partition("\n## What is promised\n")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    return [row for row in rows if row != "| promised | by |"]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of all functions of a module, those of classes too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("row", promises(), ids=lambda row: row.split("|")[1].strip())
def test_a_promise_is_held_by_tests_that_there_are(row: str) -> None:
    """A test that was renamed or deleted takes no promise with it unseen."""
    _, promise, by, _ = row.split("|")
    assert promise.strip().endswith(".")
    named = _TEST.findall(by)
    assert named
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == by.strip()
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name.startswith("test_")
        assert name in functions_of(ROOT / path), f"{path} has no {name}"


def test_there_are_promises() -> None:
    """The tables are found at all."""
    assert len(promises()) > 40


@pytest.mark.parametrize("path", [MODEL, ROOT / "SECURITY.md"], ids=lambda path: str(path.name))
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file, and to a heading of it."""
    for target, heading in _LINK.findall(path.read_text(encoding="utf-8")):
        other = path if not target else (path.parent / target).resolve()
        assert other.exists(), target
        if heading:
            lines = other.read_text(encoding="utf-8").splitlines()
            assert heading in {_anchor(line) for line in lines if line.startswith("#")}, heading


def _anchor(heading: str) -> str:
    """Return what hosts of repositories make of a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower())
    return words.replace(" ", "-")
