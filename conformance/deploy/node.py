"""A Kubernetes node without a control plane: kubelet, containerd and pods from files.

It shows what a pod's events would say, how kubelet comes back to an image that is not ready, and
what runs in the end. There is no API server, hence no pull secrets, no jobs and no network of pods:
they use the machine's.
"""

import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
import yaml

from conformance.clients.engines import containerd
from conformance.clients.engines.home import make_home, remove_home, require
from conformance.clients.engines.program import Daemon, run
from conformance.deploy.programs import KUBELET
from conformance.ports import free_port

_PAUSE: Final = "local.test/pause:1"
_CONTAINERD: Final = """\
version = 3
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]

[grpc]
address = "{home}/containerd.sock"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
"""


@dataclass(frozen=True, slots=True)
class PodState:
    """What kubelet says of a pod's only container."""

    #: ``waiting``, ``running`` or ``terminated``.
    kind: str
    #: For example ``ErrImagePull``, ``ImagePullBackOff`` or ``Completed``.
    reason: str
    message: str


class Node:
    """A kubelet and its containerd, with data of their own."""

    def __init__(self, base: Path) -> None:
        """Prepare a node.

        Args:
            base: An image layout with ``sleep``: what holds a pod's namespaces is made of it.
        """
        self._base = base
        self._home = Path()
        self._port = free_port()
        self._daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        """Start both and wait until they answer."""
        path = f"{containerd.CURRENT.directory()}:/usr/sbin:/usr/bin:/sbin:/bin"
        kubelet = KUBELET.path()
        require(["containerd", "runc", "unshare"], path)
        self._home = home = make_home("node")
        (home / "pods").mkdir()
        (home / "config.toml").write_text(_CONTAINERD.format(home=home, pause=_PAUSE))
        (home / "kubelet.yaml").write_text(json.dumps(self._settings()))
        _write_pause(self._base, home / "pause.tar")
        argv = ["env", "containerd", "--config", str(home / "config.toml")]
        images = Daemon(argv, home / "containerd.log", {"PATH": path})
        # kubelet links the logs of pods in a place that all kubelets of a machine share.
        program = (
            "mkdir -p /var/log/containers && mount -t tmpfs none /var/log/containers &&"
            f" exec {kubelet} --config={home}/kubelet.yaml --root-dir={home}/kubelet"
            f" --cert-dir={home}/certificates --hostname-override=node --node-ip=127.0.0.1"
        )
        argv = ["unshare", "--mount", "sh", "-c", program]
        agent = Daemon(argv, home / "kubelet.log", {"PATH": path})
        self._daemons = [agent, images]
        try:
            images.start(lambda: self._ctr("version"))
            assert self._ctr("images", "import", str(home / "pause.tar")), images.log_end()
            agent.start(self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all pods, stop both and delete their data."""
        if len(self._daemons) == 2 and self._daemons[0].runs:
            for pod in (self._home / "pods").iterdir():
                pod.unlink()
            self._daemons[0].stop()
        for task in self._names("tasks"):
            self._ctr("tasks", "kill", "--signal=SIGKILL", task)
        for daemon in self._daemons:
            daemon.stop()
        remove_home(self._home)

    def start(self, image: str, *command: str, **more: object) -> str:
        """Hand kubelet a pod with one container, and return the pod's name.

        Args:
            image: Its reference, pulled if it is not there.
            command: What runs in it; nothing for what the image says.
            more: Further fields of the pod's specification, e.g. ``volumes``; ``container`` has
                further fields of the container.
        """
        name = f"pod-{uuid.uuid4().hex[:8]}"
        extra: Any = more.pop("container", {})
        container = {
            "name": "main",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            **({"command": list(command)} if command else {}),
            **extra,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "hostNetwork": True,
                "restartPolicy": "Never",
                "containers": [container],
                **more,
            },
        }
        # Renamed into place: kubelet reads whatever lies there.
        made = self._home / f"{name}.yaml"
        made.write_text(yaml.safe_dump(pod), encoding="utf-8")
        made.rename(self._home / "pods" / made.name)
        return name

    def state(self, pod: str) -> PodState:
        """Return how far the container of a pod is."""
        answer = httpx.get(f"http://127.0.0.1:{self._port}/pods", timeout=15).raise_for_status()
        for found in answer.json().get("items") or []:
            if found["metadata"]["name"].startswith(pod):
                statuses = found["status"].get("containerStatuses") or []
                for kind, fields in (statuses[0]["state"] if statuses else {}).items():
                    return PodState(kind, fields.get("reason", ""), fields.get("message", ""))
        return PodState("waiting", "", "")

    def output(self, pod: str) -> str:
        """Return what the container of a pod has printed."""
        found = sorted((self._home / "logs").glob(f"default_{pod}*/main/*.log"))
        lines = found[-1].read_text(encoding="utf-8").splitlines() if found else []
        # Each line has a time, a stream and a flag before it.
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def log_end(self) -> str:
        """Return the end of what both logged."""
        return "\n".join(daemon.log_end() for daemon in self._daemons)

    def _settings(self) -> Mapping[str, object]:
        home = self._home
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            # Pods are bounded by nothing: the machine's own groups stay as they are.
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "makeIPTablesUtilChains": False,
            "containerRuntimeEndpoint": f"unix://{home}/containerd.sock",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "address": "127.0.0.1",
            "port": free_port(),
            "readOnlyPort": self._port,
            "healthzPort": 0,
            "staticPodPath": str(home / "pods"),
            "fileCheckFrequency": "500ms",
            "syncFrequency": "1s",
            "serializeImagePulls": False,
            "podLogsDir": str(home / "logs"),
            "resolvConf": "",
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "1Mi"},
            "localStorageCapacityIsolation": False,
        }

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/pods", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _names(self, kind: str) -> list[str]:
        outcome = run([*self._client(), kind, "ls", "-q"])
        return outcome.stdout.split() if not outcome.returncode else []

    def _ctr(self, *arguments: str) -> bool:
        return run([*self._client(), *arguments]).returncode == 0

    def _client(self) -> list[str]:
        ctr = containerd.CURRENT.directory() / "ctr"
        return [str(ctr), f"--address={self._home / 'containerd.sock'}", "--namespace=k8s.io"]


def _write_pause(base: Path, path: Path) -> None:
    """Write an image archive: the files of ``base``, and ``sleep`` as what runs."""

    def blob(digest: str) -> bytes:
        return (base / "blobs" / digest.replace(":", "/")).read_bytes()

    index = json.loads((base / "index.json").read_bytes())
    platforms = json.loads(blob(index["manifests"][0]["digest"]))["manifests"]
    ours = next(m for m in platforms if m["platform"]["architecture"] == "amd64")
    manifest = json.loads(blob(ours["digest"]))
    config = json.loads(blob(manifest["config"]["digest"]))
    config["config"] = {"Entrypoint": ["/usr/bin/sleep", "infinity"]}
    files = {layer["digest"]: blob(layer["digest"]) for layer in manifest["layers"]}

    def add(document: object) -> dict[str, object]:
        data = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        files[digest] = data
        return {"digest": digest, "size": len(data)}

    manifest["config"] |= add(config)
    top = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **add(manifest),
        "annotations": {"io.containerd.image.name": _PAUSE},
    }
    with tarfile.open(path, "w") as archive:
        for name, data in [
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()),
            *((f"blobs/{digest.replace(':', '/')}", data) for digest, data in files.items()),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
