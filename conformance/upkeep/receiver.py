"""Whoever events are sent to: an HTTP server that checks signatures as programs of others do."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from standardwebhooks import Webhook

#: Longer than anything here takes, on a busy machine.
_UNTIL_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Received:
    """One message whose signature is right."""

    #: As ``webhook-id`` says it.
    id: str
    #: What happened.
    type: str
    data: dict[str, Any]


class Receiver:
    """Takes messages on a free loopback port, between ``with`` and its end."""

    def __init__(self) -> None:
        """Prepare it; it believes nobody before :meth:`trust`."""
        self._condition = threading.Condition()
        self._received: list[Received] = []
        #: What was sent and is not signed as it should be.
        self.wrong: list[str] = []
        self._webhook: Webhook | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where messages are sent to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/pullforge"

    @property
    def received(self) -> list[Received]:
        """All messages so far, in the order in which they came."""
        with self._condition:
            return list(self._received)

    @property
    def types(self) -> list[str]:
        """What they tell of."""
        return [one.type for one in self.received]

    def trust(self, secret: str) -> None:
        """Take what is signed by a secret; all else is refused."""
        self._webhook = Webhook(secret)

    def wait(self, is_it: Callable[[Received], bool]) -> Received:
        """Return the first message for which that holds, when it has come."""
        deadline = time.monotonic() + _UNTIL_SECONDS
        with self._condition:
            while True:
                found = next(filter(is_it, self._received), None)
                if found is not None:
                    return found
                assert self._condition.wait(deadline - time.monotonic()), self.types

    def __enter__(self) -> Self:
        """Take messages from now on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, body: bytes, headers: dict[str, str]) -> int:
        """Return the status by which a message is answered."""
        try:
            assert self._webhook is not None, "nobody is trusted yet"
            # As a receiver does it: over the bytes, with the time and the signature checked.
            self._webhook.verify(body, headers)
        except Exception as exc:  # noqa: BLE001 (whatever is wrong is told by the test)
            self.wrong.append(repr(exc))
            return 400
        document = json.loads(body)
        with self._condition:
            self._received.append(
                Received(headers["webhook-id"], document["type"], document["data"])
            )
            self._condition.notify_all()
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                lines = {name.lower(): text for name, text in self.headers.items()}
                self.send_response(receiver._take(body, lines))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 (its name)
                """Write nothing."""

        return Handler
