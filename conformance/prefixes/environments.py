"""Thirty environments: of the local channel, of wheels, and of packages that other people made."""

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zstandard

from tests.made_by_others import made_by_others

#: What the channel of others' packages is called.
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an environment is made of, and what its Python is given to do."""

    #: Of conda.
    packages: tuple[str, ...]
    #: Of PyPI.
    pip: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("conda-forge",)
    #: A program, and what it prints; nothing: there is no Python.
    program: str = ""
    prints: str = ""


def _sum(packages: str, imports: str, *pip: str) -> Wanted:
    program = f"import {imports}, numpy; print(int(numpy.arange(5).sum()))"
    return Wanted((*packages.split(),), pip, program=program, prints="10")


def _imports(packages: str, imports: str, *pip: str) -> Wanted:
    return Wanted((*packages.split(),), pip, program=f"import {imports}; print(1)", prints="1")


_SPECIALS: Final = (
    "python=3.11 activatedemo bzip2-tools clobber-a clobber-b emptydirdemo hardlinkdemo"
    " linkdir-folder linkdir-link postlinkdemo shebangdemo symlinkdemo"
)

#: Of the local channel and index, by their names.
OF_THE_CHANNEL: Final[Mapping[str, Wanted]] = {
    "everyday": _sum("matplotlib pandas scikit-learn", "pandas, sklearn.svm, matplotlib.pyplot"),
    "old": _sum("python=3.11 numpy=1.26.4 pandas=2.2.2", "pandas"),
    # Of the newest Python that the channel has.
    "new": _sum("numpy scipy", "scipy.linalg"),
    "notebook": _sum("jupyterlab numpy", "jupyterlab.labapp"),
    # Links, modes, hard links, folders without a file, a script of activation.
    "specials": _imports(_SPECIALS, "sqlite3"),
    "maps": Wanted(("libgdal",)),
    "activation": Wanted(("activatecode", "activatedemo")),
    # An entry point, built by pip.
    "greeter": _imports("greeter", "greeter"),
    "requests": _imports("requests", "requests.sessions"),
    "yaml": _imports("ruamel.yaml pyyaml python=3.11", "ruamel.yaml, yaml"),
    "namespaces": _imports("zope.interface backports.tarfile", "zope.interface, backports.tarfile"),
    "pip": _imports("python=3.11 pip setuptools", "setuptools, pip"),
    "web": _imports("httpx click rich", "httpx, click, rich.table"),
    "pictures": _imports("pillow", "PIL.Image"),
    "c-library": _imports("cffi psutil debugpy", "cffi, psutil, debugpy"),
    "no-python": Wanted(("openssl", "ca-certificates", "tzdata")),
    "wheels": _sum(
        "python=3.11 numpy libstdcxx",
        "flask, orjson, pydantic, patsy, contourpy",
        *("flask", "orjson", "pydantic", "patsy", "contourpy"),
    ),
    # Programs of the wheel's own, and those of entry points.
    "scripts": _imports(
        "python=3.11", "jmespath, rich, requests", *("jmespath", "rich", "requests")
    ),
}

#: Packages of others, by what their environment is called here.
OF_OTHERS: Final[Mapping[str, str]] = {
    "their-bzip2": "real/packages/bzip2-1.0.8-h00057fd_8.conda",
    "their-certificates": "real/packages/ca-certificates-2024.7.4-hbcca054_0.conda",
    "their-data": "real/packages/conda-forge-repodata-patches-20180828-0.tar.bz2",
    "their-config": "real/packages/gnuconfig-2020.11.7-h4616a5c_0.conda",
    "their-mock": "real/packages/mock-2.0.0-py37_1000.conda",
    "their-onednn": "real/packages/onednn-cpu-omp-3.6.1-omp_hd7a96ef_1.conda",
    "their-readline": "real/packages/readline-8.2-h00057fd_1.conda",
    "their-ros": "real/packages/ros-jazzy-audio-tools-2.0-h48b7412_0.tar.bz2",
    "their-rosidl": "real/packages/ros-jazzy-rosidl-generator-rs-0.4.10-hb0f4dca_0.conda",
    "their-viewshed": "real/packages/viewshed-0.7.6-py312h3fd9d12_0.conda",
    "their-headers": "real/packages/xtensor-io-0.10.3-hb585cf6_0.tar.bz2",
    "their-zlib": "real/packages/zlib-1.2.11-h7b6447c_3.tar.bz2",
    # Odd ones: a prefix in UTF-16, a sparse file, a file that its owner may not write.
    "their-utf16": "cases/made-08-utf16-prefix/c-prefix-1.0-h0_0.conda",
    "their-sparse": "cases/report-19/channel/linux-64/sparsefile-1.0-h0_0.conda",
    "their-readonly": "cases/report-32/channel/linux-64/rofile-1.0-h0_0.conda",
}


def write_others(channel: Path) -> dict[str, Wanted]:
    """Write a channel of others' packages; return an environment of each, by its name.

    The channel lists them with what they need as far as it can be had here, as channels correct
    what a package says of itself. The test is skipped where there are none.
    """
    found = {}
    repodata: dict[str, dict[str, Any]] = {"linux-64": {}, "noarch": {}}
    for name, path in OF_OTHERS.items():
        archive = made_by_others(path)
        index = _index(archive)
        subdir = "noarch" if index.get("noarch") else "linux-64"
        place = channel / subdir
        place.mkdir(parents=True, exist_ok=True)
        (place / archive.name).symlink_to(archive)
        data = archive.read_bytes()
        kind = "packages.conda" if archive.suffix == ".conda" else "packages"
        repodata[subdir].setdefault(kind, {})[archive.name] = {
            **index,
            "depends": [],
            "subdir": subdir,
            "md5": hashlib.md5(data).hexdigest(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        }
        spec = f"{index['name']}={index['version']}={index['build']}"
        found[name] = Wanted((spec,), channels=(OTHERS,))
    for subdir, listed in repodata.items():
        document = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": {}, **listed}
        (channel / subdir / "repodata.json").write_text(json.dumps(document))
    return found


def _index(archive: Path) -> dict[str, Any]:
    """Return what a package says of itself, read by Python alone."""
    if archive.suffix == ".bz2":
        data = bz2.decompress(archive.read_bytes())
    else:
        with zipfile.ZipFile(archive) as parts:
            name = next(one for one in parts.namelist() if one.startswith("info-"))
            with parts.open(name) as file:
                data = zstandard.ZstdDecompressor().stream_reader(file).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        file_of_index = tar.extractfile("info/index.json")
        assert file_of_index is not None
        index: dict[str, Any] = json.load(file_of_index)
    return index
