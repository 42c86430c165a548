import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from conda_package_handling import api as handling
from rattler_build import Package

from conformance.channel import recipes
from conformance.channel.recipes import RecipeJob, build_recipes
from conformance.channel.specials import RECIPES, RECIPES_WITH_ENVIRONMENTS


def build(folder: Path, *jobs: RecipeJob) -> dict[str, Path]:
    build_recipes(jobs, folder)
    return {path.name: path for path in sorted(folder.rglob("*.conda"))}


def information(package: Path, folder: Path, name: str) -> Any:
    handling.extract(str(package), str(folder))
    return json.loads((folder / "info" / name).read_bytes())


def test_every_recipe_is_one_that_the_channel_is_made_of() -> None:
    with_inputs = {"bzip2-tools", "ca-certificates", "mutexes", "python_abi", "tzdata"}
    found = {path.parent.name for path in recipes.RECIPES.glob("*/recipe.yaml")}
    assert found == {*RECIPES, *RECIPES_WITH_ENVIRONMENTS, *with_inputs}


def test_versions_are_as_old_as_their_recipe_says(tmp_path: Path) -> None:
    built = build(tmp_path, RecipeJob("multi"))
    days = {name: Package.from_file(path).timestamp for name, path in built.items()}
    assert {name: str(day) for name, day in days.items()} == {
        "multi-1.0-0.conda": "2020-09-13 12:26:40+00:00",
        "multi-1.1-0.conda": "2022-04-15 05:20:00+00:00",
        "multi-2.0-0.conda": "2024-01-01 00:00:00+00:00",
        "multi-2.1rc1-0.conda": "2024-02-28 04:00:00+00:00",
    }


def test_a_recipe_gives_the_same_bytes_again(tmp_path: Path) -> None:
    jobs = (RecipeJob("proj"), RecipeJob("shebangdemo"))
    sums = [
        {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in build(tmp_path / folder, *jobs).items()
        }
        for folder in "ab"
    ]
    assert len(sums[0]) == 2
    assert sums[0] == sums[1]


def test_a_library_has_what_its_users_are_built_with_and_its_licence(tmp_path: Path) -> None:
    (package,) = build(tmp_path, RecipeJob("proj")).values()
    exports = information(package, tmp_path / "root", "run_exports.json")
    assert exports == {"weak": ["proj >=9.4.0,<9.5.0a0"]}
    assert (tmp_path / "root/info/licenses/LICENSE").exists()
    assert (tmp_path / "root/info/tests/tests.yaml").exists()
    assert (tmp_path / "root/etc/conda/activate.d/proj4-activate.sh").exists()


def test_a_recipe_is_built_for_other_platforms_too(tmp_path: Path) -> None:
    built = build(tmp_path, RecipeJob("mutexes", "linux-aarch64"))
    assert [path.parent.name for path in built.values()] == ["linux-aarch64"]


def test_inputs_are_files_that_the_recipe_finds(tmp_path: Path) -> None:
    job = RecipeJob(
        "ca-certificates",
        variants={"version": ["2026.1"], "published": ["2026-01-02T00:00:00Z"]},
        inputs={"2026.1/cacert.pem": b"-----BEGIN\n", "2026.1/LICENSE": b"MPL\n"},
    )
    (package,) = build(tmp_path, job).values()
    handling.extract(str(package), str(tmp_path / "root"))
    assert (tmp_path / "root/ssl/cert.pem").read_bytes() == b"-----BEGIN\n"
    assert (tmp_path / "root/info/licenses/LICENSE").read_bytes() == b"MPL\n"


def test_a_folder_of_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = tmp_path / "workshop"
    monkeypatch.setattr(recipes, "WORKSHOP", workshop)
    workshop.write_text("cannot be removed as a folder")
    with pytest.raises(RuntimeError, match=f"another user left {workshop}"):
        build_recipes([RecipeJob("proj")], tmp_path / "channel")
