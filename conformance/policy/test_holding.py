"""Policies hold while servers, the database and the store come and go."""

import time
from typing import Any, Final

import pytest

from conformance.catalog.person import environment, sentence
from conformance.clients.server import Server
from conformance.policy.channels import COPYLEFT
from conformance.policy.company import Company, pulled_by_anybody

FILE: Final = 'contact = "it@example.org"\n[licences]\ndenied = ["GPL-3.0-*"]\n'
STORED: Final = '[packages]\ndenied = [{ spec = "idna", reason = "withdrawn" }]\n'
#: What nobody may mean to write.
BROKEN: Final = {
    "no TOML": "[licences\n",
    "a rule that is none": '[licences]\ndenyed = ["MIT"]\n',
    "a spec that is none": '[packages]\ndenied = ["==="]\n',
    "nesting without end": "x = " + "[" * 100_000,
    "a size beyond all": "# " + "x" * 300_000,
}

pytestmark = pytest.mark.engine("postgresql and versitygw")


@pytest.fixture(autouse=True, scope="module")
def _policies(company: Company) -> None:
    """Have one policy in a file, and one in the database."""
    company.set_policy("licences", FILE)
    company.admin.must(company.servers[0], "PUT", "/policies/packages", {"text": STORED})


def holds(company: Company) -> None:
    """Assert that both policies refuse at both servers, by names and in namespaces."""
    for server in company.servers:
        assert "GPL-3.0" in sentence(pulled_by_anybody(server, f"env/{COPYLEFT}:latest"), 404)
        assert "withdrawn" in sentence(pulled_by_anybody(server, "env/idna:latest"), 404)
        wanted = {"specs": [COPYLEFT]}
        answer = company.bob.send(server, "POST", "/builds", wanted, Prefer="wait=25")
        assert "GPL-3.0" in sentence(answer, 403)


def test_they_hold_at_every_server(company: Company) -> None:
    """However each came to know of them."""
    holds(company)


def test_they_hold_from_the_first_request_of_a_server_on(company: Company) -> None:
    """One that was killed knows them before it answers."""
    for server in company.servers:
        server.kill()
        server.start()
        for name, word in ((COPYLEFT, "GPL-3.0"), ("idna", "withdrawn")):
            assert word in sentence(pulled_by_anybody(server, f"env/{name}:latest"), 404)
    holds(company)


def test_they_hold_while_the_database_is_away(company: Company) -> None:
    """What was known is known; who does not know yet builds nothing that would be refused."""
    two = company.servers[1]
    company.postgres.stop()
    try:
        for server in company.servers:
            assert pulled_by_anybody(server, f"env/{COPYLEFT}:latest").status_code == 404
            assert not pulled_by_anybody(server, "env/idna.pip:latest").is_success
        two.kill()
        two.start()
        assert not pulled_by_anybody(two, f"env/{COPYLEFT}:py3.11").is_success
        assert not pulled_by_anybody(two, "env/idna:py3.11").is_success
    finally:
        company.postgres.start()
    company.until(lambda server: company.policy(server, "packages").get("text") == STORED)
    time.sleep(2.5)  # errors that may pass are remembered so long
    holds(company)


def test_they_hold_while_the_store_is_away(company: Company) -> None:
    """Nothing is built by rules that cannot be kept."""
    company.s3.stop()
    try:
        for server in company.servers:
            assert not pulled_by_anybody(server, f"env/{COPYLEFT}.pip:latest").is_success
    finally:
        company.s3.start()
    time.sleep(2.5)  # errors that may pass are remembered so long
    holds(company)


@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_is_edited_badly_changes_nothing_and_is_named(
    company: Company, what: str
) -> None:
    """Its last good text stays, and administrators are told where it is wrong."""
    path = company.home / "policies" / "licences.toml"
    path.write_text(BROKEN[what], encoding="utf-8")
    try:
        company.until(lambda server: bool(problems(company, server)))
        for server in company.servers:
            (problem,) = problems(company, server)
            assert "licences.toml" in str(problem), problem
        holds(company)
    finally:
        path.write_text(FILE, encoding="utf-8")
    company.until(lambda server: not problems(company, server))
    holds(company)


def test_a_file_that_was_bad_when_the_server_started_lets_nothing_through(
    company: Company,
) -> None:
    """There is no last good text then: it does not start, or builds nothing."""
    path = company.home / "policies" / "licences.toml"
    two = company.servers[1]
    path.write_text(BROKEN["no TOML"], encoding="utf-8")
    two.kill()
    try:
        try:
            two.start()
        except AssertionError:
            assert "licences.toml" in two.log_end()
        else:
            assert not pulled_by_anybody(two, f"env/{COPYLEFT}:py3.12").is_success
            two.kill()
    finally:
        path.write_text(FILE, encoding="utf-8")
        two.start()
    holds(company)


def test_what_was_built_before_a_policy_is_pulled_while_all_of_that_happens(
    company: Company,
) -> None:
    """A new policy takes nothing from anybody that exists; nor does a database that is away."""
    one, _ = company.servers
    company.bob.build(one, "analytics/kept", b'{"specs": ["tzdata"]}')
    digest = company.bob.digest(one, "analytics/kept:latest")
    company.set_policy("later", '[packages]\ndenied = ["tzdata"]\n')
    refused = company.bob.send(
        one, "POST", f"{environment('analytics/kept')}/versions?renew", b'{"specs": ["tzdata"]}'
    )
    assert refused.status_code in {201, 202, 403}, refused.text
    company.postgres.stop()
    try:
        for server in company.servers:
            assert company.bob.digest(server, "analytics/kept:latest") == digest
    finally:
        company.postgres.start()


def problems(company: Company, server: Server) -> list[Any]:
    """Return what a server says of policies that it cannot use."""
    found = company.admin.must(server, "GET", "/policies")["problems"]
    # That there are no advisories is one, too.
    return [problem for problem in found if problem["file"].endswith(".toml")]
