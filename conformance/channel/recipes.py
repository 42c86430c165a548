"""Packages built by rattler-build from the recipes in `recipes/`.

rattler-build takes the time of the clock for the age of what it builds, and the folder that it
works in is part of every file with a prefix. So that two channels are the same bytes, everything is
built below one folder, and every package is built twice: the second time by rattler-build's own
`rebuild`, which repeats a build with the time that is written in the package. Between the two, that
time is set to the recipe's `extra.published`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from conda_package_handling import api as handling
from rattler_build import Package, Stage0Recipe, VariantConfig
from rattler_build.render import ContextValue, RenderConfig, RenderedVariant
from rattler_build.tool_config import PlatformConfig, ToolConfiguration

RECIPES = Path(__file__).parent / "recipes"
#: Part of the packages, and therefore the same for everybody.
WORKSHOP = Path("/tmp/pullforge-recipes")
_PUBLISHED = "2020-01-01T00:00:00Z"
#: rattler-build asks the machine for these and writes them down.
_MACHINE = {
    "CONDA_OVERRIDE_ARCHSPEC": "x86_64",
    "CONDA_OVERRIDE_CUDA": "",
    "CONDA_OVERRIDE_GLIBC": "2.36",
    "CONDA_OVERRIDE_LINUX": "6.1",
    # Its cache goes by names: another channel's package of the same name is not ours.
    "RATTLER_CACHE_DIR": str(WORKSHOP / "cache"),
}


@dataclass(frozen=True)
class RecipeJob:
    """One recipe, and what it is built with; can be sent to another process."""

    #: Its folder's name in `recipes/`.
    name: str
    subdir: str = "linux-64"
    #: Key → values, zipped: the n-th variant has the n-th value of each. Else those of the
    #: recipe's own `variants.yaml`.
    variants: Mapping[str, list[str]] = field(default_factory=dict)
    #: Path below the folder that the recipe knows as `inputs` → content of the file.
    inputs: Mapping[str, bytes] = field(default_factory=dict)


def build_recipes(
    jobs: Iterable[RecipeJob], channel: Path, *, with_environments: bool = False
) -> None:
    """Build every recipe, and put what comes of it into the channel.

    Args:
        jobs: The recipes, and what they are built of.
        channel: Its folder.
        with_environments: Build in environments of the channel's packages, which has to be indexed,
            and run the tests of what was built in others; else recipes can need nothing.

    Raises:
        RuntimeError: the folder that all builds use belongs to another user.
        rattler_build.RattlerBuildError: a recipe or its script is wrong.
    """
    with mock.patch.dict(os.environ, _MACHINE):
        for job in jobs:
            with _workshop() as folder:
                # A link, since its address is written down too.
                (folder / "channel").symlink_to(channel.resolve())
                for variant in _render(job, folder):
                    _build(variant, folder, channel, with_environments=with_environments)


def _render(job: RecipeJob, folder: Path) -> list[RenderedVariant]:
    """The variants of the recipe, of which a copy is used: its place is written down too."""
    recipe = folder / "recipe"
    shutil.copytree(RECIPES / job.name, recipe)
    for name, data in job.inputs.items():
        path = folder / "inputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
    own = recipe / "variants.yaml"
    if job.variants:
        zipped = [list(job.variants)] if len(job.variants) > 1 else None
        config = VariantConfig(dict(job.variants), zip_keys=zipped)
    elif own.exists():
        config = VariantConfig.from_file(own)
    else:
        config = VariantConfig()
    platform = PlatformConfig(target_platform=job.subdir, build_platform="linux-64")
    context: dict[str, ContextValue] = {"inputs": str(folder / "inputs")}
    return Stage0Recipe.from_file(recipe / "recipe.yaml").render(
        config, RenderConfig(platform=platform, extra_context=context)
    )


def _build(
    variant: RenderedVariant, folder: Path, channel: Path, *, with_environments: bool
) -> Path:
    built = variant.run_build(
        output_dir=folder / "output",
        channels=[(folder / "channel").as_uri()] if with_environments else [],
        no_build_id=True,
        package_format="conda:3",
        tool_config=ToolConfiguration(test_strategy="native" if with_environments else "skip"),
    )
    extra: dict[str, Any] = variant.recipe.to_dict().get("extra") or {}
    first = _published(built.packages[0], extra.get("published") or _PUBLISHED, folder)
    shutil.rmtree(folder / "output" / "bld")
    again = Package.from_file(first).rebuild(test="skip", output_dir=folder / "again")
    target = channel / built.packages[0].parent.name / first.name
    target.parent.mkdir(parents=True, exist_ok=True)
    # Copied beside its place first: the file appears whole.
    part = target.with_name(target.name + ".part")
    shutil.copyfile(again.rebuilt_path, part)
    shutil.rmtree(folder / "output")
    return part.replace(target)


def _published(package: Path, when: str, folder: Path) -> Path:
    """The package with another time written down: what `rebuild` starts from."""
    root, repacked = folder / "unpacked", folder / "repacked" / package.name
    handling.extract(str(package), str(root))
    rendered = root / "info/recipe/rendered_recipe.yaml"
    text, count = re.subn(r"(?m)^  timestamp: .*$", f"  timestamp: {when}", rendered.read_text())
    assert count == 1, "rattler-build writes the time elsewhere now"
    rendered.write_text(text)
    repacked.parent.mkdir(exist_ok=True)
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    handling.create(str(root), names, repacked.name, str(repacked.parent), compression_level=1)
    shutil.rmtree(root)
    return repacked


@contextmanager
def _workshop() -> Iterator[Path]:
    """The folder of all builds, empty, for one build at a time on a machine."""
    lock = WORKSHOP.with_suffix(".lock")
    if not lock.exists():
        # World-writable folders refuse to open another user's file with O_CREAT.
        with tempfile.NamedTemporaryFile(dir=lock.parent) as file:
            Path(file.name).chmod(0o644)
            with suppress(FileExistsError):
                lock.hardlink_to(file.name)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if WORKSHOP.exists():
                shutil.rmtree(WORKSHOP)
            WORKSHOP.mkdir(mode=0o700)
        except OSError as error:
            raise RuntimeError(f"another user left {WORKSHOP}: it has to be removed") from error
        try:
            yield WORKSHOP
        finally:
            shutil.rmtree(WORKSHOP)
