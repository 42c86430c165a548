"""nginx with files: as fast as HTTP gets."""

from pathlib import Path
from typing import Final, Self

import httpx

from conformance.clients.engines.program import Daemon
from conformance.ports import free_port

_CONFIG: Final = """\
daemon off;
user root;
worker_processes auto;
pid {root}/pid;
error_log {root}/error.log;
events {{ }}
http {{
  access_log {root}/access.log;
  client_body_temp_path {root}/tmp;
  sendfile on;
  keepalive_requests 1000000;
  open_file_cache max=100;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {root}/files; }}
  }}
}}
"""


class Nginx:
    """An nginx that serves the files of a directory."""

    def __init__(self, directory: Path) -> None:
        """Prepare it; ``directory`` is for settings and logs, and the files are in ``files``."""
        self.files = directory / "files"
        self.files.mkdir()
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        config = directory / "nginx.conf"
        config.write_text(_CONFIG.format(root=directory, port=port))
        self._daemon = Daemon(["nginx", "-c", config, "-e", "stderr"], directory / "log", {})

    def __enter__(self) -> Self:
        """Start it."""
        self._daemon.start(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._daemon.stop()

    def _answers(self) -> bool:
        try:
            httpx.get(self.url, timeout=5)
        except httpx.TransportError:
            return False
        return True
