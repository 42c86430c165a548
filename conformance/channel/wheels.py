"""Wheels → conda packages."""

from __future__ import annotations

import configparser
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

from conformance.channel.build_string import with_build
from conformance.channel.bytecode import compile_entries
from conformance.channel.elf import glibc_floor, is_elf, rpath, with_rpath
from conformance.channel.requirement import Translation
from conformance.channel.wheel_lock import Wheel
from conformance.channel.writer import PLACEHOLDER, Entry, Package

#: Files of `.dist-info` that are licences; PEP 639 has put them into a folder of their own.
_LICENSE = re.compile(
    r"[^/]+\.dist-info/(licenses/.*|(LICEN[CS]E|COPYING|NOTICE)[^/]*)", re.IGNORECASE
)
_SCRIPT = """\
#!{placeholder}/bin/python{python}
import re
import sys

from {module} import {imported}

if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw?|\\.exe)?$", "", sys.argv[0])
    sys.exit({function}())
"""


@dataclass(frozen=True, slots=True)
class WheelJob:
    """One package to be made of a wheel; can be sent to another process."""

    wheel: Wheel
    path: Path
    #: Minor version of an arch package; `None` for noarch.
    python: str | None
    #: Program of that version that can run here, for `.pyc` files.
    compiler: Path | None
    #: All minor versions of the channel.
    pythons: tuple[str, ...]
    subdir: str


def read_metadata(path: Path) -> Message:
    """`METADATA` of the wheel."""
    with zipfile.ZipFile(path) as archive:
        return _metadata(archive)


