import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from registry.auth.policy_file import read_policy
from registry.auth.secret import verify_secret
from registry.cli import app
from tests.registry.cli.conftest import Run


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "auth.toml"
    monkeypatch.setenv("PULLFORGE_AUTH_FILE", str(path))
    return path


def give(password: str, *args: str) -> int:
    return CliRunner().invoke(app, args, input=password).exit_code


def test_a_user_is_added_changed_listed_and_removed(path: Path, run: Run) -> None:
    options = ["--right=team/*:pull,push", "--right=**:catalog", "--password-stdin"]
    assert give("first\n", "user", "add", "ada", *options) == 0
    ada = read_policy(path).identities["ada"]
    assert [str(right) for right in ada.rights] == ["team/*:pull,push", "**:catalog"]
    assert verify_secret("first", ada.hashed)
    assert ada.expires is None
    assert give("second\nsecond\n", "user", "passwd", "ada") == 0
    assert verify_secret("second", read_policy(path).identities["ada"].hashed)
    listed = run("user", "list").stdout
    assert "ada" in listed
    assert "team/*:pull,push **:catalog" in listed
    assert "argon2" not in listed
    run("user", "remove", "ada")
    assert read_policy(path).identities == {}


def test_a_user_whose_roles_are_granted_needs_no_right(path: Path, run: Run) -> None:
    assert give("first\n", "user", "add", "eve", "--password-stdin") == 0
    eve = read_policy(path).identities["eve"]
    assert eve.rights == ()
    assert verify_secret("first", eve.hashed)
    run("user", "remove", "eve")


def test_whoever_changes_a_password_is_told_that_tokens_live_on(run: Run) -> None:
    told = " ".join(run("user", "passwd", "--help").stdout.split())
    assert "Personal tokens live on" in told
    assert "pullforge token list --user NAME" in told


def test_a_token_is_shown_once_and_revoked(path: Path, run: Run) -> None:
    result = run("token", "create", "ci", "--right=team/x:push", "--days=2")
    token = result.stdout.strip()
    robot = read_policy(path).identities["ci"]
    assert verify_secret(token, robot.hashed)
    assert robot.expires is not None
    left = robot.expires - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=1.9) < left <= datetime.timedelta(days=2)
    assert token not in path.read_text()
    assert "token" in run("user", "list").stdout
    run("token", "revoke", "ci")
    assert read_policy(path).identities == {}


def test_the_file_is_for_its_owner_and_keeps_what_people_wrote(path: Path, run: Run) -> None:
    run("token", "create", "one", "--right=a:push")
    assert path.stat().st_mode & 0o777 == 0o600
    key = read_policy(path).token_key
    text = path.read_text().replace("private = []", 'private = ["team/**"]  # ours')
    path.write_text(text)
    path.chmod(0o640)
    run("token", "create", "two", "--right=b:push")
    assert 'private = ["team/**"]  # ours' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert read_policy(path).token_key == key
    assert [file.name for file in path.parent.glob("*auth*")] == ["auth.toml"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_the_file_stays_readable_for_the_server_that_has_another_user(path: Path, run: Run) -> None:
    run("token", "create", "one", "--right=a:push")
    os.chown(path, 10001, 10001)
    run("token", "create", "two", "--right=b:push")
    assert (path.stat().st_uid, path.stat().st_gid) == (10001, 10001)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["token", "create", "ci", "--right=a:push"], "somebody called 'ci' already"),
        (["token", "create", "x", "--right=a"], "'a' is no right"),
        (["token", "create", "x:y", "--right=a:push"], "'x:y' is no name"),
        (["token", "revoke", "x"], "there is no token called 'x'"),
        (["user", "remove", "ci"], "there is no user called 'ci'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    path: Path, run: Run, args: list[str], words: str
) -> None:
    run("token", "create", "ci", "--right=a:push")
    before = path.read_text()
    result = run(*args)
    assert result.exit_code == 1
    assert words in result.stderr
    assert path.read_text() == before
    assert len(list(path.parent.glob("*auth*"))) == 1


def test_a_password_is_not_empty_and_looks_like_no_token(path: Path) -> None:
    for password in ("\n", "pft_mine\n"):
        assert give(password, "user", "add", "ada", "--right=a:push", "--password-stdin") == 2
    assert not path.exists()


def test_without_the_setting_it_says_what_to_set(run: Run) -> None:
    result = run("token", "create", "ci", "--right=a:push")
    assert result.exit_code == 2
    assert "set PULLFORGE_AUTH_FILE" in result.stderr


def test_a_broken_file_is_not_changed(path: Path, run: Run) -> None:
    for text in ("[[[", "token_key = 3"):
        path.write_text(text)
        assert run("token", "create", "ci", "--right=a:push").exit_code == 1
        assert path.read_text() == text
    assert run("user", "list").exit_code == 1


def test_a_directory_that_is_not_there_is_named(
    path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLFORGE_AUTH_FILE", str(path.parent / "nowhere" / "auth.toml"))
    result = run("token", "create", "ci", "--right=a:push")
    assert result.exit_code == 1
    assert "cannot be written (No such file or directory)" in result.stderr


def test_changes_at_the_same_time_are_all_kept(path: Path, run: Run) -> None:
    run("token", "create", "first", "--right=a:push")
    script = (
        "import sys\nfrom pathlib import Path\nfrom registry.auth.policy_editor import add\n"
        "for i in range(10):\n"
        "    add(Path(sys.argv[1]), 'tokens', f'{sys.argv[2]}{i}', 'pft_x', ['a:push'], None)\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(read_policy(path).identities) == 31


def test_a_server_does_not_start_with_a_file_it_cannot_use(path: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "registry", "serve"],
        env={**os.environ, "PULLFORGE_STORE": str(tmp_path / "store")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "'pullforge user add' makes one" in result.stderr
