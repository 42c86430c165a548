"""How to use an environment now: commands that can be typed as they stand.

Each way is said for the server as this browser reached it: what has to be told of a server without
TLS, or where one has to log in first, is said only there.
"""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

#: What one asks an environment for, by the package that has it; the first that is there is typed.
_PROGRAMS: Final = (("python", "python"), ("r-base", "R"), ("nodejs", "node"), ("julia", "julia"))
#: What Kubernetes' secret for pulling is called here, as in docs/access.md.
_SECRET: Final = "pullforge-pull"  # noqa: S105 (its name)


@dataclass(frozen=True, slots=True)
class Step:
    """A sentence, and what is typed."""

    says: str
    text: str = ""
    #: Where there is what it needs.
    link: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to use an environment."""

    id: str
    name: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be used, by whom, from where."""

    #: E.g. ``http://localhost:8080``.
    base_url: str
    #: From where images are pulled, e.g. ``localhost:8080``.
    host: str
    #: E.g. ``ada/forecast``.
    path: str
    #: The version that is meant.
    number: int
    #: ``v3``; empty for whichever is active.
    tag: str
    #: Names of packages that are in it; of those that :data:`PACKAGES` has, at least.
    packages: Collection[str]
    #: Whether some come from PyPI.
    has_wheels: bool
    #: Whether nobody has to log in.
    is_open: bool
    #: Who asks.
    user: str | None

    @property
    def image(self) -> str:
        """What is pulled."""
        return f"{self.host}/{self.path}" + (f":{self.tag}" if self.tag else "")

    @property
    def name(self) -> str:
        """The environment's own name, fit for a directory."""
        return self.path.rpartition("/")[2]

    @property
    def has_tls(self) -> bool:
        """Whether the server is reached by https."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def program(self) -> str:
        """What is run in it."""
        return next((program for name, program in _PROGRAMS if name in self.packages), "sh")

    @property
    def files(self) -> str:
        """Where the version's files are."""
        namespace, _, environment = self.path.partition("/")
        return (
            f"{self.base_url}/api/v1/namespaces/{namespace}/environments/{environment}"
            f"/versions/{self.number}"
        )

    @property
    def login(self) -> str:
        """The name with which one logs in, as shells take it."""
        return shlex.quote(self.user) if self.user is not None else "NAME"


#: Packages whose presence says how an environment is used.
PACKAGES: Final = frozenset({name for name, _ in _PROGRAMS} | {"jupyterhub", "jupyterlab"})


def ways(wanted: Wanted) -> Sequence[Way]:
    """Return all ways to use an environment.

    >>> here = ("https://h.example", "h.example")
    >>> wanted = Wanted(*here, "ada/x", 3, "v3", {"python"}, False, True, None)
    >>> ways(wanted)[0].steps[0].text
    'docker run --rm -it h.example/ada/x:v3 python'
    """
    return (
        Way("docker", "Docker", _docker(wanted)),
        Way("podman", "Podman", _podman(wanted)),
        Way("kubernetes", "Kubernetes", _kubernetes(wanted)),
        Way("apptainer", "Apptainer", _apptainer(wanted)),
        Way("conda", "conda", _conda(wanted)),
        Way("jupyterhub", "JupyterHub", _jupyterhub(wanted)),
    )


def _docker(wanted: Wanted) -> Sequence[Step]:
    image, program = wanted.image, wanted.program
    steps = [
        Step("Start it:", f"docker run --rm -it {image} {program}"),
        Step(
            "With the files of the directory that you are in:",
            f'docker run --rm -it -v "$PWD:/work" -w /work {image} {program}',
        ),
        Step("Build upon it, in a Dockerfile:", f"FROM {image}"),
    ]
    return [*_first(wanted, f"docker login --username {wanted.login} {wanted.host}"), *steps]


def _podman(wanted: Wanted) -> Sequence[Step]:
    image, program = wanted.image, wanted.program
    plain = "" if wanted.has_tls else " --tls-verify=false"
    steps = [
        Step("Start it:", f"podman run{plain} --rm -it {image} {program}"),
        Step(
            "With the files of the directory that you are in:",
            f'podman run{plain} --rm -it -v "$PWD:/work" -w /work {image} {program}',
        ),
    ]
    login = f"podman login{plain} --username {wanted.login} {wanted.host}"
    return [*_first(wanted, login), *steps]


