"""The audit of dependencies: what stops CI, and what is only told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from conformance.deploy.audit import BUILD_REQUIREMENTS, REQUIREMENTS, audit, ignored, judge, pinned

SAFE = {"name": "click", "version": "8.5.1", "vulns": []}
VULNERABLE = {
    "name": "urllib3",
    "version": "1.26.0",
    "vulns": [
        {
            "id": "PYSEC-2021-108",
            "fix_versions": ["1.26.5"],
            "aliases": ["CVE-2021-33503"],
            "description": "",
        }
    ],
}
#: As pip-audit 2.10 writes it for each package when PyPI's API answers 404, and ends with 0.
SKIPPED = {
    "name": "urllib3",
    "skip_reason": "Dependency not found on PyPI and could not be audited",
}


def test_a_known_vulnerability_stops_ci() -> None:
    """It is told with the version that has it no more."""
    result = judge(["click", "urllib3"], [SAFE, VULNERABLE], {})
    assert result.fails(strict=False)
    assert "urllib3 1.26.0: PYSEC-2021-108, fixed in 1.26.5" in str(result)


def test_an_advisory_is_ignored_by_any_of_its_names() -> None:
    """One knows it by its CVE, another by its PYSEC."""
    result = judge(["urllib3"], [VULNERABLE], {"CVE-2021-33503": "nothing here does that"})
    assert not result.fails(strict=True)
    assert result.needless == ()


def test_what_needs_no_longer_be_ignored_is_told() -> None:
    """The list does not grow for ever."""
    result = judge(["click"], [SAFE], {"PYSEC-2021-108": "nothing here does that"})
    assert not result.fails(strict=True)
    assert "PYSEC-2021-108 needs no longer be ignored" in str(result)


def test_a_service_that_is_away_is_told_and_stops_only_releases() -> None:
    """A report in which all is skipped is not one without vulnerabilities."""
    result = judge(["urllib3"], [SKIPPED], {"PYSEC-2021-108": "nothing here does that"})
    assert not result.fails(strict=False)
    assert result.fails(strict=True)
    assert "NOT audited" in str(result)
    assert result.needless == (), "nobody could have told"


def test_a_package_that_nobody_knows_is_named() -> None:
    """It may have been withdrawn, or never have been on PyPI."""
    result = judge(["click", "urllib3"], [SAFE, SKIPPED], {})
    assert result.fails(strict=True)
    assert "not audited: urllib3" in str(result)


def test_every_pin_is_asked_about_and_every_reason_is_written() -> None:
    """No line of the file is missed."""
    assert len(pinned(REQUIREMENTS)) > 100
    assert "hatchling" in pinned(BUILD_REQUIREMENTS)
    assert all(len(reason) > 20 for reason in ignored().values())


def test_what_a_service_knows_comes_through_the_real_program(tmp_path: Path) -> None:
    """A service of the form of OSV is asked, about what is pinned for other machines too."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("click==8.5.1\nurllib3==1.26.0 ; sys_platform == 'plan9'\n", "utf-8")
    with advising("urllib3") as url:
        result = audit(requirements, [("--vulnerability-service=osv", f"--osv-url={url}")])
    assert result.asked == 2
    assert [line.partition(",")[0] for line in result.vulnerabilities] == [
        "urllib3 1.26.0: PYSEC-2021-108"
    ]


def test_a_service_that_refuses_connections_is_a_service_that_is_away(tmp_path: Path) -> None:
    """The program ends with an error in words, and no report."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("click==8.5.1\n", encoding="utf-8")
    with advising("urllib3") as url:
        pass
    result = audit(requirements, [("--vulnerability-service=osv", f"--osv-url={url}")])
    assert (result.asked, result.unknown) == (0, ("click",))


@contextmanager
def advising(vulnerable: str) -> Iterator[str]:
    """Answer as ``api.osv.dev`` does; one project has an advisory."""
    advisory = {
        "id": "PYSEC-2021-108",
        "aliases": ["CVE-2021-33503"],
        "modified": "2021-11-16T03:49:36Z",
        "published": "2021-06-29T11:15:00Z",
        "details": "Catastrophic backtracking.",
        "affected": [
            {
                "package": {"name": vulnerable, "ecosystem": "PyPI"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.26.5"}]}
                ],
            }
        ],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            query: dict[str, Any] = json.loads(self.rfile.read(size))
            found = query["package"]["name"] == vulnerable
            body = json.dumps({"vulns": [advisory]} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