def wheel_package(job: WheelJob, translation: Translation) -> Package:
    """The conda package of a wheel.

    Like conda-forge's: no `RECORD`, `INSTALLER` says conda, arch packages have scripts and compiled
    modules and find the prefix's libraries, noarch packages have neither scripts nor `.pyc` files.
    """
    with zipfile.ZipFile(job.path) as archive:
        metadata = _metadata(archive)
        entries = list(_entries(archive, job))
        entry_points = _entry_points(archive)
        licenses = _licenses(archive)
    depends = translation.depends(metadata, job.subdir, [job.python] if job.python else job.pythons)
    if job.python is None:
        template = "pyh{hash}_0"
        supported = (metadata["Requires-Python"] or ">=3.8").replace(" ", "")
        depends.append(f"python {supported}")
    else:
        template = f"py{job.python.replace('.', '')}h{{hash}}_0"
        depends += _arch_depends(job.python, entries)
        entries += [_script(point, job.python) for point in entry_points]
        if job.compiler is not None:
            entries += compile_entries(job.compiler, entries, job.wheel.timestamp_ms // 1000)
    license_text = metadata["License-Expression"] or metadata["License"] or ""
    package = Package(
        translation.name(job.wheel.name),
        job.wheel.version,
        subdir=job.subdir,
        noarch="python" if job.python is None else None,
        depends=tuple(sorted(depends)),
        constrains=tuple(translation.constrains(metadata, job.subdir, job.pythons)),
        entries=entries,
        entry_points=tuple(entry_points) if job.python is None else (),
        timestamp_ms=job.wheel.timestamp_ms,
        license=(license_text.splitlines() or [""])[0][:60],
        summary=metadata["Summary"] or "",
        home=metadata["Home-page"] or "",
        extra_info=licenses,
    )
    return with_build(package, template)


def extra_packages(
    wheels: Sequence[tuple[Wheel, Message]], translation: Translation, pythons: Sequence[str]
) -> list[Package]:
    """One package without files per version of a project and extra that something requires.

    Args:
        wheels: All wheels of the channel and their metadata.
        translation: Of the channel.
        pythons: Minor versions of the channel.
    """
    packages: dict[str, Package] = {}
    wanted: set[tuple[str, str]] = set()
    for _, metadata in wheels:
        wanted |= translation.required_extras(metadata, "noarch", pythons)
    todo = sorted(wanted)
    for name, extra in todo:
        for wheel, metadata in wheels:
            if wheel.name != name:
                continue
            package = _extra_package(wheel, metadata, extra, translation, pythons)
            packages.setdefault(package.stem, package)
            # An extra may need extras of other projects: these come later in the same loop.
            more = translation.required_extras(metadata, "noarch", pythons, extra)
            todo += sorted(more - set(todo))
    return list(packages.values())


def _extra_package(
    wheel: Wheel, metadata: Message, extra: str, translation: Translation, pythons: Sequence[str]
) -> Package:
    depends = translation.depends(metadata, "noarch", pythons, extra)
    package = Package(
        translation.extra_name(wheel.name, extra),
        wheel.version,
        depends=(f"{translation.name(wheel.name)} =={wheel.version}", *depends),
        timestamp_ms=wheel.timestamp_ms,
        summary=f"{wheel.name} and what its extra {extra} needs",
    )
    return with_build(package, "h{hash}_0")


def _metadata(archive: zipfile.ZipFile) -> Message:
    text = archive.read(f"{_dist_info(archive)}/METADATA").decode(errors="replace")
    return Parser().parsestr(text)


def _dist_info(archive: zipfile.ZipFile) -> str:
    folders = (name.partition("/")[0] for name in archive.namelist())
    return next(folder for folder in folders if folder.endswith(".dist-info"))


def _entries(archive: zipfile.ZipFile, job: WheelJob) -> Iterable[Entry]:
    dist_info = _dist_info(archive)
    site_packages = f"lib/python{job.python}/site-packages" if job.python else "site-packages"
    for member in archive.infolist():
        if member.is_dir() or member.filename == f"{dist_info}/RECORD":
            continue
        if member.filename.endswith(".pyc"):
            continue  # packed by mistake; ours are compiled below
        data = archive.read(member)
        target = _destination(member.filename, dist_info, site_packages, job)
        executable = (member.external_attr >> 16) & 0o111 or ".data/scripts/" in member.filename
        if data.startswith(b"#!python"):
            data = data.replace(b"#!python", f"#!{PLACEHOLDER}/bin/python".encode(), 1)
        if is_elf(data) and job.python:
            data, executable = _relocated(data, target), True
        yield Entry(target, data, mode=0o755 if executable else 0o644)
    yield Entry(f"{site_packages}/{dist_info}/INSTALLER", b"conda")


def _licenses(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The licences as a recipe's `license_file` brings them into `info/`."""
    names = [name for name in archive.namelist() if _LICENSE.fullmatch(name)]
    return {
        "info/licenses/" + name.partition("/")[2].removeprefix("licenses/"): archive.read(name)
        for name in sorted(names)
        if not name.endswith("/")
    }


def _destination(name: str, dist_info: str, site_packages: str, job: WheelJob) -> str:
    data_folder = dist_info.removesuffix(".dist-info") + ".data/"
    if not name.startswith(data_folder):
        return f"{site_packages}/{name}"
    scheme, rest = name.removeprefix(data_folder).split("/", 1)
    folders = {
        "purelib": site_packages,
        "platlib": site_packages,
        "scripts": "bin" if job.python else "python-scripts",
        "headers": f"include/{job.wheel.name}",
    }
    return f"{folders[scheme]}/{rest}" if scheme in folders else rest


def _relocated(data: bytes, target: str) -> bytes:
    """Its own search path first, for the libraries in the wheel, then the prefix's."""
    own = rpath(data)
    up = "$ORIGIN/" + "/".join([".."] * (target.count("/") - 1))
    return with_rpath(data, f"{own}:{up}" if own else up)


def _arch_depends(python: str, entries: list[Entry]) -> list[str]:
    major, minor = map(int, python.split("."))
    return [
        f"python >={python},<{major}.{minor + 1}.0a0",
        f"python_abi {python}.* *_cp{major}{minor}",
        glibc_floor(entries),
        "libgcc",
        "libstdcxx",
    ]


def _entry_points(archive: zipfile.ZipFile) -> list[str]:
    listing = f"{_dist_info(archive)}/entry_points.txt"
    if listing not in archive.namelist():
        return []
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(archive.read(listing).decode())
    if not parser.has_section("console_scripts"):
        return []
    # An entry point may name extras that it needs: "a = b:c [extra]".
    return [
        f"{name} = {target.partition('[')[0].strip()}"
        for name, target in parser.items("console_scripts")
    ]


def _script(entry_point: str, python: str) -> Entry:
    name, _, target = entry_point.partition(" = ")
    module, _, function = target.partition(":")
    text = _SCRIPT.format(
        placeholder=PLACEHOLDER,
        python=python,
        module=module,
        imported=function.partition(".")[0],
        function=function,
    )
    return Entry(f"bin/{name}", text.encode(), mode=0o755)
