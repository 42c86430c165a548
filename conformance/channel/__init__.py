"""A conda channel and a base image of real packages, made where neither can be downloaded.

    paths = ensure()            # builds once, some minutes; returns at once afterwards
    with ChannelServer(paths.channel) as server:
        ...  # server.url

`python -m conformance.channel` does the same from a shell.
"""

from __future__ import annotations

from conformance.channel.stored import ChannelPaths, ensure

__all__ = ["HUNDRED", "ChannelPaths", "ensure"]

#: Names whose environment has more than a hundred packages; in the `full` tier only.
HUNDRED = ("jupyterlab", "matplotlib", "pandas", "scikit-learn")
