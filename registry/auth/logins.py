"""Names and passwords: verified off the event loop, few at a time, and not again and again."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from lru import LRU

from builder.concurrency.single_flight import SingleFlight
from registry.auth.login_limits import LoginLimits
from registry.auth.policy import Identity, Policy
from registry.auth.secret import is_token, verify_secret
from registry.auth.verification import Verification
from registry.clients.address import client_at
from registry.errors import TooManyLogins, Unauthorized

#: How long a password that was right is not verified again.
_REMEMBER_SECONDS: Final = 300
#: How many passwords are remembered.
_MAX_REMEMBERED: Final = 10_000

_log = structlog.get_logger("registry.auth")


@dataclass(frozen=True, slots=True)
class _Verified:
    """A password that was right."""

    #: The hash that it was verified against: another one makes this worthless.
    hashed: str
    until: float


class Logins:
    """Finds out whether a name and a secret belong together.

    What it remembers is bounded, and holds no password: a digest keyed with what only this process
    knows.

    Args:
        clock: Tells seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._verification = Verification()
        self._limits = LoginLimits(clock)
        self._flight: SingleFlight[bool] = SingleFlight()
        self._verified: LRU[bytes, _Verified] = LRU(_MAX_REMEMBERED)

    async def aclose(self) -> None:
        """Wait for what is being verified."""
        await self._flight.settle()
        self._verification.close()

    async def log_in(self, policy: Policy, name: str, secret: str, address: str) -> Identity:
        """Return who ``name`` is.

        Args:
            policy: Of the moment.
            name: As it was presented; need not exist.
            secret: The password or token that was presented.
            address: Where the client is, for counting what fails.

        Raises:
            Unauthorized: The secret is not theirs, they have expired, or there is nobody of that
                name; which of them is not told.
            TooManyLogins: Too many failed from there, or too many are being verified.
        """
        identity = policy.identities.get(name)
        hashed = identity.hashed if identity else None
        memory = self._digest(name, secret)
        if not self._is_remembered(memory, hashed):
            attempt = f"{memory.hex()} {hashed}"
            if self._flight.running(attempt):
                # A node that starts ten pods logs in ten times; none of them learns more than one.
                is_right = await self._flight.run(attempt, _is_running)
            else:
                is_right = await self._try(attempt, name, secret, hashed, address)
            if not is_right:
                # A name that nobody has may be a password in the wrong field.
                _log.warning("refused login", user=name if identity else None, address=address)
                raise refused_login()
            if hashed:
                self._verified[memory] = _Verified(hashed, self._clock() + _REMEMBER_SECONDS)
        if identity is None or identity.is_expired(time.time()):
            raise refused_login()
        return identity

    async def _try(
        self, attempt: str, name: str, secret: str, hashed: str | None, address: str
    ) -> bool:
        """Count an attempt, then verify it."""
        tried = self._limits.begin(name, address)

        async def work() -> bool:
            if is_token(secret):
                is_right = verify_secret(secret, hashed)
            else:
                try:
                    is_right = await self._verification.run(
                        verify_secret, secret, hashed, client_at(address)
                    )
                except TooManyLogins:
                    self._limits.take_back(tried)
                    raise
            if is_right:
                self._limits.succeed(tried)
            return is_right

        return await self._flight.run(attempt, work)

    def _digest(self, name: str, secret: str) -> bytes:
        text = f"{len(name)}:{name}{secret}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _is_remembered(self, memory: bytes, hashed: str | None) -> bool:
        found = self._verified.get(memory)
        return found is not None and found.hashed == hashed and found.until > self._clock()


async def _is_running() -> bool:
    raise AssertionError("the attempt is under way")


def refused_login() -> Unauthorized:
    """Return what a login is answered that failed, whatever for."""
    return Unauthorized("name or password is wrong, or has expired")
