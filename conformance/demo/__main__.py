"""A server on the local channel: pulls, a run, one package more, and pages to look at.

Everything is real but local: the channel and the base image are made from what PyPI and Debian
offer, so that no other server is needed. The pull uses the machine's own engine, docker or podman;
where neither works, a small client of the project's. With ``--store=s3`` an S3 server is started
besides, and the engine gets the blobs from there.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from conformance.channel import ensure
from conformance.channel.server import ChannelServer
from conformance.demo import showcase
from conformance.demo.engine import OWN, Engine, open_engine
from conformance.demo.service import open_server, open_store

REPOSITORY: Final = "env/numpy.pandas"
#: The same environment with one package more.
CHANGED: Final = "env/numpy.pandas.click"
PROGRAM: Final = (
    "import numpy, pandas; "
    "print(pandas.DataFrame({'numpy': [numpy.__version__], 'pandas': [pandas.__version__]}))"
)


@dataclass(frozen=True, slots=True)
class Demo:
    """What the steps share."""

    console: Console
    #: Host and port of the server.
    address: str
    engine: Engine

    def pull(self, repository: str, what: str) -> float:
        """Pull an image, say so, and return how many seconds it took."""
        reference = f"{self.address}/{repository}"
        self.step(f"{what}: {self.engine.name} pulls [bold]{reference}[/]")
        with self.console.status("pulling …"):
            return _timed(lambda: self.engine.pull(reference))

    def step(self, text: str) -> None:
        """Begin a step on a line of its own."""
        self.console.print(f"[bold green]▸[/] {text}")

    def say(self, text: str) -> None:
        """Print what came of a step."""
        self.console.print(f"    {text}")

    def get(self, path: str) -> Any:
        """Return what the server's API answers."""
        answer = httpx.get(f"http://{self.address}{path}", follow_redirects=True, timeout=60)
        return answer.raise_for_status().json()

    def key_of(self, repository: str) -> str:
        """Return the key of the build that an image is of."""
        url = f"http://{self.address}/v2/{repository}/manifests/latest"
        answer = httpx.head(url, follow_redirects=True, timeout=60).raise_for_status()
        return answer.headers["pullforge-build"]


def main() -> None:
    """Run the demonstration; with ``--keep`` the server runs on until Ctrl-C."""
    options = _options()
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        "[bold green]▸[/] make a conda channel and a base image of what PyPI and Debian offer"
        " (kept for the next time)"
    )
    paths = ensure("demo")
    with (
        tempfile.TemporaryDirectory(prefix="pullforge-demo-") as directory,
        ChannelServer(paths.channel) as channel,
        open_store(options.store, Path(directory)) as store,
        open_server(
            channel.url, paths.base, Path(directory), store | showcase.settings(Path(directory))
        ) as address,
        open_engine(address, Path(directory)) as engine,
    ):
        demo = Demo(console, address, engine)
        if engine.name == OWN:
            demo.step("neither docker nor podman works here: a small client of our own pulls")
        _pull_and_run(demo)
        _change(demo)
        if options.store == "s3":
            place = f"{store['PULLFORGE_STORE']} at {store['PULLFORGE_S3_ENDPOINT']}"
            sent = _size(_sent_bytes(address))
            demo.say(f"the store is {place}: blobs came from there, {sent} from the server itself")
        _furnish(demo)
        is_kept = options.keep or sys.stdin.isatty()
        demo.step(f"its pages are at [bold]http://{address}/[/]")
        for name, what in showcase.TO_LOOK_AT.items():
            demo.say(f"http://{address}/{name}: {what}")
        people = ", ".join((showcase.ADMINISTRATOR, *showcase.PEOPLE))
        demo.say(
            f"log in as {people}, with the password {showcase.PASSWORD};"
            f" {showcase.ADMINISTRATOR} is the administrator"
        )
        if is_kept:
            demo.say(f"try docker pull {address}/{REPOSITORY}.scipy; Ctrl-C stops it")
            with _until_interrupted():
                while True:
                    time.sleep(3600)
        demo.say("and stops now; in a terminal it stays, and make serve starts one on conda-forge")


def _pull_and_run(demo: Demo) -> None:
    first = demo.pull(REPOSITORY, "first pull")
    key = demo.key_of(REPOSITORY)
    build = demo.get(f"/api/v1/builds/{key}")
    image = build["images"][0]["platforms"]["linux-64"]
    packages = build["platforms"]["linux-64"]["packages"]
    demo.say(
        f"solved, assembled and pulled in [bold]{first:.1f} s[/]: {packages} packages in"
        f" {image['layers']} layers, {_size(image['size_bytes'])}"
    )
    demo.step("run python in it")
    for line in demo.engine.run(f"{demo.address}/{REPOSITORY}", PROGRAM).rstrip().splitlines():
        demo.say(line)
    again = demo.pull(REPOSITORY, "second pull")
    demo.say(f"answered from the store in [bold]{again:.2f} s[/]")
    demo.step("the same bytes next year, and on another server, by the key of what was locked")
    demo.say(f"{demo.address}/build/{key}")
    demo.say(f"its lock file: http://{demo.address}/api/v1/builds/{key}/lock")


def _change(demo: Demo) -> None:
    seconds = demo.pull(CHANGED, "one package more")
    before, after = demo.key_of(REPOSITORY), demo.key_of(CHANGED)
    difference = demo.get(f"/api/v1/builds/{before}/diff/{after}")
    for change in difference["packages"]["linux-64"]:
        demo.say(f"{change['name']}: {change['before'] or 'not there'} → {change['after']}")
    image = demo.get(f"/api/v1/builds/{after}")["images"][0]["platforms"]["linux-64"]
    demo.say(
        f"made in {seconds:.1f} s; a node that has the first fetches"
        f" [bold]{_size(difference['fetched_bytes']['linux-64'])}[/] of"
        f" {_size(image['size_bytes'])}: the layers that are new"
    )


def _furnish(demo: Demo) -> None:
    demo.step("two teams make environments with a name, and IT has a policy")
    with demo.console.status("building …"):
        seconds = _timed(showcase.Showcase(f"http://{demo.address}").fill)
    demo.say(f"made in [bold]{seconds:.1f} s[/], with one that fails and one that waits for IT")


def _size(size_bytes: int) -> str:
    """Return a size for people.

    >>> _size(999), _size(81_234), _size(81_234_567)
    ('1 kB', '81 kB', '81.2 MB')
    """
    megabytes = size_bytes / 1e6
    return f"{megabytes:.1f} MB" if megabytes >= 1 else f"{size_bytes / 1e3:.0f} kB"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="let the server run on until Ctrl-C")
    parser.add_argument("--store", choices=["directory", "s3"], default="directory")
    return parser.parse_args()


def _sent_bytes(address: str) -> int:
    """Return how many bytes of manifests and blobs the server has sent."""
    found = re.findall(
        r'^pullforge_http_sent_bytes_total\{route="/v2[^"]*"\} (\S+)$',
        httpx.get(f"http://{address}/metrics").text,
        re.MULTILINE,
    )
    return sum(int(float(value)) for value in found)


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
