"""What ``deploy/`` starts has no rights that it does not need."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.clients.server import ROOT

DEPLOY = ROOT / "deploy"

#: Images of others that begin as root to become their own user, or write beside their volume.
WRITING = {"storage", "rabbitmq"}
BEGINNING_AS_ROOT = {"storage", "rabbitmq", "proxy"}


def compose_services(path: Path) -> dict[str, Any]:
    """Return the services of a file; compose's own tag says nothing here."""
    text = path.read_text(encoding="utf-8").replace("!override", "")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def services() -> list[Any]:
    """Return the services of all compose files that are not merely changed there."""
    return [
        pytest.param(name, service, id=f"{path.relative_to(DEPLOY)}-{name}")
        for path in sorted([*DEPLOY.glob("compose*.yaml"), DEPLOY / "public" / "compose.yaml"])
        for name, service in compose_services(path).items()
        if "image" in service
    ]


def containers() -> list[Any]:
    """Return the containers of the servers and of what they need, with their pods."""
    paths = [*DEPLOY.glob("kubernetes/*.yaml"), *DEPLOY.glob("kubernetes-workers/*.yaml")]
    documents = [
        (path, document)
        for path in sorted(paths)
        for document in yaml.safe_load_all(path.read_text("utf-8"))
    ]
    pods = [
        (path, document["spec"]["template"]["spec"])
        for path, document in documents
        if document and "template" in document.get("spec", {})
    ]
    return [
        pytest.param(pod, container, id=f"{path.parent.name}-{path.name}-{container['name']}")
        for path, pod in pods
        for container in pod["containers"]
    ]


@pytest.mark.parametrize(("name", "service"), services())
def test_every_service_of_compose_is_hardened(name: str, service: dict[str, Any]) -> None:
    """Nothing becomes more than it was; where its image allows, it has nothing to begin with."""
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if name not in WRITING:
        assert service["read_only"] is True
    if name not in BEGINNING_AS_ROOT:
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(("pod", "container"), containers())
def test_every_container_of_kubernetes_is_hardened(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    """No root, capability or account; nothing to write but volumes; no more memory than said."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
