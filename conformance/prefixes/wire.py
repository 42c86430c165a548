"""A wire between a machine and a server, which can be cut."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 65_536


class Wire:
    """A port that leads to a server; a context manager."""

    def __init__(self, server: str) -> None:
        """Prepare it.

        Args:
            server: E.g. ``"http://127.0.0.1:8080"``.
        """
        parts = urlsplit(server)
        self._address = (parts.hostname, parts.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._left_bytes: int | None = None
        self._is_cut = False
        #: After how long without a byte a connection is closed, as impatient proxies do.
        self.patience_seconds: float | None = None
        #: How many connections were closed for that.
        self.impatient = 0

    @property
    def host(self) -> str:
        """What clients are told."""
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Open it."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it, and all connections."""
        self._listening.close()
        self._close_all()

    def cut(self) -> None:
        """Close all connections, and each new one at once."""
        self._is_cut = True
        self._close_all()

    def cut_after(self, size_bytes: int) -> None:
        """Cut it when so many more bytes have come from the server."""
        self._left_bytes = size_bytes

    def mend(self) -> None:
        """Let everything pass again."""
        self._left_bytes, self._is_cut = None, False

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes."""
        return self._is_cut

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self._is_cut:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._address) as server:
            server.settimeout(self.patience_seconds)
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(target=self._pass_back, args=[server, client], daemon=True)
            back.start()
            while data := client.recv(_CHUNK_BYTES):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(_CHUNK_BYTES):
                if self._left_bytes is not None:
                    self._left_bytes -= len(data)
                    if self._left_bytes < 0:
                        self.cut()
                        return
                client.sendall(data)
        except TimeoutError:
            self.impatient += 1
        except OSError:
            return
        finally:
            _close(client)

    def _close_all(self) -> None:
        with self._lock:
            found, self._open = self._open, set()
        for one in found:
            _close(one)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
