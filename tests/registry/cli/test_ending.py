"""Waiting for versions, and being told how they ended."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry.cli.servers import Person, answering


@pytest.mark.parametrize(
    "arguments", [["update", "ada/x", "/dev/null"], ["create", "/dev/null", "--to", "ada/x"]]
)
def test_whoever_stops_waiting_is_told_that_the_version_goes_on(
    arguments: list[str], tmp_path: Path
) -> None:
    version = {"number": 3, "state": "queued", "message": None}
    answer = json.dumps({**version, "namespace": "ada", "slug": "x", "version": version}).encode()
    with answering(200, answer) as host:
        # What a shell starts in the background ignores the signal, and so would this.
        heeding = ["env", "--default-signal=INT", sys.executable]
        waiting = subprocess.Popen(
            [*heeding, "-m", "registry", "env", *arguments, "--server", host],
            env={**os.environ, **Person("ada", tmp_path).environ, "TTY_COMPATIBLE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert waiting.stderr is not None
        shown = b""
        while b"version 3 is queued" not in shown:
            more = os.read(waiting.stderr.fileno(), 4096)
            assert more, shown
            shown += more
        waiting.send_signal(signal.SIGINT)
        stdout, stderr = waiting.communicate(timeout=60)
    assert waiting.returncode == 130, stderr
    assert stdout == b""
    told = "version 3 goes on: 'pullforge env wait ada/x:v3', or 'pullforge env cancel ada/x:v3'"
    assert told in stderr.decode()
    assert b"Traceback" not in stderr
