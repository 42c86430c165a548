"""Which Python distributions a conda package installs, as pip and uv would find them.

Source: PyPA's "Recording installed projects" (``*.dist-info``), and setuptools' egg format
(``*.egg-info``), which older packages have.
"""

import re
from collections.abc import Iterable
from typing import Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

#: Name and version are separated by the last hyphen: those inside either are written otherwise.
_METADATA: Final = re.compile(
    r"(?:lib/python[0-9.]+t?/)?site-packages/"
    r"(?P<name>[A-Za-z0-9._-]+)-(?P<version>[0-9][^/-]*?)"
    r"(?:\.dist-info|(?:-py[0-9.]+)?\.egg-info)(?:/.*)?"
)


def distributions_of(paths: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return name (PEP 503) and version of each distribution among a package's paths, sorted.

    >>> distributions_of(["site-packages/ruamel.yaml-0.18.6.dist-info/METADATA"])
    (('ruamel-yaml', '0.18.6'),)
    >>> distributions_of(["lib/python3.11/site-packages/PyYAML-6.0-py3.11.egg-info"])
    (('pyyaml', '6.0'),)
    """
    found: set[tuple[str, str]] = set()
    for path in paths:
        # Says no to nearly every path, and much faster than the expression.
        if "-info" not in path:
            continue
        match = _METADATA.fullmatch(path)
        if match is None:
            continue
        try:
            version = str(Version(match["version"]))
        except InvalidVersion:
            continue
        found.add((canonicalize_name(match["name"]), version))
    return tuple(sorted(found))
