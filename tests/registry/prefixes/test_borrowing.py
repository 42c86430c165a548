"""Packages that another root of the machine has are taken over."""

import os
from pathlib import Path

import pytest

from builder.install.prefix.installation import InstallationPlan
from registry.prefixes.borrowing import borrow
from registry.prefixes.packages import PackageDirectory
from registry.prefixes.passing import VersionFiles
from registry.prefixes.root import Root
from tests.registry.prefixes.shelf import OPTIONS, Shelf, Threads, hello, keep, names_in, tool

pytestmark = pytest.mark.anyio


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.put("a/env", 1, tool(), hello())
    return shelf


async def plan_of(shelf: Shelf) -> InstallationPlan:
    return await shelf.installation(shelf.versions["a", "env", 1], "linux-64")


def here(path: Path) -> PackageDirectory:
    root = Root(path, OPTIONS)
    root.open()
    return PackageDirectory(root, Threads())


async def test_what_is_taken_over_is_not_fetched_and_is_the_same(
    tmp_path: Path, shelf: Shelf
) -> None:
    other = keep(tmp_path / "other", shelf)
    await other.sync()
    shelf.asked.clear()
    packages, plan = here(tmp_path / "root"), await plan_of(shelf)
    async with packages.root.locked(shared=True):
        assert await borrow(packages, plan, other.path) == 2
        assert await borrow(packages, plan, other.path) == 0
    files = VersionFiles(shelf, shelf.versions["a", "env", 1])
    assert await packages.ensure(plan, files) == 0
    assert list(shelf.asked) == ["installation"]
    assert names_in(packages.path / ".making") == []
    for name in map(plan.name_of, plan.packages):
        theirs, mine = other.root.packages / name, packages.path / name
        found = sorted(path.relative_to(theirs) for path in theirs.rglob("*"))
        assert found == sorted(path.relative_to(mine) for path in mine.rglob("*"))
        for path in found:
            one, two = (theirs / path).lstat(), (mine / path).lstat()
            assert (one.st_mode, one.st_size) == (two.st_mode, two.st_size), path
            if (theirs / path).is_file():
                assert (theirs / path).read_bytes() == (mine / path).read_bytes()


async def test_what_is_no_root_or_no_whole_package_is_passed_over(
    tmp_path: Path, shelf: Shelf
) -> None:
    other = keep(tmp_path / "other", shelf)
    await other.sync()
    plan = await plan_of(shelf)
    broken, lacking = (other.root.packages / plan.name_of(one) for one in plan.packages)
    (broken / "package.json").chmod(0o644)
    (broken / "package.json").write_text("{")
    for path in (*lacking.rglob("*.py"), *lacking.glob("parts/*")):
        path.unlink()
    packages = here(tmp_path / "root")
    async with packages.root.locked(shared=True):
        for path in (other.path, tmp_path / "none", tmp_path):
            assert await borrow(packages, plan, path) == 0
    assert names_in(packages.path / ".making") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_one_may_not_read_is_passed_over(tmp_path: Path, shelf: Shelf) -> None:
    other = keep(tmp_path / "other", shelf)
    await other.sync()
    other.root.packages.chmod(0)
    packages, plan = here(tmp_path / "root"), await plan_of(shelf)
    async with packages.root.locked(shared=True):
        assert await borrow(packages, plan, other.path) == 0
