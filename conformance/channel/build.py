"""The whole channel of a tier, and the base image."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from conformance.channel.base_image import BASE_DEBS, write_base_image
from conformance.channel.check import check_dependencies
from conformance.channel.debs import ARCHITECTURES, Debs, fetch_debs
from conformance.channel.elf import patchelf
from conformance.channel.index import index_channel
from conformance.channel.interpreter import (
    Interpreter,
    debian_python,
    find_interpreters,
    python_package,
)
from conformance.channel.libraries import Libraries, upstream_version
from conformance.channel.packing import pack
from conformance.channel.progress import step
from conformance.channel.recipes import RecipeJob, build_recipes
from conformance.channel.requirement import Translation
from conformance.channel.specials import (
    RECIPES,
    RECIPES_WITH_ENVIRONMENTS,
    data_recipes,
    special_packages,
)
from conformance.channel.wheel_cache import fetch_wheels, wheel_path
from conformance.channel.wheel_lock import Tier, Wheel, conda_names, read_lock
from conformance.channel.wheels import WheelJob, extra_packages, read_metadata, wheel_package
from conformance.channel.writer import Package

#: The Python of the other architecture, and its libraries.
_PYTHON_DEBS = (
    "libcrypt1", "libffi8", "liblzma5", "libncursesw6",
    "libpython3.11-minimal", "libpython3.11-stdlib", "libreadline8", "libreadline8t64",
    "libsqlite3-0", "libssl3", "libssl3t64", "libtinfo6", "libuuid1", "python3.11-minimal",
    "zlib1g",
)  # fmt: skip
#: Needed by wheels, on every architecture; here too they may not be installed.
_COMPILER_DEBS = ("bzip2", "libbz2-1.0", "libexpat1", "libgcc-s1", "libgomp1", "libstdc++6")
#: Packaged whether or not Python needs them.
_LIBRARIES = (
    "libbz2.so.1.0", "libexpat.so.1", "libgcc_s.so.1", "libgomp.so.1", "libstdc++.so.6",
)  # fmt: skip
_TRIPLETS = {"linux-64": "x86_64-linux-gnu", "linux-aarch64": "aarch64-linux-gnu"}


@dataclass(frozen=True)
class Sources:
    """Everything that the tier is made of, on this machine."""

    tier: Tier
    wheels: list[Wheel]
    #: By minor version: those of the lock that this machine has.
    interpreters: dict[str, Interpreter]
    #: Subdir → packages of the base image.
    base_debs: dict[str, Debs]
    #: Subdir → packages that python and libraries are taken from.
    library_debs: dict[str, Debs]
    cache: Path


def gather_sources(tier: Tier, cache: Path) -> Sources:
    """Find the interpreters and fetch the Debian packages; wheels are fetched by `build_channel`.

    Raises:
        RuntimeError: the machine has none of the Python versions that wheels are pinned for.
    """
    wheels = read_lock(tier)
    locked = {wheel.python for wheel in wheels if wheel.python and wheel.subdir == "linux-64"}
    interpreters = find_interpreters(sorted(locked))
    if not interpreters:
        wanted = " or ".join(sorted(locked))
        raise RuntimeError(f"the channel is made of an installed Python {wanted}: there is none")
    if tier == "demo":
        # One Python is enough; of several, the one that runs this.
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        minor = running if running in interpreters else next(iter(interpreters))
        interpreters = {minor: interpreters[minor]}
        wheels = [wheel for wheel in wheels if wheel.python in {None, minor}]
    subdirs = ["linux-64"] if tier == "demo" else list(ARCHITECTURES)
    base = {s: fetch_debs(ARCHITECTURES[s], BASE_DEBS, cache) for s in subdirs}
    library = {"linux-64": fetch_debs("amd64", _COMPILER_DEBS, cache)}
    if any(wheel.subdir == "linux-aarch64" for wheel in wheels):
        library["linux-aarch64"] = fetch_debs("arm64", _PYTHON_DEBS + _COMPILER_DEBS, cache)
    return Sources(tier, wheels, interpreters, base, library, cache)


def build_channel(sources: Sources, channel: Path, base: Path) -> None:
    """Make the channel and the base image; both folders must not exist yet.

    Raises:
        RuntimeError: a package of the channel needs one that the channel does not have.
    """
    channel.mkdir(parents=True)
    with step(f"fetch {len(sources.wheels)} wheels"):
        fetch_wheels(sources.wheels, sources.cache)
    # Not forked: whoever asks may have threads of rattler's, and what they hold stays locked.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        try:
            _build_packages(sources, channel, base, pool)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    with step("index"):
        index_channel(channel)
    if sources.tier != "demo":
        with step("build recipes that need the channel"):
            jobs = [RecipeJob(name) for name in RECIPES_WITH_ENVIRONMENTS]
            build_recipes(jobs, channel, with_environments=True)
            index_channel(channel, only_new=True)
    check_dependencies(channel)


def _build_packages(sources: Sources, channel: Path, base: Path, pool: ProcessPoolExecutor) -> None:
    image = pool.submit(write_base_image, sources.base_debs, base)
    recipes = pool.submit(build_recipes, recipe_jobs(sources), channel)
    jobs = list(_wheel_jobs(sources))
    # The largest first, so that none is left alone on one core at the end.
    jobs.sort(key=lambda job: job.path.stat().st_size, reverse=True)
    done = [pool.submit(_package_wheel, job, channel) for job in jobs]
    with step("package Python and its libraries"):
        for python in _python_packages(sources):
            pack(python, channel)
        _write_others(sources, jobs, channel)
    with step(f"make {len(jobs)} packages of wheels"):
        for future in done:
            future.result()
    with step("build the recipes"):
        recipes.result()
    with step("make the base image"):
        image.result()


def recipe_jobs(sources: Sources) -> list[RecipeJob]:
    """The recipes of the tier, and what they are built of."""
    wheels = [(w, wheel_path(w, sources.cache)) for w in sources.wheels]
    jobs = [
        RecipeJob("python_abi", variants={"abi": list(sources.interpreters)}),
        *data_recipes(wheels),
        *(RecipeJob("mutexes", subdir) for subdir in sources.library_debs),
    ]
    if sources.tier != "demo":
        program = sources.library_debs["linux-64"].read("bzip2", "bin/bzip2")
        inputs = {"bzip2": program, "patchelf": Path(patchelf()).read_bytes()}
        jobs += [RecipeJob(name) for name in RECIPES]
        jobs.append(RecipeJob("bzip2-tools", inputs=inputs))
    return jobs


def _wheel_jobs(sources: Sources) -> Iterable[WheelJob]:
    """A job per package: a noarch one, or one for each Python that an arch wheel is for."""
    pythons = {
        "linux-64": list(sources.interpreters),
        # One Debian suite has one Python.
        "linux-aarch64": ["3.11"] if _has_aarch64(sources) else [],
    }
    for wheel in sources.wheels:
        path = wheel_path(wheel, sources.cache)
        everywhere = tuple(sources.interpreters)
        if wheel.is_pure:
            yield WheelJob(wheel, path, None, None, everywhere, "noarch")
            continue
        for python in pythons[wheel.subdir]:
            if wheel.python not in {None, python} or not _reaches(wheel, python):
                continue
            interpreter = sources.interpreters.get(python)
            program = interpreter.program if interpreter else None
            yield WheelJob(wheel, path, python, program, everywhere, wheel.subdir)


def _reaches(wheel: Wheel, python: str) -> bool:
    """Whether the Python is new enough for a stable-ABI wheel."""
    return int(python.partition(".")[2]) >= int(wheel.least_python.partition(".")[2])


def _package_wheel(job: WheelJob, channel: Path) -> None:
    pack(wheel_package(job, Translation(conda_names())), channel)


def _has_aarch64(sources: Sources) -> bool:
    debs = sources.library_debs.get("linux-aarch64")
    return debs is not None and "python3.11-minimal" in debs.versions


def _python_packages(sources: Sources) -> Iterable[Package]:
    """`python` for every subdir, and the packages of the libraries that it needs."""
    for subdir, debs in sources.library_debs.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            versions = debs.unpack(root)
            unpacked = [
                root / f"usr/lib/{_TRIPLETS[subdir]}",
                root / f"lib/{_TRIPLETS[subdir]}",
            ]
            if subdir == "linux-64":
                libraries = Libraries(subdir, [*_library_folders(), *unpacked], versions)
                for interpreter in sources.interpreters.values():
                    yield python_package(interpreter, libraries)
            else:
                libraries = Libraries(subdir, unpacked, versions)
                if _has_aarch64(sources):
                    version = upstream_version(debs.versions["python3.11-minimal"])
                    compiler = sources.interpreters.get("3.11")
                    yield debian_python(root, version, libraries, compiler)
            for soname in _LIBRARIES:
                libraries.add(soname)
            yield from libraries.packages()


def _library_folders() -> list[Path]:
    """Where this machine's linker looks, as it says itself."""
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', os.defpath)}:/sbin")
    folders: dict[Path, None] = {}
    if ldconfig:
        command = [ldconfig, "-p"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            if "x86-64" in line and " => " in line:
                folders[Path(line.rpartition(" => ")[2]).parent] = None
    return list(folders) or [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")]


def _write_others(sources: Sources, jobs: Sequence[WheelJob], channel: Path) -> None:
    """Packages that stand for extras, metapackages and special cases."""
    translation = Translation(conda_names())
    paths = {job.wheel: job.path for job in jobs if job.subdir != "linux-aarch64"}
    metadata = [(wheel, read_metadata(path)) for wheel, path in paths.items()]
    pythons = tuple(sources.interpreters)
    packages = extra_packages(metadata, translation, pythons)
    packages += special_packages()
    packages += _metapackages(metadata, translation)
    for package in packages:
        pack(package, channel)


def _metapackages(
    metadata: Iterable[tuple[Wheel, object]], translation: Translation
) -> list[Package]:
    """`matplotlib`, which on conda-forge is `matplotlib-base` and a name for it."""
    packages = {
        wheel.version: Package(
            wheel.name,
            wheel.version,
            depends=(f"{translation.name(wheel.name)} =={wheel.version}",),
            timestamp_ms=wheel.timestamp_ms,
        )
        for wheel, _ in metadata
        if translation.name(wheel.name) == f"{wheel.name}-base"
    }
    return list(packages.values())
