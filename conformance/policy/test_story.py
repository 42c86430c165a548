"""The story of a company's rules, as its people live it, with a real engine and two servers.

What the engine prints is what people get to read: so sentences are looked for there.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from conformance.catalog.person import Person, environment, sentence
from conformance.clients.engines import Runner
from conformance.clients.matrix import Engines
from conformance.clients.server import Server
from conformance.policy.channels import AFFECTED, BIOLOGICAL, COPYLEFT, FIXED, VULNERABLE, YOUNG
from conformance.policy.company import Company

CONTACT: Final = "it@example.org"
#: What IT writes.
POLICY: Final = f"""\
description = "What everybody keeps"
contact = "{CONTACT}"

[channels]
allowed = ["conda-forge", "bioconda"]
only_in = {{ bioconda = ["bioinformatics"] }}

[licences]
denied = ["GPL-3.0-*"]

[age]
minimum = "7 days"
"""
#: And one day later.
STRICTER: Final = POLICY + '\n[advisories]\nminimum_severity = "high"\n'
ADVISORY_ID: Final = "GHSA-test-0000-0001"
ADVISORY: Final = {
    "schema_version": "1.7.0",
    "id": ADVISORY_ID,
    "modified": "2026-11-01T00:00:00Z",
    "summary": "Answers are not what they seem",
    "database_specific": {"severity": "HIGH"},
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": VULNERABLE},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": FIXED}]},
            ],
        }
    ],
}
#: The versions of the package that is a day old, and of the one before it.
TOO_YOUNG, OLD_ENOUGH = "8.5.0", "8.2.1"
PRINTS_VERSION: Final = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
#: How long something may take that servers come to by themselves.
_SECONDS: Final = 120


@dataclass
class Stage:
    """Where the story plays."""

    company: Company
    engine: Runner

    @property
    def servers(self) -> list[Server]:
        """Both servers."""
        return self.company.servers

    def log_in(self, person: Person) -> None:
        """Have somebody's engine log in at both servers."""
        for server in self.servers:
            login = self.engine.log_in(server.host, person.name, person.secret)
            assert login.ok, login.output

    def pulls(self, name: str, package: str, version: str) -> None:
        """Assert that the engine pulls an image from both servers, with that version in it."""
        for server in self.servers:
            reference = server.reference(name)
            result = self.engine.pull(reference)
            assert result.ok, result.output
            found = self.engine.run(reference, "python", "-c", PRINTS_VERSION, package)
            assert found.strip() == version, name
            self.engine.remove(reference)

    def is_refused(self, name: str, *words: str) -> str:
        """Assert that the engine says at both servers why not; return its last line."""
        said = ""
        for server in self.servers:
            result = self.engine.pull(server.reference(name))
            assert not result.ok, f"{name} was pulled"
            said = result.output.strip().splitlines()[-1]
            for word in words:
                assert word in said, said
        return said

    def eventually(self, find: Callable[[Server], Any]) -> Any:
        """Return what both servers come to by themselves, as the second one tells it."""
        deadline = time.monotonic() + _SECONDS
        found: Any = None
        for server in self.servers:
            while not (found := find(server)):
                assert time.monotonic() < deadline, f"not within {_SECONDS} s"
                time.sleep(0.2)
        return found


@pytest.fixture
def stage(company: Company, engines: Engines) -> Stage:
    """Return the servers, and an engine that runs what it pulls."""
    engine = engines.get("docker")
    assert isinstance(engine, Runner)
    return Stage(company, engine)


@pytest.mark.engine("docker")
def test_the_story_of_a_policy(stage: Stage) -> None:
    """Set, met, refused, waived, made stricter, blocked, unblocked; all of it written down."""
    tried_before_it_holds(stage)
    older_version_is_taken(stage)
    channel_is_for_one_namespace(stage)
    licence_is_refused_and_waived(stage)
    advisory_finds_what_exists(stage)
    key_is_blocked_and_unblocked(stage)
    all_of_it_is_in_the_audit_log(stage)


def tried_before_it_holds(stage: Stage) -> None:
    """IT sees what the policy would do, and switches it on by a file."""
    one, _ = stage.servers
    asked = {"text": POLICY, "specification": specification(COPYLEFT).decode()}
    told = stage.company.admin.must(one, "POST", "/policies/test", asked)
    assert told["specification"]["by_policy"]
    assert COPYLEFT in told["specification"]["refused"]
    assert stage.company.admin.must(one, "GET", "/policies")["items"] == []
    stage.company.set_policy("company", POLICY)
    for server in stage.servers:
        told = stage.company.bob.must(server, "GET", "/namespaces/analytics/policy")
        assert "7 days" in json.dumps(told), "whoever is bound by it reads it"


