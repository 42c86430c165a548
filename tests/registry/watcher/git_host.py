"""A host of repositories: git's own server behind TLS, as Gitea, GitLab and others put it."""

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trustme

#: What runs git's server takes of a request, beside what stands in its address.
_HEADERS: Final = {
    "CONTENT_TYPE": "Content-Type",
    "HTTP_GIT_PROTOCOL": "Git-Protocol",
    "HTTP_CONTENT_ENCODING": "Content-Encoding",
}


class GitHost:
    """Serves the bare repositories of a directory on a port of this machine."""

    def __init__(self, root: Path, authority: trustme.CA) -> None:
        self.root = root
        #: What has to come as ``Authorization``; ``None``: nothing.
        self.authorization: str | None = None
        #: Where a path redirects to.
        self.locations: dict[str, str] = {}
        #: Answers nothing until this is set.
        self.answers = threading.Event()
        self.answers.set()
        #: The path and ``Authorization`` of each request.
        self.requests: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.place = f"127.0.0.1:{self._server.server_port}"
        self.url = f"https://{self.place}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answers.wait(20)
                sent = self.headers.get("Authorization", "")
                host.requests.append((self.path, sent))
                if location := host.locations.get(urlsplit(self.path).path):
                    self.send_response(302)
                    self.send_header("Location", location)
                    self._finish(b"")
                elif host.authorization not in {None, sent}:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self._finish(b"")
                else:
                    self._answer()

            do_POST = do_GET  # noqa: N815

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                told = {name: self.headers.get(header, "") for name, header in _HEADERS.items()}
                length = int(self.headers.get("Content-Length", "0"))
                answer = subprocess.run(
                    ["git", "http-backend"],
                    check=True,
                    capture_output=True,
                    input=self.rfile.read(length),
                    env={
                        "PATH": os.environ["PATH"],
                        "GIT_PROJECT_ROOT": str(host.root),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "REQUEST_METHOD": self.command,
                        "PATH_INFO": parts.path,
                        "QUERY_STRING": parts.query,
                        "CONTENT_LENGTH": str(length),
                        **told,
                    },
                ).stdout
                head, _, body = answer.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(fields.pop("Status", "200").split()[0]))
                for name, value in fields.items():
                    self.send_header(name, value)
                self._finish(body)

            def _finish(self, body: bytes) -> None:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (so it is called)
                pass

        return Handler


@contextmanager
def open_git_host(root: Path, authority: trustme.CA) -> Iterator[GitHost]:
    """Give a host that ends on exit."""
    host = GitHost(root, authority)
    host.start()
    try:
        yield host
    finally:
        host.close()
