"""A client of one connection, that believes nothing which it is answered."""

import json
import re
import socket
from dataclasses import dataclass
from typing import Any, Final, Self

from tests.fuzz.requests import Sent

#: Longer than any answer may take here: what is built is tiny.
_SECONDS: Final = 60
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [A-Za-z' -]*")
#: RFC 9110, 11.6.1: a scheme, and parameters that each come once.
_CHALLENGE: Final = re.compile(r'(?:Bearer|Basic) (?:[a-z]+="[^"\\]*"(?:, ?|$))+')


class Cut(AssertionError):
    """The server left without an answer, or in the middle of one."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the document that it is."""
        return json.loads(self.body)


class Connection:
    """One connection to the server, made again when the server said that it leaves."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._data = b""
        #: How many connections there were.
        self.opened = 0

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self._close()

    def send(self, sent: Sent) -> Answer:
        """Send a request and return the answer.

        Raises:
            Cut: There is none, or not all of it.
        """
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), _SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._data = b""
            self.opened += 1
        try:
            self._socket.sendall(sent.wire())
            # CONNECT is whole; who says no more is taken for gone, if it is not answered at once.
            if not sent.is_sound and sent.method != "CONNECT":
                self._socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was whole: the answer says why
        answer = self._read(sent)
        if not sent.is_sound or answer.headers.get("connection", "").lower() == "close":
            self._close()
        return answer

    def _read(self, sent: Sent) -> Answer:
        while True:
            lines = self._until(b"\r\n\r\n").split(b"\r\n")
            status = _STATUS.fullmatch(lines[0])
            assert status, lines[0]
            if status[1] != b"100":
                break
        headers: dict[str, str] = {}
        for line in lines[1:]:
            match = _LINE.fullmatch(line)
            assert match, line
            name = match[1].decode().lower()
            # One line for each cookie (RFC 6265, 3).
            assert name not in headers or name == "set-cookie", f"{name} comes twice"
            headers[name] = match[2].decode("latin-1")
        return Answer(int(status[1]), headers, self._body(sent, int(status[1]), headers))

    def _body(self, sent: Sent, status: int, headers: dict[str, str]) -> bytes:
        if sent.method == "HEAD" or status in {204, 304}:
            return b""
        if headers.get("transfer-encoding") != "chunked":
            if "content-length" in headers:
                return self._exactly(int(headers["content-length"]))
            assert headers.get("connection") == "close", headers
            return self._until(b"")
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._exactly(size)
            self._exactly(2)
        self._exactly(2)
        return body

    def _until(self, end: bytes) -> bytes:
        while not end or end not in self._data:
            if not self._more():
                if end:
                    raise Cut(f"cut after {self._data[:200]!r}")
                found, self._data = self._data, b""
                return found
        found, _, self._data = self._data.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            if not self._more():
                raise Cut(f"cut in the middle of a body of {size} bytes")
        found, self._data = self._data[:size], self._data[size:]
        return found

    def _more(self) -> bool:
        assert self._socket is not None
        try:
            piece = self._socket.recv(65_536)
        except ConnectionResetError:
            piece = b""
        self._data += piece
        return bool(piece)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def check(sent: Sent, answer: Answer) -> None:
    """Fail if an answer is none that a client can do something with."""
    assert answer.status < 500 or answer.status == 503
    assert "x-injected" not in answer.headers
    challenge = answer.headers.get("www-authenticate")
    if challenge is not None:
        assert _CHALLENGE.fullmatch(challenge)
        names = re.findall(r'([a-z]+)="', challenge)
        assert len(set(names)) == len(names)
    if answer.status == 401:
        assert challenge
    if answer.status < 400 or sent.method == "HEAD" or not sent.is_sound:
        return
    if answer.status in {414, 431}:  # before anybody knows what is asked for
        assert answer.headers["connection"] == "close"
        return
    path = sent.target.partition(b"?")[0]
    if re.fullmatch(rb"/v2(/.*)?", path):
        assert answer.headers["content-type"] == "application/json"
        (error,) = answer.json()["errors"]
        assert set(error) == {"code", "message", "detail"}
    elif path in {b"/api/v1/login/device", b"/api/v1/login/device/token"}:  # RFC 6749, 5.2
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"error", "error_description"}
        error = {"message": answer.json()["error_description"]}
    elif path.startswith(b"/api/v1/"):
        assert answer.headers["content-type"] == "application/json"
        error = answer.json()["error"]
        assert set(error) - {"suggestions", "refusal"} == {"code", "message", "field", "line"}
    else:
        return
    message = error["message"]
    assert message.strip()
    assert "\n" not in message
    assert "\r" not in message
    assert "Traceback" not in message
    assert len(message) < 5000
