"""Whether what the image pins, to run and to build the server, is known to be vulnerable.

    python -m conformance.deploy.audit [--strict]

pip-audit asks PyPI, and OSV where PyPI tells nothing. It calls a package that nobody told it
about "skipped" and ends as if all were well; here such a package is named. A known vulnerability
fails. A service that is away does not, or no change could be merged meanwhile: it fails with
``--strict``, which is for releases.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conformance.clients.engines.program import run
from conformance.clients.server import ROOT

REQUIREMENTS: Final = ROOT / "deploy" / "requirements.txt"

#: What makes the server's own wheel.
BUILD_REQUIREMENTS: Final = ROOT / "deploy" / "build-requirements.txt"

#: In an environment of its own: its packages are not the project's.
_PROGRAM: Final = "pip-audit==2.10.1"
_OPTIONS: Final = ("--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off")
_SECONDS: Final = 300

#: In the order in which they are asked.
SERVICES: Final = (("--vulnerability-service=pypi",), ("--vulnerability-service=osv",))


@dataclass(frozen=True, slots=True)
class Audit:
    """What services of advisories know about the pinned packages."""

    #: One line for each vulnerability that is not ignored.
    vulnerabilities: tuple[str, ...]
    #: Names of packages that no service told anything about.
    unknown: tuple[str, ...]
    #: Ignored advisories that no pinned package has any more.
    needless: tuple[str, ...]
    #: How many packages a service told about.
    asked: int

    def fails(self, *, strict: bool) -> bool:
        """Return whether CI has to stop; ``strict`` wants every package to be known."""
        return bool(self.vulnerabilities) or (strict and bool(self.unknown))

    def __str__(self) -> str:
        lines = [f"vulnerable: {line}" for line in self.vulnerabilities]
        if self.unknown and not self.asked:
            lines.append(
                f"warning: no service of advisories answered, {len(self.unknown)} packages"
                " were NOT audited"
            )
        elif self.unknown:
            lines.append(f"warning: not audited: {', '.join(self.unknown)}")
        lines += [f"warning: {name} needs no longer be ignored" for name in self.needless]
        known = f"{self.asked} packages audited, {len(self.vulnerabilities)} vulnerabilities"
        return "\n".join([*lines, known])


def pinned(requirements: Path) -> dict[str, str]:
    """Return what a file of requirements pins, name → version, for whatever machine it is."""
    text = requirements.read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", text, re.MULTILINE))


def ignored() -> dict[str, str]:
    """Return advisories that do not concern the project → why, of ``pyproject.toml``."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        tools = tomllib.load(file)["tool"]
    reasons: dict[str, str] = tools["audit"]["ignored"]
    return reasons


def judge(
    names: Iterable[str], dependencies: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]
) -> Audit:
    """Return what one report of pip-audit means.

    Args:
        names: What is pinned.
        dependencies: Of the report: each has a name, and either ``vulns`` or ``skip_reason``.
        reasons: Advisories that are ignored → why; any alias of an advisory will do.
    """
    found, met = [], set()
    told = {each["name"]: each["vulns"] for each in dependencies if "vulns" in each}
    versions = {each["name"]: each.get("version") for each in dependencies}
    for name, advisories in told.items():
        for advisory in advisories:
            known_as = {advisory["id"], *advisory["aliases"]}
            met |= known_as
            if known_as.isdisjoint(reasons):
                fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
                found.append(f"{name} {versions[name]}: {advisory['id']}, fixed in {fixed}")
    return Audit(
        vulnerabilities=tuple(found),
        unknown=tuple(name for name in names if name not in told),
        needless=tuple(sorted(set(reasons) - met)) if told else (),
        asked=len(told),
    )


def audit(requirements: Path, services: Sequence[Sequence[str]] = SERVICES) -> Audit:
    """Return what the first service that tells anything knows."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    pins, reasons = pinned(requirements), ignored()
    with tempfile.TemporaryDirectory(prefix="pf-audit-") as directory:
        # Without markers: pip-audit leaves out without a word what is not for its own machine.
        plain = Path(directory) / "pins.txt"
        plain.write_text("".join(f"{n}=={v}\n" for n, v in pins.items()), encoding="utf-8")
        for service in services:
            argv = [uv, "tool", "run", "--quiet", "--from", _PROGRAM, "pip-audit", *_OPTIONS]
            outcome = run([*argv, *service, "--requirement", plain], timeout_seconds=_SECONDS)
            # It prints its report, or says in words which service is away.
            if outcome.stdout.startswith("{"):
                result = judge(pins, json.loads(outcome.stdout)["dependencies"], reasons)
                if result.asked:
                    return result
            else:
                *_, reason = ["", *outcome.output.strip().splitlines()]
                print(f"pip-audit: {reason}", file=sys.stderr)
    return judge(pins, (), reasons)


def main() -> None:
    """Audit, say what came of it, and exit with 1 if it must not go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail for what was not audited")
    strict: bool = parser.parse_args().strict
    results = [audit(REQUIREMENTS), audit(BUILD_REQUIREMENTS)]
    for result in results:
        print(result)
    if any(result.fails(strict=strict) for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
