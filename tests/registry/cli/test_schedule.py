"""``pullforge schedule``, against a real server."""

import json
from pathlib import Path

from tests.registry.cli.servers import MakePerson

PLACE = "ada/notebook"


def test_an_environment_is_solved_anew_as_its_schedule_says(
    person: MakePerson, specs: Path
) -> None:
    ada, bob = person("ada"), person("bob")
    ada("env", "create", str(specs / "new.yml"), "--to", PLACE)
    missing = ada("schedule", "set", PLACE, "--pause", code=1).stderr
    assert "'pullforge schedule set ada/notebook weekly'" in missing
    assert "say when" in ada("schedule", "set", PLACE, code=2).stderr
    shown = ada("schedule", "set", PLACE, "30 3 * * MON", "--timezone", "Europe/Berlin").stdout
    assert "Mondays at 03:30, Europe/Berlin" in shown
    # What is not said stays.
    ada("schedule", "set", PLACE, "--then", "activate", "--not-on-advisories")
    document = json.loads(ada("schedule", "show", PLACE, "-o", "json").stdout)
    assert (document["cron"], document["timezone"]) == ("30 3 * * MON", "Europe/Berlin")
    assert (document["then"], document["on_advisories"]) == ("activate", False)
    ran = ada("schedule", "run", PLACE)
    assert ran.stdout == f"{PLACE}:v2\n"
    assert "pullforge env wait ada/notebook:v2" in ran.stderr
    assert ada("env", "wait", f"{PLACE}:v2").exit_code == 0
    listed = ada("schedule", "list", "ada").stdout
    assert "Mondays at 03:30" in listed
    assert "v2" in listed
    assert json.loads(bob("schedule", "list", "-o", "json").stdout)["items"] == []
    assert "paused" in ada("schedule", "set", PLACE, "--pause").stdout
    assert "UTC" in ada("schedule", "set", PLACE, "--resume").stdout
    wrong = ada("schedule", "set", PLACE, "every weekend", code=1).stderr
    assert wrong.startswith("pullforge: 'every weekend' is no schedule: write hourly, daily,")
    assert "solved anew no more" in ada("schedule", "delete", PLACE).stderr
    assert "has no schedule" in ada("schedule", "show", PLACE, code=1).stderr
