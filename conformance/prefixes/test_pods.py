"""A pod works in an environment of its node, as the example of the deployment has it."""

import time

import yaml

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import ROOT
from conformance.deploy.node import Node as KubernetesNode
from conformance.prefixes.site import SPACE, Site

EXAMPLE = ROOT / "deploy" / "prefixes" / "kubernetes" / "examples" / "notebook.yaml"
#: Is on the node already, and has nothing but what Debian has.
IMAGE = "local.test/pause:1"
_SECONDS = 180


def test_a_pod_works_in_an_environment_of_its_node_and_cannot_write(
    paths: ChannelPaths, channel: ChannelServer
) -> None:
    """Not as root, read only, by the path that files say."""
    with Site(paths, channel.url) as site, KubernetesNode(paths.base) as kubernetes:
        built = site.build(f"{SPACE}/forecast", "numpy")
        machine = site.node()
        machine.sync()
        text = EXAMPLE.read_text(encoding="utf-8")
        link = "/srv/conda/analytics/envs/forecast"
        assert link in text
        text = text.replace(link, str(machine.link(built.path)))
        spec = yaml.safe_load(text.replace("/srv/conda", str(machine.root)))["spec"]
        (container,) = spec.pop("containers")
        python, *_ = container.pop("command")
        del container["image"]
        program = f"import numpy; print(numpy.arange(3)); open({str(machine.root / 'x')!r}, 'w')"
        pod = kubernetes.start(
            IMAGE, python, "-c", program, container={**container, "name": "main"}, **spec
        )
        deadline = time.monotonic() + _SECONDS
        while (state := kubernetes.state(pod)).kind != "terminated":
            assert time.monotonic() < deadline, f"{state}\n{kubernetes.log_end()}"
            time.sleep(0.1)
        said = kubernetes.output(pod)
        assert "[0 1 2]" in said, said
        assert "Read-only file system" in said