def _kubernetes(wanted: Wanted) -> Sequence[Step]:
    name = "".join(char if char.isalnum() else "-" for char in wanted.name).strip("-")[:50]
    lines = [
        "apiVersion: batch/v1",
        "kind: Job",
        "metadata:",
        f"  generateName: {name}-",
        "spec:",
        "  template:",
        "    spec:",
        "      restartPolicy: Never",
        *([] if wanted.is_open else [f"      imagePullSecrets: [{{name: {_SECRET}}}]"]),
        "      containers:",
        f"        - name: {name}",
        f"          image: {wanted.image}",
        f"          command: [{wanted.program}, --version]"
        if wanted.program != "sh"
        else '          command: [sh, -c, "echo it runs"]',
    ]
    secret = (
        f"kubectl create secret docker-registry {_SECRET} --docker-server={wanted.host}"
        f" --docker-username={wanted.login} --docker-password=TOKEN"
    )
    first = Step("Once in each namespace of Kubernetes, with a token in place of TOKEN:", secret)
    return [
        *([] if wanted.is_open else [first]),
        Step("A job, for kubectl create --filename job.yaml:", "\n".join(lines)),
    ]


def _apptainer(wanted: Wanted) -> Sequence[Step]:
    plain = "" if wanted.has_tls else " --no-https"
    image = f"docker://{wanted.image}"
    steps = [
        Step("Start it:", f"apptainer exec{plain} {image} {wanted.program}"),
        Step(
            "As one file, for machines without a network:",
            f"apptainer pull{plain} {wanted.name}.sif {image}\n"
            f"apptainer exec {wanted.name}.sif {wanted.program}",
        ),
    ]
    login = f"apptainer registry login --username {wanted.login} docker://{wanted.host}"
    if not wanted.has_tls:  # which it takes logins by alone
        login = (
            f"export APPTAINER_DOCKER_USERNAME={wanted.login}\n"
            "read -rs APPTAINER_DOCKER_PASSWORD && export APPTAINER_DOCKER_PASSWORD"
        )
    return [*_first(wanted, login), *steps]


def _conda(wanted: Wanted) -> Sequence[Step]:
    name, files = wanted.name, wanted.files
    who = "" if wanted.is_open else f" --user {wanted.login}"
    server = wanted.base_url if not wanted.has_tls else wanted.host
    run = f"{server}/{wanted.path}" + (f":{wanted.tag}" if wanted.tag else "")
    unpacked = (
        f"mkdir {name}\n"
        f"curl -fL{who} {files}/archive.tar.gz | tar -xz -C {name}\n"
        f". {name}/bin/activate\n"
        "conda-unpack"
    )
    if wanted.has_wheels:
        file, make = "environment.yml", f"conda env create --name {name} --file {name}.yml"
        kept = f"{name}.yml"
    else:
        file, make = "explicit", f"conda create --name {name} --file {name}.txt"
        kept = f"{name}.txt"
    command = f"pullforge env run {run} -- {wanted.program}"
    return [
        Step(
            "With pullforge's own command, which keeps the environment on this machine:",
            command if wanted.is_open else f"pullforge login {server}\n{command}",
        ),
        Step("Without conda, in a directory of your own:", unpacked),
        Step(
            "With conda, which fetches the packages from their channels:",
            f"curl -fL{who} -o {kept} {files}/{file}\n{make}",
        ),
    ]


def _jupyterhub(wanted: Wanted) -> Sequence[Step]:
    lines = [
        *([] if wanted.is_open else [f"imagePullSecrets: [{_SECRET}]"]),
        "singleuser:",
        "  profileList:",
        f"    - display_name: {wanted.path}",
        "      kubespawner_override:",
        f"        image: {wanted.image}",
        "  extraEnv:",
        "    HOME: /home/jovyan",
    ]
    steps = [
        Step("Among the values of Zero to JupyterHub's chart:", "\n".join(lines)),
        Step(
            "In jupyterhub_config.py, with DockerSpawner:",
            f'c.DockerSpawner.image = "{wanted.image}"',
        ),
    ]
    if "jupyterhub" in wanted.packages:
        return steps
    lacks = "It lacks the package jupyterhub, without which a hub cannot start it: add jupyterhub"
    lab = " and jupyterlab" if "jupyterlab" not in wanted.packages else ""
    return [Step(f"{lacks}{lab}, and build it again."), *steps]


def _first(wanted: Wanted, login: str) -> Sequence[Step]:
    """Return the step that goes before all others, where there is one."""
    if wanted.is_open:
        return []
    says = "The first time, with a token of yours as the password:"
    return [Step(says, login, "/me/tokens")]
