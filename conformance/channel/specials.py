"""Small packages that each show one thing that real channels have, too seldom to wait for it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from conformance.channel.build_string import with_build
from conformance.channel.elf import glibc_floor, with_rpath
from conformance.channel.wheel_lock import Wheel
from conformance.channel.writer import EPOCH_SECONDS, PLACEHOLDER, Entry, Package

#: Days that versions of `multi` were published: 2020-09-13, 2022-04-15, 2024-01-01, 2024-02-28.
_MULTI = (
    ("1.0", 1_600_000_000_000),
    ("1.1", 1_650_000_000_000),
    ("2.0", 1_704_067_200_000),
    ("2.1rc1", 1_709_067_200_000),
)


def special_packages() -> list[Package]:
    """All of them; none needs anything from the machine but `bzip2`, which may be missing."""
    return [
        *_mutexes(),
        *_files(),
        *_clobbers(),
        *_activation(),
        *_link_scripts(),
        *_virtual(),
        *_relations(),
        *_versions(),
        *_binary_prefix(),
    ]


def python_abi_packages(pythons: Iterable[str]) -> list[Package]:
    """`python_abi` for each minor version."""
    return [
        Package(
            "python_abi",
            python,
            f"8_cp{python.replace('.', '')}",
            8,
            constrains=(f"python {python}.* *_cpython",),
        )
        for python in pythons
    ]


def data_packages(wheels: Sequence[tuple[Wheel, Path]]) -> list[Package]:
    """`tzdata` and `ca-certificates`, of the data in PyPI's tzdata and certifi.

    The oldest version of each has an old date: Python has one too, and needs both.

    Args:
        wheels: All wheels of the channel and where they are.
    """
    packages = []
    makers = {"tzdata": _tzdata, "certifi": _ca_certificates}
    for name, make in makers.items():
        versions = [(wheel, path) for wheel, path in wheels if wheel.name == name]
        versions.sort(key=lambda version: version[0].timestamp_ms)
        for number, (wheel, path) in enumerate(versions):
            timestamp_ms = wheel.timestamp_ms if number else EPOCH_SECONDS * 1000
            with zipfile.ZipFile(path) as archive:
                package = Package(wheel.name, wheel.version, timestamp_ms=timestamp_ms)
                packages.append(with_build(make(package, archive), "h{hash}_0"))
    return packages


def _tzdata(package: Package, archive: zipfile.ZipFile) -> Package:
    entries = [
        Entry("share/zoneinfo/" + name.split("/zoneinfo/", 1)[1], archive.read(name))
        for name in archive.namelist()
        if "/zoneinfo/" in name and not name.endswith(("/", ".py"))
    ]
    return replace(package, entries=entries)


def _ca_certificates(package: Package, archive: zipfile.ZipFile) -> Package:
    variables = json.dumps({"SSL_CERT_FILE": f"{PLACEHOLDER}/ssl/cert.pem"})
    return replace(
        package,
        name="ca-certificates",
        depends=("__unix",),
        entries=[
            Entry("ssl/cacert.pem", archive.read("certifi/cacert.pem")),
            Entry("ssl/cert.pem", link="cacert.pem"),
            Entry("etc/conda/env_vars.d/ca-certificates.json", variables.encode()),
        ],
    )


def _mutexes() -> list[Package]:
    """Names with a leading underscore, which OCI forbids; libgcc depends on them."""
    return [
        Package("_libgcc_mutex", "0.1", "conda_forge", subdir="linux-64", noarch=None),
        *(
            Package(
                "_openmp_mutex",
                "4.5",
                "2_gnu",
                subdir=subdir,
                noarch=None,
                depends=(*mutex, "libgomp"),
            )
            for subdir, mutex in (
                ("linux-64", ("_libgcc_mutex 0.1 conda_forge",)),
                ("linux-aarch64", ()),
            )
        ),
    ]


def _files() -> list[Package]:
    script = f"#!{PLACEHOLDER}/bin/python\nimport sys\n\nprint(sys.prefix)\n"
    settings = f"[a]\nprefix={PLACEHOLDER}\nlib={PLACEHOLDER}/lib:{PLACEHOLDER}/lib64\n"
    return [
        Package(
            "symlinkdemo",
            "1.0",
            subdir="linux-64",
            noarch=None,
            entries=[
                Entry("share/symlinkdemo/real.txt", b"real\n"),
                Entry("share/symlinkdemo/rel.txt", link="real.txt"),
                Entry("share/symlinkdemo/dir", link="../symlinkdemo-dir"),
                Entry("share/symlinkdemo-dir/inner.txt", b"inner\n"),
                Entry("share/symlinkdemo/dangling", link="nowhere"),
                Entry("share/symlinkdemo/setuid", b"#!/bin/sh\n", mode=0o4755),
                Entry("share/symlinkdemo/readonly", b"readonly\n", mode=0o444),
                Entry("share/symlinkdemo/h\u00e9llo w\u00f6rld.txt", b"utf8\n"),
                Entry("share/symlinkdemo/empty", b""),
                Entry(f"share/symlinkdemo/{'long' * 30}.txt", b"more than 100 characters\n"),
            ],
        ),
        Package(
            "hardlinkdemo",
            "1.0",
            subdir="linux-64",
            noarch=None,
            entries=[
                Entry("bin/hardlink-one", b"#!/bin/sh\necho one\n", mode=0o755),
                Entry("bin/hardlink-two", hardlink="bin/hardlink-one", mode=0o755),
                Entry("bin/hardlink-too", link="hardlink-two"),
            ],
        ),
        Package(
            "shebangdemo",
            "1.0",
            subdir="linux-64",
            noarch=None,
            depends=("python",),
            entries=[
                Entry("bin/shebangdemo", script.encode(), mode=0o755),
                Entry("etc/shebangdemo.conf", settings.encode()),
            ],
        ),
        Package(
            "emptydirdemo",
            "1.0",
            entries=[
                Entry("share/emptydirdemo/emptydir", directory=True),
                Entry("share/emptydirdemo/x", b"x"),
            ],
        ),
    ]


def _clobbers() -> list[Package]:
    """The same path twice, and a symlink to a folder where another package has the folder."""
    return [
        *(
            Package(f"clobber-{c}", "1.0", entries=[Entry("share/clobber.txt", c.encode())])
            for c in "ab"
        ),
        Package(
            "linkdir-link",
            "1.0",
            entries=[
                Entry("share/linkdir", link="linkdir-real"),
                Entry("share/linkdir-real/from-link.txt", b"link\n"),
            ],
        ),
        Package(
            "linkdir-folder", "1.0", entries=[Entry("share/linkdir/from-folder.txt", b"dir\n")]
        ),
    ]


def _activation() -> list[Package]:
    variables = json.dumps({"ENVVARSDEMO": "from json", "ENVVARSDEMO_PREFIX": PLACEHOLDER})
    activate = b'export ACTIVATEDEMO="plain value"\nexport ACTIVATEDEMO_DATA="$CONDA_PREFIX/data"\n'
    return [
        Package(
            "activatedemo",
            "1.0",
            entries=[
                Entry("etc/conda/activate.d/activatedemo.sh", activate),
                Entry("etc/conda/deactivate.d/activatedemo.sh", b"unset ACTIVATEDEMO\n"),
                Entry("etc/conda/env_vars.d/activatedemo.json", variables.encode()),
            ],
        ),
        Package(
            "activatecode",
            "1.0",
            entries=[
                Entry(
                    "etc/conda/activate.d/activatecode.sh",
                    b'if [ -n "$HOME" ]; then\n  export ACTIVATECODE=$(date)\nfi\n',
                )
            ],
        ),
    ]


def _link_scripts() -> list[Package]:
    post_link = (
        b'#!/bin/bash\nset -e\necho "$PKG_NAME $PREFIX" > "$PREFIX/share/postlinkdemo.txt"\n'
    )
    return [
        Package(
            "postlinkdemo",
            "1.0",
            entries=[
                Entry("bin/.postlinkdemo-post-link.sh", post_link, mode=0o755),
                Entry("bin/.postlinkdemo-pre-unlink.sh", b"#!/bin/bash\nexit 0\n", mode=0o755),
                Entry("share/postlinkdemo/README", b"x\n"),
            ],
        )
    ]


def _virtual() -> list[Package]:
    """What depends on the machine: `__cuda`, a glibc that nobody has, `__linux`."""
    cuda, cpu = [Entry("share/gpulib/kind", kind) for kind in (b"cuda", b"cpu")]
    return [
        Package(
            "gpulib",
            "2.0",
            "cuda120_0",
            subdir="linux-64",
            noarch=None,
            depends=("__cuda >=12.0", "cuda-version >=12.0,<13"),
            entries=[cuda],
        ),
        Package("gpuonly", "1.0", depends=("__cuda >=12.0",), entries=[]),
        Package("gpuorcpu", "1.0", "cuda_200", 200, depends=("__cuda >=12.0",), entries=[cuda]),
        Package("gpuorcpu", "1.0", "cpu_0", entries=[cpu]),
        *(
            Package("cuda-version", version, "h0_3", 3, constrains=(f"__cuda >={version[:2]}",))
            for version in ("12.4", "12.8", "13.0")
        ),
        Package("newglibc", "1.0", depends=("__glibc >=9.99",)),
        Package("linuxonly", "1.0", "unix_0", depends=("__linux", "__unix")),
    ]


def _relations() -> list[Package]:
    """`constrains`, a dependency that does not exist, and two packages that exclude each other."""
    return [
        Package("constrainer", "1.0", constrains=("click <8.1",)),
        Package("leaf", "1.0", depends=("does-not-exist >=3",)),
        Package("needs-new-numpy", "1.0", depends=("numpy >=2",)),
        Package("needs-old-numpy", "1.0", depends=("numpy <2",)),
    ]


def _versions() -> list[Package]:
    return [
        Package(
            "multi",
            version,
            timestamp_ms=timestamp_ms,
            entries=[Entry("share/multi", version.encode())],
        )
        for version, timestamp_ms in _MULTI
    ]


def _binary_prefix() -> list[Package]:
    """A program with the placeholder twice in one C string: its `DT_RPATH`."""
    program = shutil.which("bzip2")
    if program is None:
        return []
    data = with_rpath(Path(program).read_bytes(), f"{PLACEHOLDER}/lib:{PLACEHOLDER}/lib64")
    entries = [Entry("bin/bzip2", data, mode=0o755), Entry("bin/bunzip2", link="bzip2")]
    return [
        Package(
            "bzip2-tools",
            "1.0.8",
            subdir="linux-64",
            noarch=None,
            depends=("bzip2", glibc_floor(entries)),
            entries=entries,
        )
    ]
