"""The manifests in ``deploy/kubernetes``, checked as the API server and Argo check them."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.clients.engines.program import Outcome, run
from conformance.clients.server import ROOT
from conformance.deploy.programs import MANIFESTS

DIRECTORY = ROOT / "deploy" / "kubernetes"
EXAMPLES = DIRECTORY / "examples"

#: Argo's own description of its objects, as classes that ignore what they do not know. Its packages
#: are not the project's: it runs in an environment of its own.
HERA = "hera==7.1.0"
_ARGO_PROGRAM = """
import json, sys, yaml
from hera.workflows.models import Workflow
given = yaml.safe_load(open(sys.argv[1]))
kept = Workflow.model_validate(given).model_dump(mode="json", by_alias=True, exclude_unset=True)
print(json.dumps(kept))
"""


def check(*paths: Path) -> Outcome:
    """Check files, and directories as kustomizations; pods must fit the restricted standard."""
    return run([MANIFESTS.path(), "-restricted", *paths])


def test_the_kustomization_is_accepted() -> None:
    """The API server takes every object of it, and admits its pods where the rules are strict."""
    outcome = check(DIRECTORY)
    assert outcome.returncode == 0, outcome.output
    names = outcome.stdout.split()
    # The config map's name ends in a hash of its content.
    assert sorted(name.partition("/")[0] for name in names) == [
        "ConfigMap",
        "Deployment",
        "Ingress",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ]


@pytest.mark.parametrize(
    "name", ["examples/job.yaml", "examples/image-volume.yaml", "secret.example.yaml"]
)
def test_the_examples_are_accepted(name: str) -> None:
    """They can be applied where the restricted standard is enforced."""
    outcome = check(DIRECTORY / name)
    assert outcome.returncode == 0, outcome.output


def test_every_file_is_checked() -> None:
    """A manifest that is added is in the kustomization or in a test of this file."""
    resources = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["resources"]
    checked = {*resources, "kustomization.yaml", "secret.example.yaml", "examples/job.yaml"}
    checked |= {"examples/image-volume.yaml", "examples/argo-workflow.yaml"}
    found = {str(path.relative_to(DIRECTORY)) for path in DIRECTORY.rglob("*.yaml")}
    assert found == checked


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("imagePullPolicy:", "imagePolicy:", 'unknown field "spec.template.spec.containers[0]'),
        ("port: http\n            periodSeconds: 2", "port: httpx-and-much-longer", "port"),
        ("drop: [ALL]", "drop: []", "unrestricted capabilities"),
    ],
)
def test_what_the_server_would_refuse_is_refused(
    tmp_path: Path, was: str, becomes: str, complaint: str
) -> None:
    """The check finds unknown fields, wrong values, and pods that are too free."""
    text = (DIRECTORY / "deployment.yaml").read_text(encoding="utf-8")
    assert was in text
    (tmp_path / "wrong.yaml").write_text(text.replace(was, becomes), encoding="utf-8")
    outcome = check(tmp_path / "wrong.yaml")
    assert outcome.returncode == 1
    assert complaint in outcome.output


def test_argo_knows_every_field_of_the_workflow() -> None:
    """What Argo's classes keep of the example is all of it."""
    path = EXAMPLES / "argo-workflow.yaml"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    argv = [uv, "run", "--quiet", "--isolated", "--no-project", f"--with={HERA}", "--with=pyyaml"]
    argv += [f"--python={sys.executable}", "python", "-c", _ARGO_PROGRAM, str(path)]
    outcome = run(argv, timeout_seconds=300)
    assert outcome.returncode == 0, outcome.output
    assert yaml.safe_load(outcome.stdout) == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_workflow_can_be_run() -> None:
    """Its steps name templates that exist, and images of the registry."""
    workflow = yaml.safe_load((EXAMPLES / "argo-workflow.yaml").read_text(encoding="utf-8"))
    templates: dict[str, dict[str, Any]] = {t["name"]: t for t in workflow["spec"]["templates"]}
    tasks = templates[workflow["spec"]["entrypoint"]]["dag"]["tasks"]
    assert {task["template"] for task in tasks} == templates.keys() - {"forecast"}
    assert all(task.get("depends", task["name"]) in templates for task in tasks)
    for template in templates.values():
        for kind in ("container", "script"):
            if kind in template:
                image = template[kind]["image"]
                assert image.startswith("{{workflow.parameters.registry}}/")
                assert image.split("/")[1] in {"env", "build"}