def older_version_is_taken(stage: Stage) -> None:
    """A solve picks the older version by itself, and says so; by a name, too."""
    one, two = stage.servers
    bob = stage.company.bob
    built = bob.build(one, "analytics/tools", specification("python", YOUNG))
    left_out = built["policy"]["left_out"]
    assert any(YOUNG in json.dumps(each) and "company" in json.dumps(each) for each in left_out)
    log = bob.send(two, "GET", f"{environment('analytics/tools')}/versions/1/log").text
    assert f"{YOUNG} {TOO_YOUNG} is left out by policy 'company'" in log
    stage.log_in(bob)
    stage.pulls("analytics/tools:latest", YOUNG, OLD_ENOUGH)
    stage.pulls(f"env/python.{YOUNG}:latest", YOUNG, OLD_ENOUGH)
    stage.is_refused(f"env/{YOUNG}.{TOO_YOUNG}:latest", "7 days", "company", CONTACT)


def channel_is_for_one_namespace(stage: Stage) -> None:
    """Biologists have their channel, and nobody else."""
    one, two = stage.servers
    wanted = specification("python", BIOLOGICAL)
    stage.company.ada.build(one, "bioinformatics/colours", wanted)
    refused = failed_version(stage, two, stage.company.bob, "analytics/colours", wanted)
    assert "bioconda" in refused["message"], refused
    assert "company" in refused["message"], refused
    stage.is_refused(f"env/bioconda--{BIOLOGICAL}:latest", "bioconda", "company")


def licence_is_refused_and_waived(stage: Stage) -> None:
    """Refused with a sentence, asked for, given; and what was refused is built by itself."""
    one, two = stage.servers
    bob, admin = stage.company.bob, stage.company.admin
    said = stage.is_refused(
        f"env/python.{COPYLEFT}:latest", COPYLEFT, "GPL-3.0", "company", CONTACT
    )
    print(said)
    wanted = specification("python", COPYLEFT)
    refused = failed_version(stage, one, bob, "analytics/legacy", wanted)
    assert "GPL-3.0" in refused["message"], refused
    assert "waiver" in refused["message"], refused

    asked = {"environment": "analytics/legacy", "reason": "until we have moved to another"}
    found = bob.must(one, "POST", "/waivers", asked)
    (waiver,) = found["items"]
    assert waiver["state"] == "waiting"
    decision = {"grant": True, "reason": "for this environment alone"}
    for decider in (bob, stage.company.ada):
        no = decider.send(two, "POST", f"/waivers/{waiver['id']}/decision", decision)
        assert no.status_code in {403, 404}, no.text
    admin.must(two, "POST", f"/waivers/{waiver['id']}/decision", decision)

    number = refused["number"]
    stage.eventually(lambda server: newest(bob, server, "analytics/legacy")["state"] == "built")
    built = newest(bob, two, "analytics/legacy")
    print(f"version {number} was refused, version {built['number']} is built")
    stage.log_in(bob)
    stage.pulls("analytics/legacy:latest", COPYLEFT, "1.17.0")
    stage.is_refused(f"env/python.{COPYLEFT}:latest", "GPL-3.0")
    again = failed_version(stage, one, bob, "analytics/other", wanted)
    assert "GPL-3.0" in again["message"], "the waiver is for one environment"


def advisory_finds_what_exists(stage: Stage) -> None:
    """Three environments of two namespaces are named, with the version that mends them."""
    one, _ = stage.servers
    ada, bob, admin = stage.company.ada, stage.company.bob, stage.company.admin
    pinned = f"{VULNERABLE} ={AFFECTED}"
    wanted = specification("python", pinned)
    ada.build(one, "bioinformatics/fetching", wanted)
    bob.build(one, "analytics/fetching", wanted)
    bob.build(one, "analytics/crawling", specification("python", pinned, "pip"))
    stage.company.set_policy("company", STRICTER)
    path = stage.company.home / "advisories" / f"{ADVISORY_ID}.json"
    path.write_text(json.dumps(ADVISORY), encoding="utf-8")

    hit = {"bioinformatics/fetching", "analytics/fetching", "analytics/crawling"}
    stage.eventually(lambda server: named(admin, server, "/findings") >= hit)
    for server in stage.servers:
        assert named(admin, server, "/findings") == hit
        found = admin.must(server, "GET", "/findings")["items"]
        assert all(each["fixed_in"] == FIXED for each in found), found
        assert named(bob, server, "/namespaces/analytics/findings") == hit - {
            "bioinformatics/fetching"
        }
    actions = [each["action"] for each in events(bob, one, "analytics")]
    assert "finding.found" in actions, "those whose it is are told"
    stage.log_in(bob)
    stage.pulls("analytics/fetching:latest", VULNERABLE, AFFECTED)
    said = stage.is_refused(f"env/{VULNERABLE}.{AFFECTED}:latest", ADVISORY_ID, FIXED)
    print(said)

    bob.build(one, "analytics/fetching", specification("python", VULNERABLE))
    stage.pulls("analytics/fetching:latest", VULNERABLE, FIXED)


