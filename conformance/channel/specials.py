"""Small packages that each show one thing that real channels have, too seldom to wait for it.

Most are recipes; the few here have files that rattler-build does not pack.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from conformance.channel.recipes import RecipeJob
from conformance.channel.wheel_lock import Wheel
from conformance.channel.writer import EPOCH_SECONDS, Entry, Package

#: Recipes that need nothing from the machine.
RECIPES: Final = (
    "activatecode", "activatedemo", "clobbers", "cuda-version", "gdal", "gpuorcpu", "multi",
    "postlinkdemo", "proj", "relations", "shebangdemo", "virtual",
)  # fmt: skip

#: Recipes that are built in environments of the channel's own packages.
RECIPES_WITH_ENVIRONMENTS: Final = ("greeter",)


def special_packages() -> list[Package]:
    """Links and modes, a hard link, and an empty folder.

    rattler-build gives every file the mode 0644 or 0755, and packs no hard links.
    """
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
            "emptydirdemo",
            "1.0",
            entries=[
                Entry("share/emptydirdemo/emptydir", directory=True),
                Entry("share/emptydirdemo/x", b"x"),
            ],
        ),
    ]


def data_recipes(wheels: Sequence[tuple[Wheel, Path]]) -> list[RecipeJob]:
    """`tzdata` and `ca-certificates`, of the data in PyPI's tzdata and certifi.

    The oldest version of each has an old date: Python has one too, and needs both.

    Args:
        wheels: All wheels of the channel and where they are.
    """
    jobs = []
    makers = {"tzdata": ("tzdata", _tzdata), "certifi": ("ca-certificates", _ca_certificates)}
    for project, (recipe, read) in makers.items():
        versions = [(wheel, path) for wheel, path in wheels if wheel.name == project]
        versions.sort(key=lambda version: version[0].timestamp_ms)
        oldest = datetime.fromtimestamp(EPOCH_SECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        published = [oldest, *(wheel.uploaded for wheel, _ in versions[1:])]
        inputs: dict[str, bytes] = {}
        for wheel, path in versions:
            with zipfile.ZipFile(path) as archive:
                inputs |= {f"{wheel.version}/{k}": v for k, v in read(archive).items()}
        variants = {"version": [wheel.version for wheel, _ in versions], "published": published}
        jobs.append(RecipeJob(recipe, variants=variants, inputs=inputs))
    return jobs


def _tzdata(archive: zipfile.ZipFile) -> dict[str, bytes]:
    files = {
        "zoneinfo/" + name.split("/zoneinfo/", 1)[1]: archive.read(name)
        for name in archive.namelist()
        if "/zoneinfo/" in name and not name.endswith(("/", ".py"))
    }
    return files | {"LICENSE": _license(archive)}


def _ca_certificates(archive: zipfile.ZipFile) -> dict[str, bytes]:
    return {"cacert.pem": archive.read("certifi/cacert.pem"), "LICENSE": _license(archive)}


def _license(archive: zipfile.ZipFile) -> bytes:
    name = next(n for n in archive.namelist() if n.endswith("/LICENSE"))
    return archive.read(name)
