"""Commands to use an environment, as they are typed."""

import shlex
from dataclasses import replace

import pytest
import yaml

from registry.web.pages.ways import Wanted, ways

OPEN = Wanted(
    base_url="https://registry.example",
    host="registry.example",
    path="ada/forecast",
    number=3,
    tag="v3",
    packages={"python", "jupyterhub", "jupyterlab"},
    has_wheels=False,
    is_open=True,
    user=None,
)


def typed(wanted: Wanted, way: str) -> list[str]:
    """Return what is typed to use something in one way."""
    found = next(one for one in ways(wanted) if one.id == way)
    return [step.text for step in found.steps if step.text]


def test_nobody_is_told_to_log_in_where_everybody_may_pull() -> None:
    for way in ways(OPEN):
        assert not any("login" in step.text or "Secret" in step.text for step in way.steps), way


@pytest.mark.parametrize("way", ["docker", "podman", "kubernetes", "apptainer", "conda"])
def test_whoever_has_to_log_in_is_told_how_first(way: str) -> None:
    told = typed(replace(OPEN, is_open=False, user="ada"), way)
    assert any(word in told[0] for word in ("login", "secret"))


def test_names_of_people_stay_one_word_in_a_shell() -> None:
    name = "ada $(touch /tmp/x) o'hara"
    login = typed(replace(OPEN, is_open=False, user=name), "docker")[0]
    assert shlex.split(login) == ["docker", "login", "--username", name, "registry.example"]


def test_a_server_without_tls_is_named_so() -> None:
    plain = replace(OPEN, base_url="http://registry.example")
    assert "--tls-verify=false" in typed(plain, "podman")[0]
    assert "--no-https" in typed(plain, "apptainer")[0]
    assert "http://registry.example/ada/forecast:v3 -- python" in typed(plain, "conda")[0]
    assert not any("=false" in one or "no-https" in one for one in typed(OPEN, "podman"))


def test_files_of_kubernetes_and_jupyterhub_can_be_read() -> None:
    job = yaml.safe_load(typed(replace(OPEN, is_open=False, user="ada"), "kubernetes")[1])
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/ada/forecast:v3"
    assert pod["containers"][0]["command"] == ["python", "--version"]
    assert pod["imagePullSecrets"] == [{"name": "pullforge-pull"}]
    values = yaml.safe_load(typed(OPEN, "jupyterhub")[0])
    profile = values["singleuser"]["profileList"][0]
    assert profile["kubespawner_override"]["image"] == "registry.example/ada/forecast:v3"


def test_what_a_hub_would_miss_is_said() -> None:
    way = next(one for one in ways(replace(OPEN, packages={"python"})) if one.id == "jupyterhub")
    assert "jupyterhub and jupyterlab" in way.steps[0].says


def test_wheels_are_not_forgotten_by_conda() -> None:
    told = typed(replace(OPEN, has_wheels=True), "conda")
    assert "conda env create --name forecast --file forecast.yml" in told[-1]
    assert "conda create --name forecast --file forecast.txt" in typed(OPEN, "conda")[-1]


def test_without_a_program_of_its_own_there_is_a_shell() -> None:
    assert typed(replace(OPEN, packages=set()), "docker")[0].endswith("/ada/forecast:v3 sh")
    assert typed(replace(OPEN, packages={"r-base"}), "docker")[0].endswith(" R")
    assert yaml.safe_load(typed(replace(OPEN, packages=set()), "kubernetes")[0])
