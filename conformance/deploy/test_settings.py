"""The settings that the deployments give to the server."""

import re
from pathlib import Path

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families

from conformance.clients.server import ROOT
from registry.cli.prefixes import prefixes
from registry.settings import Settings
from registry.telemetry import Metrics

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes" / "settings.env"
WORKERS = DEPLOY / "kubernetes-workers" / "settings.env"

_NAME = re.compile(r"PULLFORGE_[A-Z0-9_]+")

#: Variables of compose.yaml itself, and of Kubernetes.
_NOT_SETTINGS = {"PULLFORGE_IMAGE"}


def _files() -> list[Path]:
    found = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".txt"]
    return sorted([*found, ROOT / "Dockerfile", ROOT / "docs" / "deployment.md"])


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    """The server would refuse to start with one that does not, and ``prefixes sync``, too."""
    known = {f"PULLFORGE_{name.upper()}" for name in Settings.model_fields} | _NOT_SETTINGS
    for command in typer.main.get_group(prefixes).commands.values():
        known |= {str(option.envvar) for option in command.params}
    assert set(_NAME.findall(path.read_text(encoding="utf-8"))) <= known


def test_the_server_accepts_those_for_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and values are as the server wants them."""
    for line in KUBERNETES.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if line and not line.startswith("#"):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.store == "s3://pullforge/store"
    assert settings.workers == 4


def test_workers_accept_those_for_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are added to those of servers."""
    for line in WORKERS.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if line and not line.startswith("#"):
            monkeypatch.setenv(name, value)
    assert Settings().broker_url == "redis://redis:6379/0"


def test_every_metric_that_is_named_exists() -> None:
    """What docs/deployment.md tells to look for can be found."""
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    offered = {
        name
        for family in text_string_to_metric_families(Metrics().render().decode())
        for name in (family.name, f"{family.name}_total")
    }
    assert set(re.findall(r"`(pullforge_[a-z_]+)`", text)) <= offered
