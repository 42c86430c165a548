from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from registry.cli import app
from registry.cli.arguments import file_of


def test_a_name_that_ends_as_files_do_is_a_name() -> None:
    assert file_of("env/click.ruamel.yaml") is None


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="there is no file"):
        file_of(str(tmp_path / "environment.yml"))


def test_a_file_below_env_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("env/ci.yml")
    path.parent.mkdir()
    path.touch()
    assert file_of("env/ci.yml") == path


def test_help_tells_of_every_command_in_one_process() -> None:
    told = CliRunner().invoke(app, ["--help"])
    assert told.exit_code == 0, told.exception
    assert {"gc", "scrub", "user"} <= set(told.output.split())
