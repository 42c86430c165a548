"""The port between a server's protocol and what answers requests before an application does."""

from collections.abc import Sequence
from typing import Protocol


class Shortcut(Protocol):
    """Answers some requests without waiting for anything."""

    def answer(
        self, method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[bytes, bytes] | None:
        """Return header lines and body of the answer with status 200; ``None`` to pass it on.

        What is answered is also logged and counted. It must be what the application would answer.

        Args:
            method: ``b"GET"`` or ``b"HEAD"``, whose body is empty.
            url: As it was sent.
            headers: Of the request, names in lower case. It has no body.

        Returns:
            Each line with its end; those of this server and of the connection are not among them.
        """
        ...
