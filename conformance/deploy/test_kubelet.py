"""Images in pods: what a Kubernetes node shows, waits for and runs."""

import time
from collections.abc import Callable, Iterator

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.images import error_message, get_manifest
from conformance.clients.server import Server
from conformance.deploy.node import Node, PodState

PULL_ERRORS = {"ErrImagePull", "ImagePullBackOff"}


@pytest.fixture(scope="module")
def node(paths: ChannelPaths) -> Iterator[Node]:
    """Start a node."""
    with Node(paths.base) as node:
        yield node


@pytest.fixture(scope="module")
def channel(paths: ChannelPaths) -> Iterator[ChannelServer]:
    """Serve the local channel, which can be made slow."""
    with ChannelServer(paths.channel) as channel:
        yield channel


@pytest.fixture(scope="module")
def server(
    paths: ChannelPaths, channel: ChannelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Start the registry; one pull ends after ten seconds instead of a quarter of an hour."""
    store = tmp_path_factory.mktemp("server") / "store"
    with Server(store, channel.url, paths.base, {"wait_seconds": 0.2}) as server:
        yield server


def reach(
    node: Node, pod: str, wanted: Callable[[PodState], bool], seconds: float = 180
) -> PodState:
    """Return the state of a pod when it is as wanted."""
    deadline = time.monotonic() + seconds
    while not wanted(state := node.state(pod)):
        assert time.monotonic() < deadline, f"{state}\n{node.log_end()}"
        time.sleep(0.1)
    return state


def is_refused(state: PodState) -> bool:
    """Tell whether kubelet could not pull."""
    return state.reason in PULL_ERRORS


def has_ended(state: PodState) -> bool:
    """Tell whether the container has run to its end."""
    return state.kind == "terminated"


def test_a_pod_runs_an_environment(node: Node, server: Server) -> None:
    """By its name, and by the key of the same build, which is not pulled again."""
    program = ("python", "-c", "import numpy; print(numpy.arange(3))")
    pod = node.start(server.reference("env/numpy:latest"), *program)
    state = reach(node, pod, has_ended)
    assert (state.reason, node.output(pod)) == ("Completed", "[0 1 2]"), state
    key = get_manifest(server, "env/numpy:latest").headers["pullforge-build"]
    pod = node.start(server.reference(f"build/{key}"), *program)
    assert reach(node, pod, has_ended).reason == "Completed"


@pytest.mark.parametrize(
    "name", ["env/nunpy:latest", f"build/{'0' * 32}:latest", "team/nobody-pushed-it:v1"]
)
def test_a_refusal_is_read_in_the_pod(node: Node, server: Server, name: str) -> None:
    """The whole sentence, whatever is wrong with the name."""
    state = reach(node, node.start(server.reference(name)), is_refused)
    assert error_message(server, name) in state.message.replace('\\"', '"')


def test_a_build_that_outlasts_a_pull_comes_with_the_next(
    node: Node, server: Server, channel: ChannelServer
) -> None:
    """The event says how far it is, kubelet comes back by itself, and nothing is built twice."""
    before = server.metric("pullforge_solves_total")
    channel.slow("zope.interface-*", 30)
    try:
        image = server.reference("env/zope.interface:py3.11")
        pod = node.start(image, "python", "-c", "import zope.interface")
        state = reach(node, pod, is_refused)
        assert "429" in state.message, state
        state = reach(node, pod, has_ended)
    finally:
        channel.reset()
    assert state.reason == "Completed", state
    assert server.metric("pullforge_solves_total") == before + 1


def test_an_environment_runs_where_root_is_refused(node: Node, server: Server) -> None:
    """Its tag says who runs; what activation scripts set is there without a shell."""
    secure = {"runAsNonRoot": True, "allowPrivilegeEscalation": False}
    command = ("printenv", "GDAL_DATA", "HOME")
    name = "env/libgdal:{}"
    pod = node.start(
        server.reference(name.format("user1000")), *command, container={"securityContext": secure}
    )
    state = reach(node, pod, has_ended)
    assert state.reason == "Completed", state
    assert node.output(pod).split() == ["/opt/conda/share/gdal", "/tmp"]
    pod = node.start(
        server.reference(name.format("latest")), *command, container={"securityContext": secure}
    )
    state = reach(node, pod, lambda state: state.reason == "CreateContainerConfigError")
    assert "run as root" in state.message


def test_an_environment_is_mounted_as_a_volume(node: Node, server: Server) -> None:
    """Without a base of its own, into a container of another image."""
    volume = {"name": "environment", "image": {"reference": server.reference("env/numpy:bare")}}
    mount = {"name": "environment", "mountPath": "/opt/conda", "subPath": "opt/conda"}
    pod = node.start(
        server.reference("env/click:latest"),
        *("/opt/conda/bin/python", "-c", "import numpy; print(numpy.arange(3))"),
        volumes=[volume],
        container={"volumeMounts": [mount]},
    )
    state = reach(node, pod, has_ended)
    assert (state.reason, node.output(pod)) == ("Completed", "[0 1 2]"), state
