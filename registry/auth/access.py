"""The one place that says who may do what.

What one may do is the union of what the auth file says and of what grants in the database give, and
where a token of the database is used, no more than the token may.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from registry.auth.child_tokens import ChildToken, is_child, read_child, write_child
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import Caller, Identity, Policy, PolicySource
from registry.auth.rights import Need, Right
from registry.auth.roles import (
    Globs,
    Role,
    ServiceRole,
    Visible,
    common,
    globs_of,
    highest,
    lowest,
    role_of_rights,
    service_role_of_rights,
)
from registry.auth.secret import is_token
from registry.auth.tokens import invalid_token, issue_token, read_token
from registry.errors import DatabaseUnavailable, Denied, Unauthorized, never_pushed

#: The bearer token of whoever has not logged in, before there is a key to sign tokens with.
_NOBODY: Final = "anonymous"
#: That of whoever has logged in by what the database has, before it was read: it is good for what
#: is open to everyone, where no token is looked at.
_SOMEBODY: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Access:
    """Decides by the policy of the moment: what a caller may do is looked up each time."""

    source: PolicySource
    logins: Logins
    entitlements: Entitlements = field(default_factory=Entitlements)
    #: Whether people log in at a provider: then strangers are asked to before anybody has.
    has_provider: bool = False

    @property
    def policy(self) -> Policy:
        """The policy of the moment."""
        return self.source.policy

    @property
    def takes_logins(self) -> bool:
        """Whether there is anything to log in for."""
        return self.policy.takes_logins or self.entitlements.is_used or self.has_provider

    @property
    def hides(self) -> bool:
        """Whether there may be repositories that are not told of: namespaces are private."""
        return self.entitlements.is_used

    def is_open(self, needs: Iterable[Need]) -> bool:
        """Tell whether everyone may do all of ``needs``; a microsecond, from memory alone."""
        policy, entitlements = self.source.policy, self.entitlements
        for need in needs:  # no generator: it is on the warm path  # noqa: SIM110
            if not policy.is_open(need) or entitlements.closes(need):
                return False
        return True

    def is_hideable(self, repository: str) -> bool:
        """Tell whether some may know of a repository, and all others not.

        Those that the auth file makes private are no secret: its patterns decide, by names that
        need not exist.
        """
        need = Need("pull", repository)
        return self.source.policy.is_open(need) and self.entitlements.closes(need)

    def is_hidden(self, caller: Caller, repository: str) -> bool:
        """Tell whether a repository is, for that caller, one that was never pushed.

        Raises:
            DatabaseUnavailable: It is not known what they may.
        """
        if not self.is_hideable(repository) or self.may(caller, Need("pull", repository)):
            return False
        if caller.identity is not None:
            self._require_known()
        return True

    async def log_in(self, name: str, secret: str, address: str) -> Caller:
        """Return who has that password or token, with all they may do.

        The name beside a token of the database is not looked at: the token has an owner.

        Raises:
            Unauthorized: Nobody has, or their account is disabled.
            DatabaseUnavailable: It is not known whether somebody has.
            TooManyLogins: Too many failed from that address, or are being verified.
        """
        caller = self._caller_of_secret(secret)
        if caller is None:
            if is_token(secret) and self.policy.robot(secret) is None:
                self._require_known()  # before it is counted as a login that failed
            identity = await self.logins.log_in(self.policy, name, secret, address)
            caller = Caller(identity)
            if self.entitlements.is_disabled(identity.name):
                # They had the right password: nothing is told to those who guess.
                raise Unauthorized(f"'{identity.name}' is disabled here: ask the administrator")
        return caller

    def named(self, name: str | None) -> Caller:
        """Return somebody by their name, as whoever has logged in by a session is known.

        ``None``, and somebody who is nobody any more, is whoever has not logged in.
        """
        return Caller(self._identity(name) if name is not None else None)

    def renewed(self, caller: Caller) -> Caller | None:
        """Return somebody who sent a request as they are now; ``None``: nobody any more.

        What goes on for long is asked again: their token was revoked, or their password changed.
        """
        if caller.identity is None:
            return caller
        token = caller.token
        if caller.child is not None:
            found = self._caller_of_child(caller.child)
            return replace(found, scope=caller.scope) if found is not None else None
        if token is not None:
            token = self.entitlements.token_of_number(token.id)
            if token is None:
                return None
        identity = self._identity(caller.identity.name)
        if identity is None or (token is None and identity.hashed != caller.identity.hashed):
            return None
        return Caller(identity, caller.scope, token)

    def read_token(self, token: str) -> Caller:
        """Return whose token that is, with what it was asked for.

        Those that people and robots keep are taken as well; they are good for all that they may.

        Raises:
            Unauthorized: It is none of ours, or has ended.
            DatabaseUnavailable: It is not known whether it is.
        """
        if token == _SOMEBODY:
            self._require_known()
        if is_token(token):
            caller = self._caller_of_secret(token)
            if caller is None:
                robot = self.policy.robot(token)
                if robot is None:
                    self._require_known()
                caller = self.named(robot.name if robot is not None else None)
                if caller.identity is None:
                    raise invalid_token()
            return caller
        key = self._signing_key
        if not key:
            if token != _NOBODY:
                self._require_known()
                raise invalid_token()
            return Caller(None, frozenset())
        caller = read_token(
            self.policy,
            token,
            self._caller_of_number,
            key=key,
            caller_of_child=self._caller_of_child,
        )
        if caller.identity is not None and self.entitlements.is_disabled(caller.identity.name):
            raise invalid_token()
        return caller

    def issue_token(self, caller: Caller | None, needs: Iterable[Need]) -> str:
        """Return a bearer token for what ``caller`` may do of ``needs``.

        It does not tell what there is: of what they may not know, it says what it would if it did
        not exist. ``None`` is whoever cannot be known yet.
        """
        key = self._signing_key
        if caller is None:
            return _SOMEBODY
        if not key:
            # No database was read yet, so nobody can have logged in.
            return _NOBODY

        def lists(need: Need) -> bool:
            is_secret = need.verb == "pull" and self.is_hideable(need.repository or "")
            return is_secret or self.may(caller, need)

        return issue_token(self.policy, caller, needs, key=key, lists=lists)

    def write_child(self, child: ChildToken) -> str:
        """Return the secret of a child token.

        Raises:
            DatabaseUnavailable: There is nothing to sign it with yet.
        """
        if not self._signing_key:
            raise _unknown()
        return write_child(child, self._signing_key)

    def may(self, caller: Caller, need: Need) -> bool:
        """Tell whether ``caller`` may do what is needed, whatever they asked their token for."""
        if self.is_open((need,)):
            return True
        identity = caller.identity
        if identity is None or not caller.allows(need):
            return False
        return identity.has_right(need) or self.entitlements.may(identity.name, need)

    def check(self, caller: Caller, needs: Iterable[Need]) -> None:
        """Return if ``caller`` may do all of ``needs``.

        Raises:
            Unauthorized: They have to log in, or to ask for a token that is good for it.
            NameUnknown: They may not know of the repository. It is what is said of one that does
                not exist.
            Denied: They lack a right. The same is said whether the repository exists or not.
            DatabaseUnavailable: It is not known what they may.
        """
        for need in needs:
            if self.may(caller, need):
                if caller.scope is not None and need not in caller.scope:
                    raise Unauthorized(
                        f"this token is not good for '{need}': ask for another",
                        "insufficient_scope",
                    )
            elif not self.takes_logins:
                raise Denied(
                    f"nobody may {need.words} here: the administrator has to set"
                    " PULLFORGE_AUTH_FILE and to add users with 'pullforge user add'"
                )
            elif caller.identity is None:
                raise Unauthorized(
                    f"to {need.words}, log in first, for example with 'docker login'",
                    None if caller.scope is None else "insufficient_scope",
                )
            elif not self.entitlements.is_known:
                raise _unknown()
            elif need.verb == "pull" and self.is_hideable(need.repository or ""):
                raise never_pushed(need.repository or "")
            else:
                raise Denied(
                    f"'{caller.identity.name}' may not {need.words}:"
                    f" the administrator can give the right '{need}'"
                )

    def role(self, caller: Caller, namespace: str, environment: str | None = None) -> Role | None:
        """Return the role of ``caller`` on an environment; ``None``: in the whole namespace.

        An administrator is owner everywhere, and an auditor viewer.
        """
        name = caller.identity.name if caller.identity is not None else None
        found = highest(
            [
                {"administrator": "owner", "auditor": "viewer", None: None}[self._service(caller)],
                role_of_rights(_rights(caller), namespace, environment),
                self.entitlements.role(name, namespace, environment),
            ]
        )
        if not caller.limits or found is None:
            return found
        for rights in caller.limits:
            limit = role_of_rights(rights, namespace, environment)
            found = lowest(found, "owner" if limit == "admin" else limit)
        # What everyone may see, they see with any token.
        return highest([found, self.entitlements.role(None, namespace, environment)])

    def service_role(self, caller: Caller) -> ServiceRole | None:
        """Return what ``caller`` is in the whole service."""
        found = self._service(caller)
        for rights in caller.limits if found is not None else ():
            limit = service_role_of_rights(rights)
            if limit is None:
                return None
            found = found if limit == "administrator" else limit
        return found

    def visible(self, caller: Caller) -> Visible:
        """Return what ``caller`` may see of namespaces and environments."""
        name = caller.identity.name if caller.identity is not None else None
        if self.service_role(caller) is not None:
            return Visible(is_everything=True)
        open_to_all = set(self.entitlements.globs_of(None))
        if self._service(caller) is not None:
            mine: set[Globs] = {("*", "*")}
        else:
            mine = {*self.entitlements.globs_of(name), *_seen_by(_rights(caller))}
        if caller.limits:
            mine -= open_to_all  # what everyone may see, they see with any token
        for rights in caller.limits:
            both = (common(one, other) for one in mine for other in _seen_by(rights))
            mine = {globs for globs in both if globs is not None}
        return Visible(tuple(sorted(mine | open_to_all)))

    def own(self, caller: Caller) -> Visible:
        """Return what was given to ``caller``, or to a group of theirs, in namespaces by name.

        What everybody sees, and what somebody sees who looks after all of it, is not in it: this is
        where they are at home.
        """
        if caller.identity is None:
            return Visible()
        globs = self.entitlements.own_globs_of(caller.identity.name)
        return Visible(tuple(sorted({one for one in globs if "*" not in one[0]})))

    def why(self, caller: Caller, namespace: str, environment: str | None = None) -> list[str]:
        """Return where the role of ``caller`` comes from: a sentence for each reason."""
        name = caller.identity.name if caller.identity is not None else None
        found: list[str] = []
        theirs = _rights(caller)
        by_file = service_role_of_rights(theirs) or role_of_rights(theirs, namespace, environment)
        if by_file is not None:
            found.append(f"{by_file} through the auth file")
        found += [told for _, told in self.entitlements.why(name, namespace, environment)]
        for rights in caller.limits:
            words = ", ".join(map(str, rights)) or "nothing"
            found.append(f"limited by the token, which is good for {words}")
        return found

    @property
    def _signing_key(self) -> str:
        """What signs bearer tokens: the auth file's key, else the database's; or empty."""
        return self.policy.token_key or self.entitlements.signing_key

    def _service(self, caller: Caller) -> ServiceRole | None:
        """Return what somebody is in the service, whatever their token may."""
        if caller.identity is None:
            return None
        by_file = service_role_of_rights(caller.identity.rights)
        by_grant = self.entitlements.service_role(caller.identity.name)
        return "administrator" if "administrator" in {by_file, by_grant} else by_file or by_grant

    def _caller_of_secret(self, secret: str) -> Caller | None:
        """Return who uses a token of the database; ``None``: it is none, or has ended."""
        if is_child(secret):
            child = read_child(secret, self._signing_key)
            return self._caller_of_child(child) if child is not None else None
        token = self.entitlements.token(secret) if is_token(secret) else None
        identity = self._identity(token.principal) if token is not None else None
        return Caller(identity, token=token) if identity is not None else None

    def _caller_of_number(self, number: int) -> Caller | None:
        token = self.entitlements.token_of_number(number)
        if token is None:
            self._require_known()
        identity = self._identity(token.principal) if token is not None else None
        return Caller(identity, token=token) if identity is not None else None

    def _caller_of_child(self, child: ChildToken) -> Caller | None:
        """Return who uses a child token; ``None``: it, its parent or its owner has ended."""
        identity = self._identity(child.owner)
        if identity is None or child.expires_at.timestamp() <= self.entitlements.now():
            return None
        token = None
        if child.parent is not None:
            token = self.entitlements.parent_token(child.parent)
            if token is None or token.principal != child.owner:
                return None
        is_of_password = token is None or token.kind == "session"
        if is_of_password and identity.generation != child.generation:
            return None
        return Caller(identity, token=token, child=child)

    def _require_known(self) -> None:
        """Return if all is known that the database says of people.

        Raises:
            DatabaseUnavailable: It has not answered since this server was started.
        """
        if not self.entitlements.is_known:
            raise _unknown()

    def _identity(self, name: str) -> Identity | None:
        """Return who has a name, in the auth file or without it; ``None``: nobody any more."""
        if self.entitlements.is_disabled(name):
            return None
        identity = self.policy.identities.get(name)
        if identity is None:
            return None if self.entitlements.is_of_file(name) else Identity(name, "", ())
        return None if identity.is_expired(self.entitlements.now()) else identity


def _unknown() -> DatabaseUnavailable:
    """Return what is said to those who may perhaps: a 404 or 401 would send them away."""
    return DatabaseUnavailable(
        "what you may do is not known yet, since the database does not answer: try again in a"
        " moment"
    )


def _rights(caller: Caller) -> tuple[Right, ...]:
    return caller.identity.rights if caller.identity is not None else ()


def _seen_by(rights: Iterable[Right]) -> Iterable[Globs]:
    for right in rights:
        if "pull" in right.verbs:
            yield from globs_of(right.pattern)
