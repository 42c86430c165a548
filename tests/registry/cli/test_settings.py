"""Settings that cannot be used are told in a sentence, by every command that reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def said(tmp_path: Path, variables: dict[str, str], *command: str) -> str:
    """Return what a command that has to fail says."""
    known = {"PATH": os.environ["PATH"], "PULLFORGE_STORE": str(tmp_path / "store")}
    ended = subprocess.run(
        [sys.executable, "-m", "registry", *command],
        env={**known, "PYTHONPATH": str(Path(__file__).parents[3]), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended
    return ended.stderr


@pytest.mark.parametrize("command", [("serve",), ("lock", "env/numpy")])
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "PULLFORGE_STROE",
            "/srv",
            "PULLFORGE_STROE is not a setting; docs/settings.md lists them",
        ),
        ("PULLFORGE_PORT", "99999", "PULLFORGE_PORT: Input should be less than or equal to 65535"),
        ("PULLFORGE_CHANNELS", "conda-forge", "PULLFORGE_CHANNELS cannot be read: lists and"),
        (
            "PULLFORGE_STORE",
            "s3:/bucket",
            "PULLFORGE_STORE: 's3:/bucket' is not a place for a store",
        ),
        (
            "PULLFORGE_WATCH",
            '[{"path": "https://git.example.org/envs.git", "namespace": "team"}]',
            "PULLFORGE_WATCH.0.PATH: directories of this machine are watched; of a repository,",
        ),
        ("PULLFORGE_STORE", "/proc/x", "the store's directory /proc/x cannot be made"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, command: tuple[str, ...], name: str, value: str, sentence: str
) -> None:
    lines = said(tmp_path, {name: value}, *command).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"pullforge: {sentence}"), lines


def test_a_server_says_in_one_line_that_a_policy_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "company.toml").write_text('\n[age]\nminimum = "a while"')
    for path, sentence in {
        "policies": "company.toml, line 3, age.minimum: 'a while' is not a duration such as",
        "nowhere": f"{tmp_path}/nowhere: it cannot be read (No such file or directory)",
    }.items():
        lines = said(tmp_path, {"PULLFORGE_POLICIES": str(tmp_path / path)}, "serve").splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"pullforge: {sentence}"), lines
