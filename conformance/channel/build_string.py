"""Build strings that change when the content does."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from conformance.channel.writer import Package


def with_build(package: Package, template: str) -> Package:
    """The package with `{hash}` in its build string replaced by a hash of what it contains.

    Caches of conda clients go by file name: other content must have another name.
    """
    digest = hashlib.sha256(repr((package.depends, package.constrains)).encode())
    for entry in sorted(package.entries, key=lambda e: e.path):
        digest.update(repr((entry.path, entry.link, entry.hardlink, entry.mode)).encode())
        digest.update(hashlib.sha256(entry.data).digest())
    return replace(package, build=template.format(hash=digest.hexdigest()[:7]))
