"""Tiny packages, unpacked and linked to a prefix."""

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.install.prefix.installation import InstallationPlan
from builder.install.prefix.link import LinkOptions, LinkReport, link
from builder.install.prefix.unpack import unpack
from builder.layer import LayerPackage
from conformance.channel.writer import Package, package_bytes
from tests.builder.install.layers import PYTHON, record_of, store
from tests.tiny_wheels import TinyWheel, wheel_bytes, wheel_record

KEY = "0123456789abcdef" * 2


@dataclass(frozen=True, slots=True)
class Root:
    """A directory with unpacked packages and prefixes."""

    path: Path

    @property
    def packages(self) -> Path:
        return self.path / "packages"

    def plan(
        self, *packages: Package | TinyWheel, variables: Mapping[str, str] | None = None
    ) -> InstallationPlan:
        """Unpack packages that are not yet, and return what installs them."""
        self.packages.mkdir(exist_ok=True)
        archives: list[tuple[LayerPackage, bytes]] = []
        for given in packages:
            if isinstance(given, TinyWheel):
                archives.append((LayerPackage(wheel_record(given)), wheel_bytes(given)))
            else:
                data = package_bytes(given)
                archives.append((LayerPackage(record_of(given, data)), data))
        planned = tuple(package for package, _ in archives)
        plan = InstallationPlan(KEY, "linux-64", planned, PYTHON, variables or {})
        for package, data in archives:
            out = self.packages / plan.name_of(package)
            if not out.exists():
                unpack(package, plan.python_of(package), store(self.path, data), None, out)
        return plan

    def unpacked(self, plan: InstallationPlan) -> Sequence[Path]:
        return [self.packages / plan.name_of(package) for package in plan.packages]

    def link(
        self, plan: InstallationPlan, to: str = "made", options: LinkOptions | None = None
    ) -> "Linked":
        """Link to a prefix that stays where it is made."""
        out = self.path / to
        out.parent.mkdir(parents=True, exist_ok=True)
        return Linked(out, link(plan, self.packages, out, str(out), options or LinkOptions()))


@dataclass(frozen=True, slots=True)
class Linked:
    path: Path
    report: LinkReport

    def text(self, path: str) -> str:
        return (self.path / path).read_text()

    def record(self, package: Package) -> Any:
        return json.loads(self.text(f"conda-meta/{package.stem}.json"))

    def mode(self, path: str) -> str:
        return oct(stat.S_IMODE((self.path / path).lstat().st_mode))
