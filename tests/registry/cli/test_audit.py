"""``pullforge audit`` on a real server."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import typer

from registry.cli.audit import _moment
from tests.registry.accounts import PASSWORD
from tests.registry.cli.servers import MakePerson, Served, answering

pytestmark = pytest.mark.timeout(120)


def test_the_log_is_shown_filtered_and_exported(person: MakePerson) -> None:
    root, ada = person("root"), person("ada")
    ada("namespace", "create", "ada")
    ada("namespace", "update", "ada", "--description", "what ada does")
    shown = root("audit", "--action", "namespace.*", "--namespace", "ada").stdout
    newest, oldest = [line for line in shown.splitlines() if "namespace." in line]
    assert "namespace.updated" in newest
    assert "description:  → what ada does" in newest
    assert "cli" in newest
    assert "127.0.0.1" in newest
    assert "namespace.created" in oldest
    ada("env", "create", "--to", "ada/one")
    shown = root("audit", "--environment", "ada/one").stdout
    assert "environment.created" in shown
    assert "namespace." not in shown
    written = root("audit", "--action", "namespace.*", "--output", "json").stdout
    events = [json.loads(line) for line in written.splitlines()]
    assert [one["action"] for one in events] == ["namespace.created", "namespace.updated"]
    assert {(one["actor"], one["via"]) for one in events} == {("ada", "cli")}
    assert root("audit", "--since", "2900-01-01", "--output", "json").stdout == ""


def test_more_than_is_shown_is_said(person: MakePerson) -> None:
    root = person("root")
    for number in range(3):
        root("namespace", "create", f"team{number}")
    result = root("audit", "--limit", "2", "--action", "namespace.*")
    assert result.stdout.count("namespace.created") == 2
    assert "there are more" in result.stderr


def test_who_is_no_officer_is_told_so(person: MakePerson) -> None:
    ada = person("ada")
    for arguments in ((), ("--output", "json"), ("--follow",)):
        result = ada("audit", *arguments, code=1)
        assert "it is for the auditor of the service" in result.stderr


def test_what_happens_is_followed_until_it_is_interrupted(
    person: MakePerson, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ada = person("root"), person("ada")
    ada("namespace", "create", "ada")
    written: list[str] = []

    def write(line: str, err: bool = False) -> None:
        written.append(line)
        if "namespace.created" in line:
            url = f"http://{served.host}/api/v1/namespaces/ada"
            reply = httpx.patch(url, json={"description": "x"}, auth=("ada", PASSWORD))
            assert reply.is_success, reply
        if "namespace.updated" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("registry.cli.audit.typer.echo", write)
    root("audit", "--follow", "--since", "1h", "--action", "namespace.*", code=130)
    found = [line for line in written if "namespace." in line]
    assert [("created" in line, "updated" in line) for line in found] == [
        (True, False),
        (False, True),
    ]


def test_what_is_no_event_is_said(person: MakePerson) -> None:
    root = person("root")
    with answering(200, b"[1]\n", "application/x-ndjson") as host:
        result = root("audit", "--follow", "--server", f"http://{host}", code=1)
        assert "no pullforge server" in result.stderr
    with answering(500, b"oops") as host:
        result = root("audit", "--output", "json", "--server", f"http://{host}", code=1)
        assert "answered 500" in result.stderr


@pytest.mark.parametrize(
    ("text", "ago"),
    [("2d", timedelta(days=2)), ("36 hours", timedelta(hours=36)), ("5m", timedelta(minutes=5))],
)
def test_a_time_is_before_now(text: str, ago: timedelta) -> None:
    found = _moment("--since", text)
    assert found is not None
    off = datetime.now(UTC) - ago - datetime.fromisoformat(found)
    assert timedelta() <= off < timedelta(minutes=1)


def test_a_time_is_one_of_the_calendar() -> None:
    assert _moment("--since", None) is None
    assert _moment("--since", "2026-11-01") == "2026-11-01T00:00:00+00:00"
    assert _moment("--since", "2026-11-01T12:00:00Z") == "2026-11-01T12:00:00+00:00"


@pytest.mark.parametrize("text", ["yesterday", "", "2 moons", "999999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        _moment("--since", text)
