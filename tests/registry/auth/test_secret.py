import pytest
from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from registry.auth.secret import hash_secret, is_token, kind_of_hash, new_token, verify_secret
from tests.registry.accounts import HASH, PASSWORD


def test_a_password_is_kept_as_the_recommended_hash() -> None:
    hashed = hash_secret(PASSWORD)
    assert kind_of_hash(hashed) == "password"
    assert extract_parameters(hashed) == RFC_9106_LOW_MEMORY
    assert PASSWORD not in hashed
    assert verify_secret(PASSWORD, hashed)
    assert not verify_secret(PASSWORD + " ", hashed)


def test_a_token_is_long_new_and_kept_as_a_digest() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    token = tokens.pop()
    assert is_token(token)
    assert len(token) >= 47
    hashed = hash_secret(token)
    assert kind_of_hash(hashed) == "token"
    assert verify_secret(token, hashed)
    assert not verify_secret(token + "x", hashed)


@pytest.mark.parametrize(
    ("secret", "hashed"),
    [
        ("x", None),
        ("", None),
        ("pft_x", None),
        pytest.param("pft_x", HASH, id="a token and the hash of a password"),
        (PASSWORD, hash_secret("pft_x")),
        (PASSWORD, "$argon2id$broken"),
        (PASSWORD, ""),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 64),
    ],
)
def test_what_does_not_belong_together_is_refused(secret: str, hashed: str | None) -> None:
    assert not verify_secret(secret, hashed)


@pytest.mark.parametrize("text", ["", "hunter2", "$2b$12$x", "sha256:xyz", "sha256:" + "A" * 64])
def test_what_is_no_hash_is_recognised(text: str) -> None:
    assert kind_of_hash(text) is None
