"""Files that are sent to a server, from the command line and over HTTP."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import httpx

from conformance.clients.engines.program import Outcome, run
from conformance.clients.images import HEADERS
from conformance.clients.server import ROOT, Server

#: What a new user has.
ENVIRONMENT: Final = Path(__file__).with_name("environment.yml")
#: Prints what libraries and modules of both kinds say, and the variable of the file.
CODE: Final = (
    "import contourpy, flask, numpy, orjson, os;"
    " lines = contourpy.contour_generator(z=numpy.eye(3)).lines(0.5);"
    " print(len(lines), orjson.dumps({'a': 1}).decode(), os.environ['OMP_NUM_THREADS'])"
)
SAID: Final = '3 {"a":1} 2'


def pullforge(*arguments: str | Path) -> Outcome:
    """Run ``pullforge`` as users do."""
    return run([sys.executable, "-m", "registry", *arguments], env={"PYTHONPATH": str(ROOT)})


def push(server: Server, file: Path) -> dict[str, Any]:
    """Send a file with ``pullforge push`` and return the document of its build."""
    outcome = pullforge("push", "--json", file, "--to", server.host)
    assert outcome.returncode == 0, outcome.output
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


def send(server: Server, data: bytes) -> httpx.Response:
    """Send a file over HTTP and return the answer once there is a build, or an error."""
    url = f"{server.url}/api/v1/builds"
    return httpx.post(url, content=data, headers={"Prefer": "wait=25"}, timeout=60)


def fetch_form(server: Server, build: dict[str, Any], form: str) -> bytes:
    """Return a build in one of its forms."""
    answer = httpx.get(server.url + build["links"][form], follow_redirects=True, timeout=120)
    return answer.raise_for_status().content


def digest(server: Server, key: str) -> str:
    """Return the digest of a build's image, as a client of today gets it."""
    url = f"{server.url}/v2/build/{key}/manifests/latest"
    answer = httpx.get(url, headers=HEADERS, follow_redirects=True, timeout=120)
    return answer.raise_for_status().headers["Docker-Content-Digest"]
