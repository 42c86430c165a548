import os
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from registry.auth.policy import PolicySource
from registry.auth.policy_file import PolicyFile, parse_policy, read_policy
from registry.auth.rights import Need
from registry.errors import PolicyInvalid
from tests.contracts.policy_source import PolicySourceContract
from tests.registry.accounts import HASH, write_policy

pytestmark = pytest.mark.anyio

ADA = ["[users.ada]", f'hash = "{HASH}"']
KEY = f'token_key = "{"a" * 64}"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.toml"


class TestPolicyFile(PolicySourceContract):
    @pytest.fixture
    def source(self, path: Path) -> PolicySource:
        write_policy(path, 'private = ["team/**"]', *ADA, 'rights = ["team/*:pull,push"]')
        return PolicyFile(path)


async def test_a_change_is_read_without_a_restart(path: Path) -> None:
    write_policy(path, *ADA, 'rights = ["a:push"]')
    source = PolicyFile(path)
    before = source.policy.identities["ada"]
    await source.reload()
    assert source.policy.identities["ada"] is before, "nothing was read again"
    write_policy(path, *ADA, 'rights = ["b:push"]')
    await source.reload()
    assert source.policy.identities["ada"].has_right(Need("push", "b"))
    assert not source.policy.identities["ada"].has_right(Need("push", "a"))


async def test_a_link_that_leads_elsewhere_is_a_change(path: Path, tmp_path: Path) -> None:
    """As Kubernetes replaces the files of a Secret."""
    for name, right in (("one", "a:push"), ("two", "b:push")):
        write_policy(tmp_path / name, *ADA, f'rights = ["{right}"]')
        os.utime(tmp_path / name, (1, 1))
    path.symlink_to(tmp_path / "one")
    source = PolicyFile(path)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(path)
    await source.reload()
    assert source.policy.identities["ada"].has_right(Need("push", "b"))


DEEP = "a = " + "[" * 100_000


@pytest.mark.parametrize("text", ["users = 3", "[[[", DEEP, None], ids=lambda text: str(text)[:9])
async def test_a_file_that_cannot_be_used_changes_nothing(path: Path, text: str | None) -> None:
    write_policy(path, *ADA)
    source = PolicyFile(path)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with capture_logs() as lines:
        await source.reload()
        await source.reload()
    assert "ada" in source.policy.identities
    assert [line["log_level"] for line in lines] == ["error"], "it is said once"
    assert "auth.toml" in lines[0]["why"]
    write_policy(path)
    await source.reload()
    assert not source.policy.identities


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "token_key: Field required"),
        ('token_key = "short"', "token_key: it has to be 64 hexadecimal digits"),
        (KEY + "privat = []", "privat: Extra inputs are not permitted"),
        (KEY + 'private = ["Team"]', "private.0: 'Team' is no pattern"),
        (KEY + 'private = "team"', "private: Input should be a valid list"),
        (KEY + "users = 3", "users: Input should be a valid dictionary"),
        (KEY + '[users."a:b"]\nhash = ""', "'a:b' is no name"),
        (KEY + '[users.ada]\nhash = "hunter2"', "users.ada.hash: this is no hash of a password"),
        (KEY + f'[tokens.ci]\nhash = "{HASH}"', "tokens.ci.hash: this is no hash of a token"),
        (KEY + "[users.ada]", "users.ada.hash: Field required"),
        (KEY + "\n".join([*ADA, "expire = 2027-01-01"]), "users.ada.expire: Extra inputs"),
        (KEY + "\n".join([*ADA, "expires = 2027-01-01T00:00:00"]), "users.ada.expires: "),
        (KEY + "\n".join([*ADA, 'rights = ["x"]']), "users.ada.rights.0: 'x' is no right"),
        (
            KEY + "\n".join([*ADA, "[tokens.ada]", f'hash = "sha256:{"0" * 64}"']),
            "'ada' is both a user and a token",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_without_secrets(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_policy(text)
    assert "hunter2" not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_file_that_is_missing_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="'pullforge user add' makes one"):
        PolicyFile(path)


def test_a_file_that_is_too_large_or_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    with pytest.raises(PolicyInvalid, match="larger than"):
        read_policy(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyInvalid, match="nothing that can be used"):
        read_policy(path)


def test_secrets_are_not_printed(path: Path) -> None:
    write_policy(path, *ADA)
    policy = read_policy(path)
    assert HASH not in repr(policy)
    assert policy.token_key not in repr(policy)


def test_a_name_of_any_length_is_told_in_a_short_sentence(path: Path) -> None:
    write_policy(path, f"[users.{'a' * 100_000}]", "x = 1")
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(path)
    assert len(caught.value.message) < 1000
