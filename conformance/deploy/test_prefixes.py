"""What keeps environments as directories of machines: units of systemd, and a DaemonSet."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from dotenv import dotenv_values

from conformance.clients.engines.program import Outcome, run
from conformance.clients.server import ROOT
from conformance.deploy.programs import MANIFESTS
from registry.cli.prefixes import prefixes

DIRECTORY = ROOT / "deploy" / "prefixes"
UNITS = DIRECTORY / "systemd"
KUBERNETES = DIRECTORY / "kubernetes"
EXAMPLES = KUBERNETES / "examples"

SERVICES = ["pullforge-prefixes.service", "pullforge-prefixes-once.service"]
#: What systemd makes of a unit, of 100; one that says nothing has 96.
MOST_EXPOSED = 20


def options() -> dict[str, str]:
    """Return the variables of all options of ``sync``, and the options."""
    found = {}
    group: Any = typer.main.get_group(prefixes)
    for parameter in group.commands["sync"].params:
        if parameter.envvar:
            found[parameter.envvar] = parameter.opts[0]
    return found


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Put the units where their program and directory are."""
    program = tmp_path / "pullforge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS.iterdir():
        text = path.read_text(encoding="utf-8")
        text = text.replace("/opt/pullforge/bin/pullforge", str(program))
        (tmp_path / path.name).write_text(text.replace("/srv/conda", str(tmp_path)))
    return tmp_path


