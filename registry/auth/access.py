"""The one place that says who may do what."""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.auth.logins import Logins
from registry.auth.policy import Caller, Policy, PolicySource
from registry.auth.rights import Need
from registry.auth.tokens import issue_token, read_token
from registry.errors import Denied, Unauthorized


@dataclass(frozen=True, slots=True)
class Access:
    """Decides by the policy of the moment: what a caller may do is looked up each time."""

    source: PolicySource
    logins: Logins

    @property
    def policy(self) -> Policy:
        """The policy of the moment."""
        return self.source.policy

    def is_open(self, needs: Iterable[Need]) -> bool:
        """Tell whether everyone may do all of ``needs``; microseconds, from memory alone."""
        policy = self.source.policy
        for need in needs:  # noqa: SIM110 - every warm pull asks, and all() takes twice as long
            if not policy.is_open(need):
                return False
        return True

    async def log_in(self, name: str, secret: str, address: str) -> Caller:
        """Return who has that name and that password or token, with all they may do.

        Raises:
            Unauthorized: Nobody has.
            TooManyLogins: Too many failed from that address, or are being verified.
        """
        return Caller(await self.logins.log_in(self.policy, name, secret, address))

    def read_token(self, token: str) -> Caller:
        """Return whose bearer token that is, with what it was asked for.

        Raises:
            Unauthorized: It is none of ours, or has ended.
        """
        return read_token(self.policy, token)

    def issue_token(self, caller: Caller, needs: Iterable[Need]) -> str:
        """Return a bearer token for what ``caller`` may do of ``needs``."""
        return issue_token(self.policy, caller, needs)

    def check(self, caller: Caller, needs: Iterable[Need]) -> None:
        """Return if ``caller`` may do all of ``needs``.

        Raises:
            Unauthorized: They have to log in, or to ask for a token that is good for it.
            Denied: They lack a right. The same is said whether the repository exists or not.
        """
        policy = self.policy
        for need in needs:
            if policy.may(caller.identity, need):
                if caller.scope is not None and need not in caller.scope:
                    raise Unauthorized(
                        f"this token is not good for '{need}': ask for another",
                        "insufficient_scope",
                    )
            elif not policy.takes_logins:
                raise Denied(
                    f"nobody may {need.words} here: the administrator has to set"
                    " PULLFORGE_AUTH_FILE and to add users with 'pullforge user add'"
                )
            elif caller.identity is None:
                raise Unauthorized(
                    f"to {need.words}, log in first, for example with 'docker login'",
                    None if caller.scope is None else "insufficient_scope",
                )
            else:
                raise Denied(
                    f"'{caller.identity.name}' may not {need.words}:"
                    f" the administrator can give the right '{need}'"
                )
