"""People who do something again and again, in threads of their own."""

import threading

from conformance.catalog.person import Person
from conformance.clients.server import Server

#: Longer than any single answer may take.
_END_SECONDS = 60


class Repeating(threading.Thread):
    """Does something again and again until it is told to end.

    Args:
        person: Who.
        server: At which server.
    """

    def __init__(self, person: Person, server: Server) -> None:
        super().__init__()
        self.person = person
        self.server = server
        self._ends = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Go on."""
        try:
            while not self._ends.is_set():
                pause = self.once()
                self._ends.wait(pause)
        except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
            self._error = error

    def end(self) -> None:
        """Let it end, and raise what it failed with.

        Raises:
            AssertionError: It waits for ever.
        """
        self._ends.set()
        self.join(_END_SECONDS)
        assert not self.is_alive(), "it waits for ever"
        if self._error is not None:
            raise self._error

    def once(self) -> float:
        """Do it, and return how long to rest, in seconds."""
        raise NotImplementedError
