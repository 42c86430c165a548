"""The manifests in ``deploy/kubernetes…``, checked as the API server and Argo check them."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.clients.engines.program import Outcome, run
from conformance.clients.server import ROOT
from conformance.deploy.keda import problems_of
from conformance.deploy.programs import MANIFESTS
from registry.settings import Settings
from registry.telemetry import Metrics

DIRECTORY = ROOT / "deploy" / "kubernetes"
EXAMPLES = DIRECTORY / "examples"
WORKERS = ROOT / "deploy" / "kubernetes-workers"

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


def test_the_kustomization_with_workers_is_accepted() -> None:
    """It is the other one, and what workers need."""
    alone, both = check(DIRECTORY), check(WORKERS)
    assert both.returncode == 0, both.output
    added = set(both.stdout.split()) - set(alone.stdout.split())
    assert {name for name in added if not name.startswith("ConfigMap/")} == {
        "Deployment/pullforge-beat",
        "Deployment/pullforge-builds",
        "Deployment/pullforge-layers",
        "Deployment/redis",
        "NetworkPolicy/pullforge-to-redis",
        "NetworkPolicy/pullforge-worker",
        "NetworkPolicy/redis",
        "Service/redis",
    }


@pytest.mark.parametrize(
    "path",
    [
        EXAMPLES / "job.yaml",
        EXAMPLES / "image-volume.yaml",
        EXAMPLES / "argo-account.yaml",
        DIRECTORY / "secret.example.yaml",
        WORKERS / "examples" / "hpa.yaml",
    ],
    ids=lambda path: path.name,
)
def test_the_examples_are_accepted(path: Path) -> None:
    """They can be applied where the restricted standard is enforced."""
    outcome = check(path)
    assert outcome.returncode == 0, outcome.output


@pytest.mark.parametrize(
    ("directory", "others"),
    [
        (
            DIRECTORY,
            {
                "secret.example.yaml",
                "examples/job.yaml",
                "examples/image-volume.yaml",
                "examples/argo-account.yaml",
                "examples/argo-workflow.yaml",
            },
        ),
        (WORKERS, {"examples/hpa.yaml", "examples/keda.yaml"}),
    ],
    ids=["servers", "workers"],
)
def test_every_file_is_checked(directory: Path, others: set[str]) -> None:
    """A manifest that is added is in the kustomization or in a test of this file."""
    resources = yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]
    checked = {*resources, "kustomization.yaml", *others} - {"../kubernetes"}
    found = {str(path.relative_to(directory)) for path in directory.rglob("*.yaml")}
    assert found == checked


def deployments() -> dict[str, dict[str, Any]]:
    """Return the deployments of workers by name."""
    documents = [_document(WORKERS / f"{name}.yaml") for name in ("builds", "layers", "beat")]
    return {document["metadata"]["name"]: document for document in documents}


def test_workers_are_not_behind_the_service_of_the_servers() -> None:
    """Their pods have none of the labels that it selects."""
    selected = _document(DIRECTORY / "service.yaml")["spec"]["selector"].items()
    for deployment in deployments().values():
        assert not selected <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", ["pullforge-builds", "pullforge-layers"])
def test_a_worker_that_is_told_to_end_may_end_its_task(name: str) -> None:
    """A task may take as long as the settings say, and is not killed before."""
    pod = deployments()[name]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > Settings().task_seconds


@pytest.mark.parametrize("name", ["pullforge-builds", "pullforge-layers"])
def test_prometheus_and_probes_ask_the_port_of_the_worker(name: str) -> None:
    """It is where the settings have it, and the annotations say so."""
    template = deployments()[name]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().worker_port
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/metrics", "port": port["name"]}


def test_the_metrics_that_are_scaled_by_exist() -> None:
    """Queries are written by hand, and a misspelt one is no error to Prometheus."""
    text = (WORKERS / "examples" / "keda.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"pullforge_[a-z_]+", text))
    offered = Metrics().render().decode()
    assert asked == {"pullforge_queue_length", "pullforge_queue_oldest_seconds"}
    assert all(f"# TYPE {name} gauge" in offered for name in asked)


def test_keda_knows_every_field_of_the_examples() -> None:
    """Its release describes them, and the parameters of its scalers."""
    path = WORKERS / "examples" / "keda.yaml"
    for scaled in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert problems_of(scaled) == []
        assert scaled["spec"]["scaleTargetRef"]["name"] in deployments()


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("pollingInterval", "pollInterval", "'pollInterval' was unexpected"),
        ("maxReplicaCount: 20", 'maxReplicaCount: "20"', "is not of type 'integer'"),
        ("threshold", "treshold", "no parameter threshold"),
    ],
)
def test_what_keda_would_not_know_is_found(was: str, becomes: str, complaint: str) -> None:
    """The check finds unknown fields, wrong values, and parameters that are missing."""
    text = (WORKERS / "examples" / "keda.yaml").read_text(encoding="utf-8")
    assert was in text
    wrong = next(yaml.safe_load_all(text.replace(was, becomes)))
    assert any(complaint in problem for problem in problems_of(wrong))


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


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


def test_argos_executor_may_report_and_its_steps_may_nothing() -> None:
    """Where steps get no token, the controller wants an account for it (workflowpod.go)."""
    workflow = _document(EXAMPLES / "argo-workflow.yaml")["spec"]
    assert workflow["automountServiceAccountToken"] is False
    text = (EXAMPLES / "argo-account.yaml").read_text(encoding="utf-8")
    account, secret, role, binding = yaml.safe_load_all(text)
    name = workflow["executor"]["serviceAccountName"]
    assert account["metadata"]["name"] == name
    assert secret["metadata"]["name"] == f"{name}.service-account-token"
    assert secret["metadata"]["annotations"] == {"kubernetes.io/service-account.name": name}
    [rule] = role["rules"]
    assert (rule["resources"], rule["verbs"]) == (["workflowtaskresults"], ["create", "patch"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [name]


def test_everything_fits_on_a_node_of_two_processors_while_it_rolls_out() -> None:
    """Each deployment has one pod more for a moment; a tenth is left to the system's own pods."""
    asked = 0
    for path in [DIRECTORY / "deployment.yaml", *WORKERS.glob("*.yaml")]:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document["kind"] == "Deployment":
                [container] = document["spec"]["template"]["spec"]["containers"]
                cpu = container["resources"]["requests"]["cpu"]
                asked += int(cpu.removesuffix("m")) * (document["spec"].get("replicas", 1) + 1)
    assert asked <= 1800


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
