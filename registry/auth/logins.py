"""Names and passwords: verified off the event loop, few at a time, and not again and again."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from builder.flight import SingleFlight
from registry.auth.policy import Identity, Policy
from registry.auth.secret import is_token, verify_secret
from registry.errors import TooManyLogins, Unauthorized
from registry.recent import Recent

#: How long a password that was right is not verified again.
_REMEMBER_SECONDS: Final = 300
#: How many passwords are remembered, and how many failures.
_MAX_REMEMBERED: Final = 10_000
#: How many passwords are verified at once; each takes 64 MiB and up to four threads.
_PARALLEL: Final = 2
#: How many may wait for that: more would wait longer than the 15 s that docker does.
_MAX_WAITING: Final = 50
#: How often one address may fail with one name before it has to wait.
_MAX_FAILURES: Final = 10
_FAILURES_SECONDS: Final = 60

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
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start threads when they are needed.

        Args:
            clock: Tells seconds that pass.
        """
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="login")
        self._flight: SingleFlight[bool] = SingleFlight()
        self._waiting = 0
        self._verified: Recent[bytes, _Verified] = Recent(_MAX_REMEMBERED)
        self._failures: Recent[tuple[str, str], list[float]] = Recent(_MAX_REMEMBERED)

    async def aclose(self) -> None:
        """Wait for what is being verified."""
        await self._flight.settle()
        self._threads.shutdown()

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
            self._require_patience(name, address)
            if not await self._verify(memory, secret, hashed):
                self._note_failure(name, address, known=identity is not None)
                raise _refused()
            if hashed:
                self._verified.put(memory, _Verified(hashed, self._clock() + _REMEMBER_SECONDS))
        if identity is None or identity.is_expired(time.time()):
            raise _refused()
        return identity

    async def _verify(self, memory: bytes, secret: str, hashed: str | None) -> bool:
        if is_token(secret):
            return verify_secret(secret, hashed)
        loop = asyncio.get_running_loop()

        async def work() -> bool:
            try:
                return await loop.run_in_executor(self._threads, verify_secret, secret, hashed)
            finally:
                self._waiting -= 1

        # A node that starts ten pods logs in ten times.
        attempt = f"{memory.hex()} {hashed}"
        if not self._flight.running(attempt):
            if self._waiting >= _MAX_WAITING:
                raise TooManyLogins("too many log in at this moment: try again in a minute")
            self._waiting += 1
        return await self._flight.run(attempt, work)

    def _digest(self, name: str, secret: str) -> bytes:
        text = f"{len(name)}:{name}{secret}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _is_remembered(self, memory: bytes, hashed: str | None) -> bool:
        found = self._verified.get(memory)
        return found is not None and found.hashed == hashed and found.until > self._clock()

    def _require_patience(self, name: str, address: str) -> None:
        if len(self._recent_failures(name, address)) >= _MAX_FAILURES:
            raise TooManyLogins(
                f"{_MAX_FAILURES} logins with this name have failed: try again in a minute"
            )

    def _note_failure(self, name: str, address: str, *, known: bool) -> None:
        failures = [*self._recent_failures(name, address), self._clock()]
        self._failures.put((name, address), failures[-_MAX_FAILURES:])
        # A name that nobody has may be a password in the wrong field.
        _log.warning("refused login", user=name if known else None, address=address)

    def _recent_failures(self, name: str, address: str) -> list[float]:
        since = self._clock() - _FAILURES_SECONDS
        return [at for at in self._failures.get((name, address)) or [] if at > since]


def _refused() -> Unauthorized:
    return Unauthorized("name or password is wrong, or has expired")
