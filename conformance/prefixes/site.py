"""A server with a catalog, and machines that keep its environments as directories."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from conformance.accounts import ADMIN, PASSWORD, Accounts
from conformance.catalog.person import Person, environment
from conformance.channel import ChannelPaths
from conformance.clients.engines.program import Daemon
from conformance.clients.server import ROOT, Server, command, run_checked

#: Whose environments most are.
SPACE: Final = "team"
#: Sees one namespace, if a test lets him.
BOB: Final = "bob"
_SYNC_SECONDS: Final = 600


class Site:
    """The server, and who makes environments at it; a context manager."""

    def __init__(
        self,
        paths: ChannelPaths,
        channel_url: str,
        channels: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare it.

        Args:
            paths: The base image.
            channel_url: What it calls ``conda-forge``.
            channels: More channels, by their names.
            settings: More settings.
        """
        self._paths = paths
        self._channels = {"conda-forge": channel_url, **(channels or {})}
        self._settings = settings or {}
        self._stack = ExitStack()
        self._numbers = iter(range(1_000_000))
        self.admin = Person(ADMIN)
        self.bob = Person(BOB)
        self.home = Path()
        self.server: Server

    def __enter__(self) -> Self:
        """Start the server, with :data:`SPACE` in its catalog."""
        with ExitStack() as stack:
            self.home = Path(tempfile.mkdtemp(prefix="pf-prefixes-"))
            # Others look at what is made here.
            self.home.chmod(0o755)
            stack.callback(shutil.rmtree, self.home, ignore_errors=True)
            accounts = Accounts(self.home / "auth.toml")
            accounts.add_user(BOB, "env/**:pull")
            settings = {
                "auth_file": accounts.path,
                "platforms": ["linux-64"],
                "workers": 1,
                "channels": self._channels,
                "default_channels": list(self._channels),
                **self._settings,
            }
            store = self.home / "store"
            url = self._channels["conda-forge"]
            self.server = Server(store, url, self._paths.base, settings)
            stack.enter_context(self.server)
            self.add_namespace(SPACE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove everything."""
        self._stack.close()

    def add_namespace(self, name: str) -> None:
        """Make a namespace."""
        self.admin.must(self.server, "POST", "/namespaces", {"name": name})

    def build(
        self,
        path: str,
        *packages: str,
        pip: Iterable[str] = (),
        channels: Iterable[str] = ("conda-forge",),
        **variables: str,
    ) -> "Built":
        """Return a new version of an environment, built and active; the first makes it.

        Args:
            path: E.g. ``"team/forecast"``.
            packages: Of conda.
            pip: Of PyPI.
            channels: In their order.
            variables: Other ones make another build.
        """
        found = self.admin.build(
            self.server, path, text(packages, pip, channels, variables).encode()
        )
        number = int(found["number"])
        self.activate(path, number)
        return Built(path, number, str(found["key"]))

    def activate(self, path: str, number: int) -> None:
        """Make a version the active one."""
        self.admin.activate(self.server, path, number)

    def active(self, path: str) -> int:
        """Return the number of the version that is active."""
        number: int = self.admin.must(self.server, "GET", environment(path))["active"]
        return number

    def delete(self, path: str) -> None:
        """Delete an environment."""
        self.admin.must(self.server, "DELETE", environment(path))

    def packages(self, built: "Built") -> set[str]:
        """Return the packages of a version, e.g. ``{"click-8.1.8"}``."""
        address = f"{environment(built.path)}/versions/{built.number}/packages"
        found: set[str] = set()
        after: object = ""
        while after is not None:
            more = f"&after={after}" if after else ""
            page = self.admin.must(self.server, "GET", f"{address}?limit=100{more}")
            found |= {f"{one['name']}-{one['version']}" for one in page["items"]}
            after = page["next"]
        return found

    def node(self, user: str = ADMIN, root: Path | None = None) -> "Node":
        """Return another machine on which somebody has logged in to the server.

        Args:
            user: Who.
            root: Where the root is; ``None``: in the home of the user, and not there yet.
        """
        home = self.home / f"node-{next(self._numbers)}"
        home.mkdir()
        return Node(home, self.server, user, root or home / "root")

    def log_end(self) -> str:
        """Return the end of what the server logged."""
        return self.server.log_end()


@dataclass(frozen=True, slots=True)
class Built:
    """A version of an environment."""

    #: Of the environment, e.g. ``"team/forecast"``.
    path: str
    number: int
    key: str

    @property
    def name(self) -> str:
        """Of the environment in its namespace."""
        return self.path.partition("/")[2]

    @property
    def namespace(self) -> str:
        """Whose environment it is."""
        return self.path.partition("/")[0]


class Node:
    """A machine with a root, and ``pullforge`` commands that keep it."""

    def __init__(self, home: Path, server: Server, user: str, root: Path) -> None:
        """Log in."""
        self.home = home
        self.root = root
        self._server = server
        argv = command("login", server.host, "--user", user, "--password-stdin")
        subprocess.run(
            argv, input=PASSWORD, env=self.environment, check=True, capture_output=True, text=True
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process."""
        home = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config")}
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **home}

    def argv(self, *options: str) -> list[str]:
        """Return what makes the root equal to what the server says."""
        return command(
            *("prefixes", "sync", "--root", str(self.root), "--server", self._server.host),
            *options,
        )

    def sync(self, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Make the root equal; the command ends with ``code`` and without a traceback."""
        return self._run(self.argv(*options), code)

    def status(self, code: int = 0) -> Any:
        """Return what is told of the root; the command ends with ``code``."""
        argv = command("prefixes", "status", "--root", str(self.root), "--output", "json")
        return json.loads(self._run(argv, code).stdout)

    def _run(self, argv: list[str], code: int) -> subprocess.CompletedProcess[str]:
        return run_checked(argv, self.environment, _SYNC_SECONDS, code)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start to make the root equal, in a group of processes of its own."""
        return subprocess.Popen(
            self.argv(*options),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @contextmanager
    def following(self, *options: str) -> Iterator[Daemon]:
        """Keep the root equal meanwhile; ends as ``systemctl stop`` has it end."""
        log = self.home / "follow.log"
        log.touch()
        # Whoever runs tests in the background has signals of the keyboard ignored.
        heeding = ["env", "--default-signal=INT", *self.argv("--follow", *options)]
        daemon = Daemon(heeding, log, self.environment)
        daemon.start(lambda: True)
        try:
            yield daemon
        finally:
            daemon.stop()

    def prefix(self, built: Built) -> Path:
        """Return where a version is."""
        return self.root / "builds" / built.key

    def link(self, path: str) -> Path:
        """Return the link to the active version of an environment."""
        namespace, _, name = path.partition("/")
        return self.root / namespace / "envs" / name

    def links(self) -> dict[str, str]:
        """Return the key that the link of every environment leads to, by ``namespace/name``."""
        found = {}
        for link in sorted(self.root.glob("*/envs/*")):
            if "@" in link.name:  # of one version
                continue
            assert link.is_symlink(), link
            assert not link.readlink().is_absolute(), link
            assert (link / "conda-meta" / "pullforge").exists(), f"{link} leads nowhere"
            found[f"{link.parent.parent.name}/{link.name}"] = link.readlink().name
        return found

    def builds(self) -> set[str]:
        """Return the keys of all prefixes that are there."""
        return {path.name for path in self.root.glob("builds/*")}

    def require_nothing_under_way(self) -> None:
        """Assert that nothing is left of what was begun."""
        making = self.root / ".making"
        assert not making.exists() or not list(making.iterdir())


def kill(process: subprocess.Popen[bytes]) -> int:
    """Kill a process and all that it started; return how it ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def text(
    packages: Iterable[str],
    pip: Iterable[str],
    channels: Iterable[str],
    variables: Mapping[str, str],
) -> str:
    """Return an ``environment.yml``.

    >>> print(text(["click =8.1"], ["six"], ["conda-forge"], {"A": "1"}))
    {"channels": ["conda-forge"], "dependencies": ["click =8.1", {"pip": ["six"]}], \
"variables": {"A": "1"}}
    """
    dependencies: list[object] = [*packages]
    if wheels := [*pip]:
        dependencies.append({"pip": wheels})
    document: dict[str, object] = {"channels": [*channels], "dependencies": dependencies}
    if variables:
        document["variables"] = dict(variables)
    return json.dumps(document)  # JSON is YAML
