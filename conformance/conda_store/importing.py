"""Servers that a conda-store is moved to, and the command that does it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance.accounts import ADMIN, PASSWORD, Accounts
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import ROOT, Server


@contextmanager
def receiving(home: Path, paths: ChannelPaths, channel: ChannelServer) -> Iterator[Server]:
    """Run an empty server, to which this home has logged in."""
    home.mkdir()
    accounts = Accounts(home / "auth.toml")
    settings = {"auth_file": accounts.path, "platforms": ["linux-64"]}
    with Server(home / "store", channel.url, paths.base, settings) as server:
        login = command(home, "login", server.url, f"--user={ADMIN}", "--password-stdin")
        said = login.communicate()
        assert login.returncode == 0, said
        yield server


def command(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command of somebody who lives there."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home)}
    program = subprocess.Popen(
        [sys.executable, "-m", "registry", *arguments],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    program.stdin.write(PASSWORD)
    program.stdin.close()
    program.stdin = None
    return program


def report_of(home: Path, *arguments: str) -> dict[str, Any]:
    """Import to the end, and return the report."""
    program = command(home, "import", *arguments, "--output=json")
    out, err = program.communicate()
    assert program.returncode == 0, (out, err)
    report: dict[str, Any] = json.loads(out)
    return report


def kill_after(home: Path, asked: Sequence[str], server: Server, requests: int) -> None:
    """Run the command until the server has answered so many of its requests that write builds."""
    wanted = written(server) + requests
    program = command(home, "import", *asked)
    while written(server) < wanted:
        assert program.poll() is None, "it came to its end before it was killed"
        time.sleep(0.01)
    program.kill()
    program.communicate()


def written(server: Server) -> int:
    """Return how many requests that write builds a server has answered."""
    lines = server.log.read_text(encoding="utf-8").splitlines()
    return sum("/imported-versions" in line and "PUT" in line for line in lines)
