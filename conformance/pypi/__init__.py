"""A local index of real wheels from PyPI, for tests without internet access.

    with ChannelServer(pypi.ensure()) as server:    # of conformance.channel, with its faults
        settings = pypi.settings(server.url)

`python -m conformance.pypi` does the same from a shell.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from conformance.pypi.stored import ensure

__all__ = ["ensure", "settings"]


def settings(url: str) -> dict[str, object]:
    """The server's settings for an index that is served at `url`."""
    return {"pypi_index": f"{url}/simple", "pypi_hosts": [urlsplit(url).netloc]}
