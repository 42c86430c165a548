"""Container engines and registry clients, each with data directories of its own.

Every engine is a context manager: what it starts, it stops by process id, and nothing of it is
left in the system's own engine directories.
"""

from conformance.clients.engines.client import Client, EngineMissing, PullResult, RunFailed, Runner
from conformance.clients.engines.containerd import Containerd
from conformance.clients.engines.crane import Crane
from conformance.clients.engines.docker import Docker
from conformance.clients.engines.podman import Podman
from conformance.clients.engines.skopeo import Skopeo

__all__ = [
    "Client",
    "Containerd",
    "Crane",
    "Docker",
    "EngineMissing",
    "Podman",
    "PullResult",
    "RunFailed",
    "Runner",
    "Skopeo",
]
