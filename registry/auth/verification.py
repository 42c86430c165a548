"""Verifying passwords in threads: few at once, and in turn for all who want it.

Each takes a processor and 64 MiB for a while, so that whoever sends many would have all of it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from registry.errors import TooManyLogins

#: How many passwords are verified at once; each takes 64 MiB and up to four threads.
_PARALLEL: Final = 2
#: How many may wait or be verified: more would wait longer than the 15 s that docker does.
_MAX_WAITING: Final = 50
#: When it is worth trying again after that.
_RETRY_SECONDS: Final = 60


class Verification:
    """Gives each address one thread at a time, addresses in turn.

    When there are too many, the last of the address that has most waiting is sent away: one that
    sends one password is not among them, whatever others do.
    """

    def __init__(self) -> None:
        """Start threads when they are needed."""
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="login")
        self._running: set[str] = set()
        #: Who waits, by address; the address whose turn is next comes first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def close(self) -> None:
        """Wait for what is being verified."""
        self._threads.shutdown()

    async def run(
        self,
        verify: Callable[[str, str | None], bool],
        secret: str,
        hashed: str | None,
        address: str,
    ) -> bool:
        """Return what ``verify`` says.

        Raises:
            TooManyLogins: Too many wait.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        if self._count() > _MAX_WAITING:
            self._send_one_away()
        self._go_on()
        await turn
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, verify, secret, hashed)
        finally:
            self._running.discard(address)
            self._go_on()

    def _count(self) -> int:
        return len(self._running) + sum(map(len, self._waiting.values()))

    def _send_one_away(self) -> None:
        address, slots = max(self._waiting.items(), key=lambda item: len(item[1]))
        slots.pop().set_exception(
            TooManyLogins("too many log in at this moment: try again in a minute", _RETRY_SECONDS)
        )
        if not slots:
            del self._waiting[address]

    def _go_on(self) -> None:
        """Begin what has its turn now."""
        for address in [one for one in self._waiting if one not in self._running]:
            if len(self._running) >= _PARALLEL:
                return
            slots = self._waiting[address]
            slots.popleft().set_result(None)
            self._running.add(address)
            self._waiting.move_to_end(address)
            if not slots:
                del self._waiting[address]
