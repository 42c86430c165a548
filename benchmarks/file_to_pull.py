"""``file-to-pull``: from the change of a watched file until docker has the image with the package.

The server has seen every package in other environments, and docker has the image of before, as a
machine has that follows an environment. Each change adds a package that no version had.
"""

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.images import DOCKER, get_manifest
from conformance.accounts import ADMIN, PASSWORD, Accounts
from conformance.clients.images import ACCEPT
from conformance.clients.server import Server

#: What the environment begins with; 460 MB.
_PACKAGES: Final = ("matplotlib", "pandas", "scikit-learn")
_SHORT_PACKAGES: Final = ("python",)
#: What is added, one after the other; none of them is among what the others need.
_ADDED: Final = ("click", "idna", "anyio", "attrs", "jinja2", "rich", "defusedxml", "decorator")
_SPACE, _ENVIRONMENT = "team", "forecast"
_POLL_SECONDS: Final = 0.02
_MOST_SECONDS: Final = 120


def measure(bench: Bench) -> Figure:
    """Return the seconds that it takes, the median over all changes."""
    packages = list(_SHORT_PACKAGES if bench.short else _PACKAGES)
    added = _ADDED[:1] if bench.short else _ADDED
    files = bench.directory("files")
    accounts = Accounts(bench.directory("accounts") / "auth.toml")
    watch = [{"path": str(files), "namespace": _SPACE, "name": "files"}]
    file = files / _ENVIRONMENT / "environment.yml"
    file.parent.mkdir()
    with bench.server(auth_file=accounts.path, watch=watch) as server:
        for package in (*packages, *added):
            get_manifest(server, f"env/{package}:latest")
        login = bench.docker.log_in(server.host, ADMIN, PASSWORD)
        assert login.ok, login.output
        image = server.reference(f"{_SPACE}/{_ENVIRONMENT}:latest")
        digest, (taken, there) = "", ([], [])
        for package in ("", *added):
            packages += [package] if package else []
            os.sync()
            before = time.monotonic()
            _write(file, packages)
            digest = _another(server, digest)
            answered = time.monotonic()
            pulled = bench.docker.pull(image)
            assert pulled.ok, f"{pulled.output}\n{server.log_end()}"
            if package:
                taken.append(time.monotonic() - before)
                there.append(answered - before)
                bench.docker.run(image, "python", "-c", f"import {package}")
        bench.docker.log_out(server.host)
    note = (
        f"{min(taken):.2f} to {max(taken):.2f} s, over {len(taken)} changes; the image is there"
        f" after {statistics.median(there):.2f} s, then docker pulls it"
    )
    return Figure(statistics.median(taken), len(taken), note)


def _write(file: Path, packages: Sequence[str]) -> None:
    file.write_text(f"dependencies: [{', '.join(packages)}]\n", encoding="utf-8")


def _another(server: Server, digest: str) -> str:
    """Return the digest of the environment's image once it is another one."""
    url = f"{server.url}/v2/{_SPACE}/{_ENVIRONMENT}/manifests/latest"
    headers = {"Accept": ACCEPT, "User-Agent": DOCKER}
    deadline = time.monotonic() + _MOST_SECONDS
    with httpx.Client(auth=(ADMIN, PASSWORD), headers=headers, timeout=_MOST_SECONDS) as http:
        while True:
            answer = http.head(url, follow_redirects=True)
            found: str = answer.headers.get("Docker-Content-Digest", digest)
            if answer.is_success and found != digest:
                return found
            assert time.monotonic() < deadline, f"{answer.status_code}: {server.log_end()}"
            time.sleep(_POLL_SECONDS)
