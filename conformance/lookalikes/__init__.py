"""Servers that behave as the real ones are known to, over what was made here.

    with AnacondaOrg(channel.ensure().channel) as anaconda, DockerHub(base) as hub:
        ...  # anaconda.url, hub.reference

`python -m conformance.lookalikes COMMAND…` runs a command where the real names are theirs.
"""

from __future__ import annotations

from conformance.lookalikes.channels import AnacondaOrg, Credentials, PrefixDev
from conformance.lookalikes.pypi import PyPI
from conformance.lookalikes.registry import DockerHub, Ghcr
from conformance.lookalikes.site import Placement

__all__ = ["AnacondaOrg", "Credentials", "DockerHub", "Ghcr", "Placement", "PrefixDev", "PyPI"]
