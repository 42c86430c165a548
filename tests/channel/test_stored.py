from pathlib import Path

import pytest

from conformance.channel import base_image, stored
from conformance.channel.build import Sources


class Builder:
    def __init__(self) -> None:
        self.built = 0
        self.error: Exception | None = None

    def __call__(self, sources: Sources, channel: Path, base: Path) -> None:
        self.built += 1
        channel.mkdir()
        if self.error:
            raise self.error
        base.mkdir()


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    monkeypatch.setattr(stored, "build_channel", builder)
    monkeypatch.setattr(
        stored, "gather_sources", lambda tier, cache: Sources(tier, [], {}, {}, {}, cache)
    )
    return builder


def test_a_channel_is_built_once(builder: Builder, tmp_path: Path) -> None:
    first = stored.ensure("small", tmp_path)
    assert first.channel.is_dir()
    assert first.base.is_dir()
    assert stored.ensure("small", tmp_path) == first
    assert builder.built == 1


def test_recipes_are_kept_apart(builder: Builder, tmp_path: Path) -> None:
    assert stored.ensure("small", tmp_path) != stored.ensure("full", tmp_path)
    assert builder.built == 2


def test_a_build_that_broke_leaves_no_channel(builder: Builder, tmp_path: Path) -> None:
    builder.error = RuntimeError("no network")
    with pytest.raises(RuntimeError, match="no network"):
        stored.ensure("small", tmp_path)
    builder.error = None
    assert stored.ensure("small", tmp_path).base.is_dir()
    assert not list(tmp_path.glob("part-*"))


@pytest.mark.parametrize(
    ("packed", "merged"),
    [
        ("./bin/dash", "usr/bin/dash"),
        ("./usr/bin/env", "usr/bin/env"),
        ("./lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("./etc/passwd", "etc/passwd"),
        ("./library/x", "library/x"),
        ("./.hidden", ".hidden"),
        ("./", ""),
    ],
)
def test_files_of_the_root_are_merged_into_usr(packed: str, merged: str) -> None:
    assert base_image._merged(packed) == merged
