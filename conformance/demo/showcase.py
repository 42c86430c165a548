"""Something to look at in the pages: people, two namespaces, environments in every state, a policy.

What it needs is in the demonstration's channel. Everybody's password is :data:`PASSWORD`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from registry.auth import policy_editor

PASSWORD: Final = "demo"
#: Who may do everything; who has the first namespace; who has the second.
ADMINISTRATOR: Final = "grace"
PEOPLE: Final = ("ada", "emil", "kim", "noor")
#: Pages to begin with.
TO_LOOK_AT: Final[Mapping[str, str]] = {
    "analytics": "a team's environments, of which one waits for IT",
    "research": "another team's, for those of it alone",
    "ui/waivers": "what IT has to decide",
}

_BUILD_SECONDS: Final = 300
_ADVISORY: Final = {
    "id": "DEMO-2026-1",
    "modified": "2026-11-01T00:00:00Z",
    "summary": "read_json takes more memory than the file is large; made up for the demonstration",
    "database_specific": {"severity": "MODERATE"},
    "affected": [
        {
            "package": {"ecosystem": "conda", "name": "pandas"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.1"}]}],
        }
    ],
}
_COMPANY: Final = """\
description = "What everybody keeps"
contact = "it@example.org"

[packages]
denied = [{ spec = "click", reason = "take argparse, or ask" }]
default = ["ca-certificates"]

[limits]
size = "5 GB"
"""
_ADVISORIES: Final = """\
description = "Vulnerabilities that are known"
mode = "warn"
contact = "it@example.org"

[advisories]
minimum_severity = "medium"
"""
#: By environment: what it is for, and a note and the packages of each version.
_Versions = tuple[tuple[str, tuple[str, ...]], ...]
_ANALYTICS: Final[Mapping[str, tuple[str, _Versions]]] = {
    "forecast": (
        "Demand forecasts, every night at two",
        (
            ("", ("python 3.11.*", "numpy")),
            ("read the new exports", ("python 3.11.*", "numpy", "pandas")),
            ("fit with scipy", ("python 3.11.*", "numpy", "pandas >=3", "scipy")),
        ),
    ),
    "notebook": ("What everybody starts from", (("", ("python 3.11.*", "pandas")),)),
    "reports": (
        "The monthly report, as PDF",
        (("", ("python 3.11.*", "pandas")), ("a command line", ("python", "pandas", "click"))),
    ),
}
_RESEARCH: Final[Mapping[str, tuple[str, _Versions]]] = {
    "spectra": ("Fits of the spectrometer's lines", (("", ("python 3.11.*", "scipy")),)),
    "teaching": (
        "For the course on Mondays",
        (("", ("python 3.11.*", "numpy")), ("with tables", ("python", "numpy", "pandsa"))),
    ),
}


def settings(directory: Path) -> dict[str, str]:
    """Write users and advisories, and return the settings of a server that has them."""
    auth_file, advisories = directory / "auth.toml", directory / "advisories"
    policy_editor.add(auth_file, "users", ADMINISTRATOR, PASSWORD, ["**:*"], None)
    for name in PEOPLE:
        policy_editor.add(auth_file, "users", name, PASSWORD, [], None)
    advisories.mkdir()
    (advisories / "demo.yaml").write_text(yaml.safe_dump(_ADVISORY), encoding="utf-8")
    return {"PULLFORGE_AUTH_FILE": str(auth_file), "PULLFORGE_ADVISORIES": str(advisories)}


class Showcase:
    """Fills a server.

    Args:
        url: Of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def fill(self) -> None:
        """Make all of it; returns when everything has been built, or has failed."""
        self._namespace(
            "analytics", "ada", "Planning and reports of the sales team", _ANALYTICS, "viewer"
        )
        self._namespace("research", "emil", "The spectrometer, and courses", _RESEARCH, None)
        self._grant("analytics", "kim", "editor")
        self._grant("analytics", "noor", "viewer")
        self._grant("research", "kim", "admin")
        for name, text in (("company", _COMPANY), ("advisories", _ADVISORIES)):
            self._send(ADMINISTRATOR, "PUT", f"/policies/{name}", content=text)
        self._ask_again("analytics", "ada", "reports", 1)
        weekly = {"cron": "weekly", "timezone": "Europe/Berlin"}
        notebook = "/namespaces/analytics/environments/notebook"
        self._send("ada", "PUT", f"{notebook}/schedule", json=weekly)
        proposed = ("python 3.11.*", "pandas", "scipy")
        self._version("analytics", "kim", "notebook", "who fits wants scipy", proposed, propose="1")
        self._send(
            "ada",
            "POST",
            "/waivers",
            json={
                "environment": "analytics/reports",
                "reason": "The report is started by a scheduler that calls its command line",
            },
        )

    def _namespace(
        self,
        slug: str,
        owner: str,
        description: str,
        environments: Mapping[str, tuple[str, _Versions]],
        everybody: str | None,
    ) -> None:
        body = {"name": slug, "owner": owner, "description": description}
        self._send(ADMINISTRATOR, "POST", "/namespaces", json=body)
        if everybody is not None:
            self._grant(slug, None, everybody)
        for name, (purpose, versions) in environments.items():
            body = {"name": name, "description": purpose}
            self._send(owner, "POST", f"/namespaces/{slug}/environments", json=body)
            for note, packages in versions:
                if (name, note) != ("reports", "a command line"):  # of which the policy has a say
                    self._version(slug, owner, name, note, packages)

    def _ask_again(self, slug: str, owner: str, name: str, number: int) -> None:
        note, packages = _ANALYTICS[name][1][number]
        self._version(slug, owner, name, note, packages)

    def _version(
        self, slug: str, owner: str, name: str, note: str, packages: tuple[str, ...], **more: str
    ) -> None:
        body = yaml.safe_dump({"channels": ["conda-forge"], "dependencies": list(packages)})
        path = f"/namespaces/{slug}/environments/{name}/versions"
        wait, asked = {"prefer": "wait=25"}, {"note": note, **more}
        reply = self._send(owner, "POST", path, params=asked, content=body, headers=wait)
        version = reply.json()
        while version["ended_at"] is None:
            time.sleep(0.5)
            version = self._send(owner, "GET", f"{path}/{version['number']}").json()

    def _grant(self, slug: str, user: str | None, role: str) -> None:
        subject = {"subject_kind": "authenticated"} if user is None else {"subject": user}
        body = {**subject, "role": role}
        self._send(ADMINISTRATOR, "POST", f"/namespaces/{slug}/grants", json=body)

    def _send(self, who: str, method: str, path: str, **request: Any) -> httpx.Response:
        reply = httpx.request(
            method,
            f"{self._url}/api/v1{path}",
            auth=(who, PASSWORD),
            timeout=_BUILD_SECONDS,
            **request,
        )
        if reply.is_error:
            raise SystemExit(f"{method} {path} as {who}: {reply.text}")
        return reply
