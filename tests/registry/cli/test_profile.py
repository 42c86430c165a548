import stat
from pathlib import Path

import pytest

from registry.cli.profile import Profile, forget, load, profiles_path, save
from registry.cli.remote import RemoteError


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_the_server_of_the_last_login_is_used_where_none_is_named() -> None:
    save(Profile("https://one.example", "pft_one"))
    save(Profile("http://localhost:8080", "pft_two"))
    assert load() == Profile("http://localhost:8080", "pft_two")
    assert load("one.example") == Profile("https://one.example", "pft_one")
    assert load("https://one.example") == Profile("https://one.example", "pft_one")


def test_a_server_that_nobody_has_logged_in_to_has_no_token() -> None:
    assert load("other.example") == Profile("https://other.example", None)
    with pytest.raises(RemoteError, match="pullforge login HOST"):
        load()


def test_a_token_is_not_sent_to_the_same_host_without_tls() -> None:
    save(Profile("https://one.example", "pft_one"))
    assert load("http://one.example").token is None


def test_only_the_owner_may_read_the_file() -> None:
    save(Profile("https://one.example", "pft_one"))
    path = profiles_path()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    save(Profile("https://two.example", "pft_two"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["profiles.toml"]


def test_a_server_may_be_called_as_a_field_is() -> None:
    save(Profile("https://current", "pft_one"))
    save(Profile("https://servers", "pft_two"))
    assert load("current").token == "pft_one"
    assert load().token == "pft_two"


def test_what_is_forgotten_is_not_used_any_more() -> None:
    save(Profile("https://one.example", "pft_one"))
    save(Profile("https://two.example", "pft_two"))
    forget(Profile("https://two.example"))
    forget(Profile("https://never.example"))
    assert load("two.example").token is None
    assert load("one.example").token == "pft_one"
    with pytest.raises(RemoteError):
        load()


def test_a_file_that_is_none_is_told_and_left_as_it_is() -> None:
    path = profiles_path()
    path.parent.mkdir(parents=True)
    path.write_text("what is this", "utf-8")
    with pytest.raises(RemoteError, match="is no TOML file"):
        load("one.example")
    with pytest.raises(RemoteError, match="is no TOML file"):
        save(Profile("https://one.example", "pft_one"))
    assert path.read_text("utf-8") == "what is this"


def test_a_token_is_not_shown_with_its_profile() -> None:
    assert "pft_secret" not in repr(Profile("https://one.example", "pft_secret"))