def key_is_blocked_and_unblocked(stage: Stage) -> None:
    """Nobody gets it by any door, until it is let go again."""
    one, two = stage.servers
    ada, admin = stage.company.ada, stage.company.admin
    key = ada.key(one, "bioinformatics/fetching:latest")
    stage.log_in(ada)
    stage.pulls("bioinformatics/fetching:latest", VULNERABLE, AFFECTED)
    why = "it was used to steal passwords"
    no = ada.send(one, "POST", "/blocks", {"key": key, "reason": why})
    assert no.status_code in {403, 404}, no.text
    admin.must(one, "POST", "/blocks", {"key": key, "reason": why})
    for server in stage.servers:
        for name in ("bioinformatics/fetching:latest", f"build/{key}:latest"):
            assert why in sentence(ada.manifest(server, name), 403), name
        for form in ("lock", "archive.tar.gz", "image.tar"):
            refused = ada.send(server, "GET", f"/builds/{key}/{form}")
            assert why in sentence(refused, 403), form
    stage.is_refused("bioinformatics/fetching:latest")
    admin.must(two, "DELETE", f"/blocks/{key}")
    stage.pulls("bioinformatics/fetching:latest", VULNERABLE, AFFECTED)


def all_of_it_is_in_the_audit_log(stage: Stage) -> None:
    """Who did what, through what and from where; administrators read it, and nobody else."""
    one, _ = stage.servers
    admin = stage.company.admin
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        more = f"&after={after}" if after else ""
        page = admin.must(one, "GET", f"/audit?limit=100{more}")
        found += page["items"]
        after = page["next"]
        if not after:
            break
    by_action = {each["action"] for each in found}
    expected = {
        *("namespace.created", "environment.created", "version.built"),
        *("policy.set", "policy.refused", "waiver.requested", "waiver.granted"),
        *("finding.found", "build.blocked", "build.unblocked", "login.succeeded"),
    }
    assert expected <= by_action, expected - by_action
    granted = next(each for each in found if each["action"] == "waiver.granted")
    assert granted["actor"] == admin.name
    assert granted["address"] == "127.0.0.1"
    refused = stage.company.bob.send(one, "GET", "/audit")
    assert refused.status_code == 403, refused.text
    lines = admin.send(one, "GET", "/audit", Accept="application/x-ndjson").text.splitlines()
    assert len(lines) >= len(found)
    assert all(json.loads(line)["action"] for line in lines)


def specification(*specs: str) -> bytes:
    """Return what a version is asked for by."""
    return json.dumps({"specs": list(specs)}).encode()


def failed_version(
    stage: Stage, server: Server, person: Person, path: str, wanted: bytes
) -> dict[str, Any]:
    """Return a version of a new environment, which must fail."""
    namespace, _, name = path.partition("/")
    answer = person.send(
        server, "POST", f"/namespaces/{namespace}/environments?name={name}", wanted
    )
    assert answer.is_success, answer.text
    found: dict[str, Any] = person.version(server, path, answer.json()["version"]["number"])
    assert found["state"] == "failed", found
    return found


def newest(person: Person, server: Server, path: str) -> dict[str, Any]:
    """Return the newest version of an environment."""
    found: list[dict[str, Any]] = person.must(server, "GET", f"{environment(path)}/versions")[
        "items"
    ]
    return found[0]


def named(person: Person, server: Server, address: str) -> set[str]:
    """Return the environments that findings name."""
    items = person.must(server, "GET", address)["items"]
    return {each["environment"] for each in items}


def events(person: Person, server: Server, namespace: str) -> list[dict[str, Any]]:
    """Return what happened in a namespace."""
    found: list[dict[str, Any]] = person.must(
        server, "GET", f"/namespaces/{namespace}/events?limit=100"
    )["items"]
    return found
