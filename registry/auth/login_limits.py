"""How often a login may fail.

Each try is counted before it is verified, and given back if it was right: so many at once count as
so many one after the other. It is counted

* by name and address: whoever guesses one password;
* by address, whatever the names: whoever tries one password with many names;
* by name, whatever the addresses: whoever guesses from many. Nobody is locked out by that: while
  there are too many, each address has one try a minute.

The latter two count nobody who has logged in with this name from this address before: neither
somebody else behind the same address, nor a thousand strangers elsewhere, keep them out.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lru import LRU

from registry.clients.address import client_at
from registry.clients.token_buckets import TokenBuckets
from registry.errors import TooManyLogins

#: Failures of one address with one name: at once, and each minute after that.
MAX_FAILURES: Final = 10
#: Failures of one address with all names.
MAX_ADDRESS_FAILURES: Final = 60
#: Failures with one name from all addresses, until each address has one try a minute.
MAX_NAME_FAILURES: Final = 100
#: How many names that have logged in, with where, are remembered.
_MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Try:
    """One login that is being verified."""

    name: bytes
    address: bytes
    #: How much of what name and address have together it takes.
    tokens: int
    #: Whether it counts for the name alone and the address alone.
    is_strange: bool

    @property
    def both(self) -> bytes:
        """Name and address together."""
        return b"%d:%s%s" % (len(self.name), self.name, self.address)


class LoginLimits:
    """Counts logins; its memory does not grow with what is sent.

    Args:
        clock: Tells seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._together = TokenBuckets(MAX_FAILURES, MAX_FAILURES, clock)
        self._addresses = TokenBuckets(MAX_ADDRESS_FAILURES, MAX_ADDRESS_FAILURES, clock)
        self._names = TokenBuckets(MAX_NAME_FAILURES, MAX_NAME_FAILURES, clock)
        self._known: LRU[bytes, bool] = LRU(_MAX_KNOWN)

    def begin(self, name: str, address: str) -> Try:
        """Count a try that is to be verified.

        Raises:
            TooManyLogins: There were too many; this one is not counted.
        """
        tried = Try(name.encode("utf-8", "surrogatepass"), client_at(address).encode(), 1, True)
        if self._known.get(tried.both) is not None:
            tried = Try(tried.name, tried.address, 1, False)
        elif self._names.take(tried.name):
            tried = Try(tried.name, tried.address, MAX_FAILURES, True)
        else:
            self._names.give_back(tried.name)
        wait = self._together.take(tried.both, tried.tokens)
        if wait:
            raise _refused("logins with this name have failed", wait)
        if tried.is_strange:
            wait = self._addresses.take(tried.address)
            if wait:
                self._together.give_back(tried.both, tried.tokens)
                raise _refused("logins from this address have failed", wait)
            if tried.tokens == 1:
                self._names.take(tried.name)
        return tried

    def take_back(self, tried: Try) -> None:
        """Count a try no more: it was not verified."""
        self._together.give_back(tried.both, tried.tokens)
        if tried.is_strange:
            self._addresses.give_back(tried.address)
            if tried.tokens == 1:
                self._names.give_back(tried.name)

    def succeed(self, tried: Try) -> None:
        """Count a try no more: it was right; from now on this name is known there."""
        self.take_back(tried)
        self._known[tried.both] = True


def _refused(what: str, wait: float) -> TooManyLogins:
    seconds = math.ceil(wait)
    return TooManyLogins(f"too many {what}: try again in {seconds} s", seconds)
