"""A channel gets a fixed version, and nobody has to remember it.

The schedule proposes it, the environment's test runs in the image, it is activated, and whoever is
told by a webhook is told in order.
"""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, Self

import pytest

from conformance.accounts import ADMIN, Accounts
from conformance.catalog.person import Person, environment
from conformance.channel import ChannelPaths
from conformance.channel.index import index_channel
from conformance.channel.server import ChannelServer
from conformance.channel.writer import Entry, Package, write_package
from conformance.clients.server import Server
from conformance.upkeep.receiver import Received, Receiver

#: Whose environment it is, and its owner.
PATH: Final = "team/forecast"
PLACE: Final = environment(PATH)
TEST: Final = "python -c 'import greeting; greeting.check()'"
ADVISORY: Final = {
    "id": "ACME-2026-1",
    "modified": "2026-11-29T00:00:00Z",
    "summary": "greeting says what it should not",
    "database_specific": {"severity": "HIGH"},
    "affected": [
        {
            "package": {"ecosystem": "conda", "name": "greeting"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}
SOUND: Final = "def check():\n    print('hello from', __name__)\n"
BROKEN: Final = "def check():\n    raise SystemExit('nobody is greeted')\n"


class Team:
    """A server, a channel of the team's own, and a receiver; a context manager."""

    def __init__(self, paths: ChannelPaths, channel_url: str) -> None:
        """Prepare them beside the local channel."""
        self._paths = paths
        self._channel_url = channel_url
        self._stack = ExitStack()
        self.admin = Person(ADMIN)
        self.receiver = Receiver()
        self.server: Server
        self._own = Path()

    def __enter__(self) -> Self:
        """Start all of them; the channel has ``greeting 1.0``."""
        with ExitStack() as stack:
            home = Path(tempfile.mkdtemp(prefix="pf-upkeep-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            self._own = home / "channel"
            self.publish("1.0", SOUND)
            (home / "advisories").mkdir()
            (home / "advisories" / "greeting.json").write_text(json.dumps(ADVISORY))
            settings = {
                "auth_file": Accounts(home / "auth.toml").path,
                "channels": {"conda-forge": self._channel_url, "team": f"file://{self._own}"},
                "default_channels": ["conda-forge", "team"],
                "platforms": ["linux-64"],
                "repodata_ttl_seconds": 0.1,
                "advisories": home / "advisories",
                # Receivers of tests are on this machine.
                "webhook_networks": ["127.0.0.0/8"],
                "workers": 1,
            }
            stack.enter_context(self.receiver)
            store = home / "store"
            self.server = Server(store, self._channel_url, self._paths.base, settings)
            stack.enter_context(self.server)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, and remove everything."""
        self._stack.close()

    def log_end(self) -> str:
        """Return the end of what the server logged."""
        return self.server.log_end()

    def publish(self, version: str, text: str) -> None:
        """Have one more version of ``greeting`` in the channel, while everything runs."""
        module = Entry("site-packages/greeting.py", text.encode())
        package = Package(
            *("greeting", version), noarch="python", depends=("python",), entries=[module]
        )
        write_package(package, self._own)
        (self._own / "linux-64").mkdir(exist_ok=True)
        index_channel(self._own)

    def must(self, method: str, path: str, body: object = None) -> Any:
        """Send a request that succeeds, as an administrator; return the document."""
        return self.admin.must(self.server, method, path, body)

    def key(self) -> str:
        """Return the key of the build that ``:latest`` is."""
        return self.admin.key(self.server, f"{PATH}:latest")

    def solved_anew(self) -> Any:
        """Have the schedule do its work now; return the version when it has ended."""
        number = self.must("POST", f"{PLACE}/schedule/run")["number"]
        return self.admin.version(self.server, PATH, number)

    def monday_comes(self) -> None:
        """Have the time of the schedule be over, as it is on Monday."""
        database = self.server.store / "database" / "pullforge.db"
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            (at,) = connection.execute("SELECT created_at FROM schedule").fetchone()
            connection.execute("UPDATE schedule SET next_at = ?", (at,))

    def told(self, action: str, version: int) -> Received:
        """Return what the receiver was told of a version, when it was."""
        return self.receiver.wait(lambda one: one.type == action and one.data["version"] == version)


@pytest.fixture(scope="module")
def team(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Team]:
    """Start everything once for the module."""
    with Team(paths, channel.url) as team:
        yield team


def test_a_fixed_version_comes_by_itself_once_its_test_passes(team: Team) -> None:
    """A team wakes up on Monday with what was fixed at the weekend."""
    team.must("POST", "/namespaces", {"name": "team", "owner": ADMIN})
    webhook = {"url": team.receiver.url, "namespace": "team"}
    team.receiver.trust(team.must("POST", "/webhooks", webhook)["secret"])
    wanted = json.dumps({"specs": ["python", "greeting"]}).encode()
    team.admin.build(team.server, PATH, wanted)
    team.must("PATCH", PLACE, {"test_command": TEST})
    schedule = {"cron": "weekly", "timezone": "Europe/Berlin", "then": "test"}
    team.must("PUT", f"{PLACE}/schedule", schedule)
    before = team.key()

    # Nothing is new: nothing is proposed.
    assert team.solved_anew()["state"] == "unchanged"
    assert team.must("GET", "/proposals")["items"] == []

    # What fixes one thing and breaks another is proposed, and its test keeps it away.
    team.publish("1.1", BROKEN)
    assert team.solved_anew()["state"] == "built"
    failed = team.told("proposal.tested", 3)
    assert failed.data["detail"]["test"] == "failed"
    proposal = team.must("GET", f"/proposals/{failed.data['detail']['proposal']}")
    assert (proposal["state"], proposal["version"], proposal["base"]) == ("open", 3, 1)
    assert "nobody is greeted" in proposal["test_output"]
    assert "status 1" in proposal["test"]["message"]
    (change,) = proposal["diff"]["packages"]["linux-64"]
    assert (change["name"], change["direction"]) == ("greeting", "up")
    assert [one["id"] for one in proposal["advisories"]["fixed"]] == ["ACME-2026-1"]
    assert team.must("GET", PLACE)["active"] == 1
    assert team.key() == before

    # The same once more is no news.
    again = team.solved_anew()
    assert again["state"] == "unchanged"
    assert "version 3, which is proposed" in again["message"]

    # On Monday there is a version that is sound: nobody does anything, and it is there.
    team.publish("1.2", SOUND)
    team.monday_comes()
    told = team.told("proposal.activated", 5)
    done = team.must("GET", f"/proposals/{told.data['detail']['proposal']}")
    assert (done["state"], done["decided_by"], done["decision"]) == (
        *("activated", None, "its test passed"),
    )
    assert "hello from greeting" in done["test_output"]
    assert team.must("GET", PLACE)["active"] == 5
    assert team.key() == team.must("GET", f"{PLACE}/versions/5")["key"]
    assert team.key() != before
    assert team.must("GET", f"/proposals/{proposal['id']}")["state"] == "replaced"

    # Whoever was told was told everything once, in order, and signed.
    assert team.receiver.wrong == []
    numbers = [int(one.id.removeprefix("evt_")) for one in team.receiver.received]
    assert numbers == sorted(set(numbers))
    story = [
        (one.type, one.data["version"])
        for one in team.receiver.received
        if one.type.startswith("proposal.") or one.type == "version.activated"
    ]
    assert story == [
        ("version.activated", 1),
        ("proposal.opened", 3),
        ("proposal.tested", 3),
        ("proposal.replaced", 3),
        ("proposal.opened", 5),
        ("proposal.tested", 5),
        ("version.activated", 5),
        ("proposal.activated", 5),
    ]


def test_what_somebody_went_back_from_does_not_come_again_until_there_is_another(
    team: Team,
) -> None:
    """Somebody's going back in an emergency is not undone at night."""
    team.admin.activate(team.server, PATH, 1)
    again = team.solved_anew()
    assert again["state"] == "unchanged"
    assert "version 1 was chosen in place of version 5" in again["message"]
    team.publish("1.3", SOUND)
    version = team.solved_anew()["number"]
    assert team.told("proposal.activated", version).data["detail"]["decision"] == "its test passed"
    assert team.must("GET", PLACE)["active"] == version
