import gzip
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from registry.errors import ImageUnfit
from registry.upkeep.image_root import has_file, unpack_layers
from tests.tiny_root import tar

Members = dict[str, bytes | str | None]


def unpacked(
    directory: Path, *layers: bytes, mounts: tuple[str, ...] = (), most: int = 1 << 30
) -> Path:
    paths = []
    for number, layer in enumerate(layers):
        paths.append(directory / f"layer-{number}")
        paths[-1].write_bytes(layer)
    unpack_layers(paths, directory / "root", mounts, most)
    return directory / "root"


def tree(root: Path) -> dict[str, str]:
    """Return what there is: text of files, where links lead, and a slash for directories."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


def test_layers_are_put_on_top_of_each_other(tmp_path: Path) -> None:
    lower = tar(
        {
            "./": None,
            "etc/": None,
            "etc/motd": b"lower",
            "etc/gone": b"lower",
            "opt/a/b": b"lower",
            "opt/a/c/d": b"lower",
            "usr/bin/sh": b"sh",
            "bin": "usr/bin",
            "was-file": b"x",
            "was-dir/x": b"x",
        }
    )
    upper = tar(
        {
            "etc/motd": b"upper",
            "etc/.wh.gone": b"",
            "etc/.wh.never": b"",
            "opt/a/new": b"upper",
            "opt/a/.wh..wh..opq": b"",
            "bin/ls": b"ls",
            "was-file/x": b"y",
            "was-dir": b"y",
        }
    )
    top = tar({"usr/bin/env": b"env", ".wh.was-dir": b""})
    packed = (lower, gzip.compress(upper), zstandard.compress(top))
    root = unpacked(tmp_path, *packed, mounts=("dev", "tmp"))
    assert tree(root) == {
        "bin": "-> usr/bin",
        "dev": "/",
        "etc": "/",
        "etc/motd": "upper",
        "opt": "/",
        "opt/a": "/",
        "opt/a/new": "upper",
        "tmp": "/",
        "usr": "/",
        "usr/bin": "/",
        "usr/bin/env": "env",
        "usr/bin/ls": "ls",
        "usr/bin/sh": "sh",
        "was-file": "/",
        "was-file/x": "y",
    }
    assert has_file(root, "/bin/sh")
    assert not has_file(root, "/bin/bash")
    assert not has_file(root, "/bin")


def test_whoever_runs_a_test_can_read_all_and_become_nobody(tmp_path: Path) -> None:
    layers = [
        tar({"bin/su": b"su"}, mode=0o4755, uid=1234),
        tar({"etc/shadow": b"secret"}, mode=0o000),
        tar({"closed": None}, mode=0o000),
        tar({"closed/in": b"x"}, mode=0o600),
        tar({"dev/null": None, "pipe": None}, type=tarfile.CHRTYPE),
        tar({"other": "bin/su"}, type=tarfile.LNKTYPE),
    ]
    root = unpacked(tmp_path, *layers)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in root.rglob("*")}
    assert modes == {
        "bin": 0o755, "su": 0o755, "other": 0o755, "etc": 0o755, "shadow": 0o444, "closed": 0o755,
        "in": 0o644,
    }  # fmt: skip
    assert (root / "bin/su").stat().st_uid == os.getuid()
    assert (root / "other").samefile(root / "bin/su")
    assert (root / "bin/su").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize(
    "layers",
    [
        [{"out": "/", "out/outside": b"x"}],
        [{"out": "@", "out/outside": b"x"}],
        [{"out": "../../../../../../..@", "out/outside": b"x"}],
        [{"a": "b", "b": "@/new", "a/outside": b"x"}],
        [{"dev": "@"}, {"dev/outside": b"x"}],
        [{"kept": "@/file", "./kept/../kept": "x"}],
        [{"file": "@/file"}, {"file": b"x"}],
        [{"directory": "@"}, {"directory/.wh.file": b""}],
        [{"directory": "@"}, {"directory/.wh..wh..opq": b""}],
        [{"directory": "@"}, {"directory": None}],
        [{"../outside": b"x"}],
        [{"/../outside": b"x"}],
        [{"a/../../outside": b"x"}],
        [{"a": "a", "a/x": b"x"}],
        [{"/".join("a" * 300): b"x"}],
        [{"x" * 300: b"x"}],
    ],
)
def test_nothing_is_written_or_removed_elsewhere(tmp_path: Path, layers: list[Members]) -> None:
    """Links lead within the root, as they do in a container of the image."""
    outside, kept = tmp_path / "outside", tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    named = [
        tar(
            {
                name: content.replace("@", str(kept)) if isinstance(content, str) else content
                for name, content in members.items()
            }
        )
        for members in layers
    ]
    try:
        unpacked(tmp_path, *named, mounts=("dev",))
    except ImageUnfit as exc:
        assert "a layer of the image" in exc.message  # noqa: PT017 (it may be one or the other)
    assert not outside.exists()
    assert tree(kept) == {"file": "kept"}


@pytest.mark.parametrize("target", ["@/file", "/etc/passwd", "../../file"])
def test_a_hard_link_to_elsewhere_is_none(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("outside")
    target = target.replace("@", str(tmp_path))
    with pytest.raises(ImageUnfit, match="which is not there"):
        unpacked(tmp_path, tar({"link": target}, type=tarfile.LNKTYPE))


def test_what_is_damaged_or_too_large_is_one_sentence(tmp_path: Path) -> None:
    layer = tar({"a": b"x" * 5000})
    damaged = (
        b"what",
        layer[:1000],
        gzip.compress(layer)[:-10],
        zstandard.compress(layer)[:-10],
        gzip.compress(b"x" * 2000),
        b"\x1f\x8b" + b"x" * 2000,
        layer[:100] + b"\xff" + layer[101:],
    )
    for number, data in enumerate(damaged):
        place = tmp_path / str(number)
        place.mkdir()
        with pytest.raises(ImageUnfit, match="a layer of the image"):
            unpacked(place, data)
    bomb = zstandard.compress(tar({"zeros": bytes(20 << 20)}))
    assert len(bomb) < 10_000
    with pytest.raises(ImageUnfit, match="too large to be unpacked"):
        unpacked(tmp_path, tar({"a": b"x"}), bomb, most=1 << 20)
    assert not any(path.stat().st_size > 2 << 20 for path in (tmp_path / "root").rglob("*"))
