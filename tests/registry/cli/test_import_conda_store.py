"""What ``pullforge import conda-store`` says before anything is moved."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from tests.registry.cli.servers import Person, running


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ([], "what was imported stays, and the same command goes on from there"),
        (["--dry-run"], "nothing was changed"),
    ],
)
def test_whoever_interrupts_it_is_told_what_becomes_of_it(
    option: list[str], told: str, tmp_path: Path
) -> None:
    is_asked = threading.Event()

    async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
        is_asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    with running(silent, "off") as port:
        url = f"http://127.0.0.1:{port}"
        # What a shell starts in the background ignores the signal, and so would this.
        heeding = ["env", "--default-signal=INT", sys.executable]
        importing = subprocess.Popen(
            [*heeding, "-m", "registry", "import", "conda-store", url, "--server", url, *option],
            env={**os.environ, **Person("root", tmp_path).environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert is_asked.wait(60)
        importing.send_signal(signal.SIGINT)
        stdout, stderr = importing.communicate(timeout=60)
    assert (importing.returncode, stdout) == (130, "")
    assert stderr == f"pullforge: interrupted; {told}\n"


def test_a_choice_that_there_is_not_is_told_in_plain_words(tmp_path: Path) -> None:
    said = Person("root", tmp_path)(
        "import", "conda-store", "http://localhost:1", "--roles", "v3", code=2
    ).stderr
    assert "'v3' is not one of 'v1', 'v2', 'none'" in said
    assert "Value error" not in said


@pytest.mark.parametrize("command", ["conda-store", "conda-store-dump"])
def test_its_help_has_each_sentence_in_one_line(command: str, tmp_path: Path) -> None:
    lines = Person("root", tmp_path)("import", command, "--help").stdout.splitlines()
    head = [line.strip() for line in lines[: next(n for n, one in enumerate(lines) if "╭" in one)]]
    assert "Exit code 1: something was refused." in head
    assert all(one.endswith(".") for one in head if one and "Usage" not in one)