def analyze(*arguments: str | Path) -> Outcome:
    """Ask systemd what it makes of a unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    return run(["systemd-analyze", *arguments])


@pytest.mark.parametrize("name", [*SERVICES, "pullforge-prefixes-once.timer"])
def test_systemd_understands_the_units(units: Path, name: str) -> None:
    """It complains of nothing: no unknown line, no value that cannot be, no program that lacks."""
    outcome = analyze("verify", units / name)
    assert (outcome.returncode, outcome.output) == (0, "")


def test_systemd_tells_of_a_line_that_it_does_not_know(units: Path) -> None:
    """What is misspelt is no protection."""
    path = units / SERVICES[0]
    path.write_text(path.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in analyze("verify", path).output


@pytest.mark.parametrize("name", SERVICES)
def test_the_services_may_do_little(units: Path, name: str) -> None:
    """No rights, one directory to write in, no devices, and only calls that services need."""
    outcome = analyze(
        "security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}", units / name
    )
    assert outcome.returncode == 0, outcome.output


def test_both_services_are_kept_in_the_same_way() -> None:
    """One pass may do what passes for ever may do."""
    followed, once = (
        set((UNITS / name).read_text(encoding="utf-8").splitlines()) for name in SERVICES
    )
    fenced = {line for line in followed | once if re.match("[A-Z][A-Za-z]*=", line)}
    assert {line.partition("=")[0] for line in fenced if line not in followed & once} == {
        "Type",
        "ExecStart",
        "Restart",
        "RestartSec",
        "TimeoutStartSec",
        "WantedBy",
    }


def test_the_settings_of_both_are_options() -> None:
    """A misspelt one would stop the program, or would be none."""
    for path in (UNITS / "prefixes.env", KUBERNETES / "settings.env"):
        assert dotenv_values(path).keys() <= options().keys()
    used = [path.read_text(encoding="utf-8") for path in DIRECTORY.rglob("*") if path.is_file()]
    named = set(re.findall(r"PULLFORGE_PREFIXES_[A-Z_]+", "\n".join(used)))
    assert named <= options().keys()
    assert options()["PULLFORGE_PREFIXES_TOKEN_FILE"] == "--token-file"


def check(*arguments: str | Path) -> Outcome:
    """Check files, and directories as kustomizations."""
    return run([MANIFESTS.path(), *arguments])


def test_the_kustomization_is_accepted() -> None:
    """The API server takes every object of it."""
    outcome = check(KUBERNETES)
    assert outcome.returncode == 0, outcome.output
    assert sorted(name.partition("/")[0] for name in outcome.stdout.split()) == [
        "ConfigMap",
        "DaemonSet",
        "Namespace",
        "NetworkPolicy",
        "ServiceAccount",
    ]


def test_its_pods_are_free_in_what_they_need_alone() -> None:
    """A directory of the node, and a container that gives it away, which ends before the others."""
    outcome = check("-restricted", KUBERNETES)
    found = outcome.stderr.partition("DaemonSet/pullforge-prefixes: ")[2].strip()
    added = 'container "root" must not include "CHOWN" in securityContext.capabilities.add'
    assert re.split(r"(?<=\)), ", found) == [
        f"unrestricted capabilities ({added})",
        'restricted volume types (volume "root" uses restricted volume type "hostPath")',
        'runAsNonRoot != true (container "root" must not set securityContext.runAsNonRoot=false)',
        'runAsUser=0 (container "root" must not set runAsUser=0)',
    ]
    outcome = check("-restricted", EXAMPLES / "notebook.yaml")
    assert outcome.stderr.strip().endswith(
        "Pod/forecast: restricted volume types (volume"
        ' "environments" uses restricted volume type "hostPath")'
    )


def test_the_examples_are_accepted() -> None:
    """They can be applied as they are."""
    outcome = check(KUBERNETES / "secret.example.yaml", EXAMPLES / "notebook.yaml")
    assert outcome.returncode == 0, outcome.output


def test_every_file_is_checked() -> None:
    """A manifest or unit that is added is in the kustomization or in a test of this file."""
    resources = document(KUBERNETES / "kustomization.yaml")["resources"]
    checked = {
        *(f"kubernetes/{name}" for name in resources),
        *(f"kubernetes/{name}" for name in ("kustomization.yaml", "settings.env")),
        *("kubernetes/secret.example.yaml", "kubernetes/examples/notebook.yaml"),
        *(f"systemd/{name}" for name in SERVICES),
        *(f"systemd/pullforge-prefixes{end}" for end in ("-once.timer", ".sysusers", ".tmpfiles")),
        "systemd/prefixes.env",
        # conformance/prefixes/test_squashfs.py tries these.
        *("autofs/pullforge.autofs", "autofs/auto.pullforge"),
    }
    found = {str(path.relative_to(DIRECTORY)) for path in DIRECTORY.rglob("*") if path.is_file()}
    assert found == checked


def test_probes_and_prometheus_ask_the_port_of_the_metrics() -> None:
    """At addresses that there are, and the program is told to answer there."""
    template = document(KUBERNETES / "daemon-set.yaml")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    number = port["containerPort"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(number)
    assert f"--metrics=:{number}" in container["args"]
    asked = {
        kind: container[kind]["httpGet"]["path"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {container[kind]["httpGet"]["port"] for kind in asked} == {port["name"]}


def test_the_directory_has_one_path_everywhere() -> None:
    """Files say their own path: that of the node is that of the pods, of the unit and of users."""
    pod = document(KUBERNETES / "daemon-set.yaml")["spec"]["template"]["spec"]
    user = document(EXAMPLES / "notebook.yaml")["spec"]
    paths = {dotenv_values(UNITS / "prefixes.env")["PULLFORGE_PREFIXES_ROOT"]}
    paths.add(dotenv_values(KUBERNETES / "settings.env")["PULLFORGE_PREFIXES_ROOT"])
    for spec in (pod, user):
        (volume,) = (one for one in spec["volumes"] if "hostPath" in one)
        paths.add(volume["hostPath"]["path"])
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            for mount in container["volumeMounts"]:
                if mount["name"] == volume["name"]:
                    paths.add(mount["mountPath"])
    assert paths == {"/srv/conda"}
    assert all(mount["readOnly"] for mount in user["containers"][0]["volumeMounts"])


def document(path: Path) -> Any:
    """Return what a manifest says."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))
