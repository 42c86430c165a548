import datetime

import pytest

from registry.auth.policy import FixedPolicy, PolicySource
from registry.auth.secret import hash_secret
from tests.contracts.policy_source import PolicySourceContract
from tests.registry.accounts import policy_of, user


class TestFixedPolicy(PolicySourceContract):
    @pytest.fixture
    def source(self) -> PolicySource:
        return FixedPolicy(policy_of(user("ada", "team/*:pull,push"), private=("team/**",)))


def test_an_identity_expires_at_its_time() -> None:
    moment = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    ada = user("ada", expires=moment)
    assert not ada.is_expired(moment.timestamp() - 1)
    assert ada.is_expired(moment.timestamp())
    assert not user("ada").is_expired(2**40)


def test_another_password_is_another_generation() -> None:
    one, other = hash_secret("pft_1"), hash_secret("pft_2")
    assert user("a", hashed=one).generation == user("b", hashed=one).generation
    assert user("a", hashed=one).generation != user("a", hashed=other).generation
