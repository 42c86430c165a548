"""Running the suite, and reading what it prints.

The suite is `github.com/opencontainers/distribution-spec/conformance`, built from its module at the
last version of 2026-08; a later one may ask for more.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.program import run

SUITE: Final = GoProgram(
    "distribution-spec",
    "github.com/opencontainers/distribution-spec",
    "v0.0.0-20260831232431-97274622c111",
    ("conformance",),
)

#: Where results are kept: ``<name>/junit.xml`` and ``report.html``.
RESULTS: Final = Path(__file__).resolve().parents[2] / "results" / "oci"

#: Everything on that can be: the options that 1.1 leaves off, too.
EVERYTHING: Final[Mapping[str, str]] = {
    "OCI_VERSION": "1.1+dev",
    "OCI_DATA_SPARSE": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
}
#: Nothing is written: what is there is read.
READ_ONLY: Final[Mapping[str, str]] = {
    **EVERYTHING,
    # Of a manifest that it has not pushed, the suite never looks at the headers it was answered
    # with, and then misses the digest among them (api.go, ManifestHeadExists).
    "OCI_API_MANIFESTS_DIGEST_HEADER": "false",
    "OCI_API_PUSH": "false",
    "OCI_API_BLOBS_DELETE": "false",
    "OCI_API_MANIFESTS_DELETE": "false",
    "OCI_API_TAGS_DELETE": "false",
}

_ROOT: Final = "OCI Conformance Test"
_LINE: Final = re.compile(rf"( *)({_ROOT}(?:/.*)?): (Pass|Skip|Disabled|FAIL|Error)")
#: What JUnit calls them.
_STATUSES: Final = {
    "Pass": "passed",
    "Skip": "skipped",
    "Disabled": "skipped",
    "FAIL": "failure",
    "Error": "error",
}
_TIMEOUT_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """How a run of the suite ended."""

    #: By the test's name: ``passed``, ``skipped``, ``failure`` or ``error``.
    tests: Mapping[str, str]
    #: What it printed.
    output: str

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return sum(status == "passed" for status in self.tests.values())

    @property
    def not_passed(self) -> dict[str, str]:
        """The others, with their status."""
        return {name: status for name, status in self.tests.items() if status != "passed"}

    def __str__(self) -> str:
        """Return the figure, e.g. ``830 of 830 tests passed``."""
        off = sum(status == "skipped" for status in self.tests.values())
        return f"{self.passed} of {len(self.tests) - off} tests passed, {off} switched off"


def run_suite(name: str, host: str, settings: Mapping[str, str]) -> SuiteResult:
    """Run the suite against a server, and keep its results below :data:`RESULTS`.

    Args:
        name: Of the run, also of the directory of its results.
        host: Host and port of the server, which speaks plain HTTP.
        settings: Variables of the suite.

    Raises:
        EngineMissing: There is no Go to build it with.
    """
    directory = RESULTS / name
    directory.mkdir(parents=True, exist_ok=True)
    report = directory / "junit.xml"
    report.unlink(missing_ok=True)
    env = {
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_RESULTS_DIR": str(directory),
        **settings,
    }
    program = SUITE.directory() / "conformance"
    outcome = run([program], env=env, timeout_seconds=_TIMEOUT_SECONDS)
    result = SuiteResult(_read(outcome.stdout), outcome.output)
    if not report.is_file():
        # Where nothing can be pushed, the suite ends before (run.go, ReportResultsYAML).
        _write(result, report)
    return result


def surprises(kind: str, result: SuiteResult) -> list[str]:
    """Return what is not as ``expected.toml`` has it.

    Args:
        kind: ``push`` or ``read-only``.
        result: Of a run.
    """
    with Path(__file__).with_name("expected.toml").open("rb") as file:
        patterns: list[str] = list(tomllib.load(file)[kind])
    found = [
        f"{name}: {status}"
        for name, status in sorted(result.not_passed.items())
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    passed = [p for p in patterns if not any(fnmatchcase(n, p) for n in result.not_passed)]
    return found + [f"{pattern}: passes, although it is not expected to" for pattern in passed]


def _read(printed: str) -> dict[str, str]:
    """Return the status of every test of a printed report, without those that consist of others.

    Of tests of one name none is lost: they are counted.
    """
    found = [match for line in printed.splitlines() if (match := _LINE.fullmatch(line))]
    assert found, printed
    tests: dict[str, str] = {}
    for match, following in zip_longest(found, found[1:]):
        if following is not None and len(following[1]) > len(match[1]):
            continue
        name, number = match[2], 1
        while (key := name if number == 1 else f"{name} ({number})") in tests:
            number += 1
        tests[key] = _STATUSES[match[3]]
    return tests


def _write(result: SuiteResult, report: Path) -> None:
    """Write what JUnit has of a result."""
    suite = ElementTree.Element("testsuite", name=_ROOT, tests=str(len(result.tests)))
    for name, status in result.tests.items():
        case = ElementTree.SubElement(suite, "testcase", name=name, status=status)
        if status != "passed":
            ElementTree.SubElement(case, status)
    ElementTree.ElementTree(suite).write(report, encoding="unicode")
