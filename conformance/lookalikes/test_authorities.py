"""A machine that trusts nobody yet: a bare Debian, without `ca-certificates`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from conformance import pypi
from conformance.channel import ChannelPaths
from conformance.clients.engines.program import run
from conformance.clients.server import ROOT
from conformance.lookalikes.namespace import is_possible, unshare

_HIDE = 'mount -t tmpfs none /etc/ssl/certs && exec env -u SSL_CERT_FILE -u SSL_CERT_DIR "$@"'
_ASK = """
import asyncio, pathlib, sys
from builder.pypi import Uv
from builder.solve import Solver
from builder.spec import Channel
from conformance.lookalikes import AnacondaOrg, PyPI

async def main(channel, index, directory):
    (directory / "wanted.in").write_text("six")
    uv = Uv(index.settings["pypi_index"], directory / "uv")
    print((await uv.compile(["wanted.in"], directory)).text)
    solver = Solver(directory / "repodata")
    (names,) = (await solver.known_names([Channel("main", channel.url)], ["linux-64"])).values()
    print("numpy" in names)
    await solver.close()

channel, index, directory = map(pathlib.Path, sys.argv[1:])
with AnacondaOrg(channel) as anaconda, PyPI(index) as pypi:
    asyncio.run(main(anaconda, pypi, directory))
"""


def test_channels_and_an_index_without_tls_can_be_asked(
    paths: ChannelPaths, tmp_path: Path
) -> None:
    """Neither rattler nor uv starts there by itself, whatever it is to ask."""
    reason = is_possible()
    if reason is not None:
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    python: list[str | Path] = [sys.executable, "-c", _ASK, paths.channel, pypi.ensure(), tmp_path]
    command = [*unshare("--mount"), "sh", "-c", _HIDE, "sh", *python]
    outcome = run(command, env={"PYTHONPATH": str(ROOT)})
    assert outcome.returncode == 0, outcome.output
    assert "six==1.17.0" in outcome.stdout
    assert outcome.stdout.rstrip().endswith("True")
