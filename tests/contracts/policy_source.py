"""What every source of policies does, wherever it keeps them."""

import pytest

from registry.auth.policy import PolicySource
from registry.auth.rights import Need


class PolicySourceContract:
    """Subclasses give a source with a user ``ada``, and ``team/**`` private.

    Her right is ``team/*:pull,push``.
    """

    @pytest.fixture
    def source(self) -> PolicySource:
        raise NotImplementedError

    def test_who_is_known_has_their_rights(self, source: PolicySource) -> None:
        ada = source.policy.identities["ada"]
        assert ada.name == "ada"
        assert source.policy.may(ada, Need("push", "team/x"))
        assert not source.policy.may(ada, Need("delete", "team/x"))

    def test_nobody_else_is_known(self, source: PolicySource) -> None:
        assert set(source.policy.identities) == {"ada"}

    def test_everyone_may_pull_what_is_not_private(self, source: PolicySource) -> None:
        assert source.policy.may(None, Need("pull", "env/numpy"))
        assert not source.policy.may(None, Need("pull", "team/x"))
        assert not source.policy.may(None, Need("push", "env/numpy"))

    def test_the_policy_is_in_memory(self, source: PolicySource) -> None:
        assert source.policy is source.policy

    def test_tokens_can_be_signed(self, source: PolicySource) -> None:
        assert source.policy.takes_logins
        assert len(bytes.fromhex(source.policy.token_key)) == 32
