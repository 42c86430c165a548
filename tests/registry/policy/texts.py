"""Policies and advisories that tests share."""

import json
from typing import Any

from registry.policy.policy import Policy, read_policy

#: Says something in each table.
EVERYTHING = """\
description = "What everybody keeps"
mode = "enforce"
contact = "it@example.org"
namespaces = ["*"]

[channels]
allowed = ["conda-forge", "bioconda"]
only_in = { bioconda = ["bioinformatics"] }

[packages]
denied = [
  "openssl <3.0.8",
  { spec = "left-pad", reason = "withdrawn" },
  { spec = "Evil_Thing>=2", manager = "pypi" },
]
required = ["tzdata", { spec = "pip", if = "python", reason = "people expect it" }]
default = [{ spec = "ca-certificates" }]

[licences]
allowed = []
denied = ["GPL-3.0-*", "AGPL-*"]
unknown = "deny"

[age]
minimum = "7 days"
exempt = ["ca-certificates", "openssl >=3.0.8"]

[advisories]
minimum_severity = "high"
ignore = ["GHSA-xxxx"]

[bases]
allowed = ["docker.io/library/debian:*", "none"]

[platforms]
allowed = ["linux-64"]

[pypi]
allowed = true
projects = ["requests", "acme-*"]

[limits]
packages = 500
size = "5 GB"
"""


def policy(text: str = EVERYTHING, name: str = "company", **known: Any) -> Policy:
    """Return a policy."""
    return read_policy(name, text, **known)


def osv(number: str = "GHSA-1", **fields: Any) -> dict[str, Any]:
    """Return an advisory about jinja2 below 3.1.4, as databases write one."""
    return {
        "id": number,
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "Jinja2"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.4"}]}
                ],
            }
        ],
        **fields,
    }


def osv_json(number: str = "GHSA-1", **fields: Any) -> bytes:
    """Return the same as JSON."""
    return json.dumps(osv(number, **fields)).encode()
