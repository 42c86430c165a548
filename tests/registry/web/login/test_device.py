from typing import Any

import pytest

from registry.auth.device_logins import LIFETIME_SECONDS
from registry.cli.login import by_device, client_name
from registry.web.login.device import MAX_LOST_CODES
from tests.registry.web.login.accounts import MemorySessions
from tests.registry.web.login.browser import Browser, Page
from tests.registry.web.login.conftest import HERE, Clock
from tests.registry.web.login.test_login import by_password

pytestmark = pytest.mark.anyio

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def begin(program: Browser, client: str = "pullforge on lab7") -> dict[str, Any]:
    reply = await program.http.post("/api/v1/login/device", data={"client_id": client})
    assert reply.status_code == 200, reply.text
    assert reply.headers["cache-control"] == "no-store"
    found: dict[str, Any] = reply.json()
    return found


async def ask(program: Browser, code: str) -> tuple[int, dict[str, Any]]:
    data = {"grant_type": GRANT, "device_code": code}
    reply = await program.http.post("/api/v1/login/device/token", data=data)
    return reply.status_code, reply.json()


async def test_a_person_confirms_in_their_browser_and_the_program_has_a_token(
    browsers: list[Browser], sessions: MemorySessions
) -> None:
    person, program, _ = browsers
    begun = await begin(program)
    assert begun["verification_uri"] == f"{HERE}/login/device"
    assert begun["interval"] == 5
    assert begun["expires_in"] == LIFETIME_SECONDS
    assert (await ask(program, begun["device_code"]))[1]["error"] == "authorization_pending"
    # The browser logs in first, and comes back to the code.
    path = begun["verification_uri_complete"].removeprefix(HERE)
    reply = await person.get(path)
    assert reply.status_code == 303
    back = Page((await person.get(reply.headers["location"])).text).fields["next"]
    done = await by_password(person, next=back)
    page = await person.get(done.headers["location"])
    assert "pullforge on lab7" in page.text
    assert "192.0.2.2" in page.text
    assert begun["user_code"] in page.text
    code = Page(page.text).fields["code"]
    assert (await person.submit("/login/device", code=code, decision="grant")).status_code == 200
    status, given = await ask(program, begun["device_code"])
    assert status == 200
    assert given["name"] == "root"
    assert given["token_type"] == "Bearer"
    assert sessions.tokens == {given["access_token"]: ("root", "pullforge on lab7")}
    # Once.
    assert (await ask(program, begun["device_code"]))[0] == 400
    assert len(sessions.tokens) == 1


async def test_a_program_that_is_denied_is_told(browsers: list[Browser]) -> None:
    person, program, _ = browsers
    await by_password(person)
    begun = await begin(program)
    await person.submit("/login/device", code=begun["user_code"], decision="deny")
    assert (await ask(program, begun["device_code"]))[1]["error"] == "access_denied"


async def test_looking_at_a_code_confirms_nothing(
    browsers: list[Browser], sessions: MemorySessions
) -> None:
    person, program, _ = browsers
    await by_password(person)
    begun = await begin(program)
    for query in ("", "&decision=grant"):
        await person.get(f"/login/device?code={begun['user_code']}{query}")
    await person.submit("/login/device", code=begun["user_code"], decision="perhaps")
    assert (await ask(program, begun["device_code"]))[0] == 400
    assert sessions.tokens == {}


async def test_nobody_confirms_without_having_logged_in(
    browsers: list[Browser], sessions: MemorySessions
) -> None:
    stranger, program, _ = browsers
    begun = await begin(program)
    reply = await stranger.submit("/login/device", code=begun["user_code"], decision="grant")
    assert reply.status_code == 403
    assert (await ask(program, begun["device_code"]))[1]["error"] == "authorization_pending"
    # Not by the cookie of somebody who has logged out either.
    await by_password(stranger)
    secret = stranger.cookie("__Host-pullforge")
    await stranger.submit("/logout")
    headers = {"cookie": f"__Host-pullforge={secret}", "origin": HERE}
    form = {"code": begun["user_code"], "decision": "grant"}
    reply = await stranger.http.post("/login/device", data=form, headers=headers)
    assert reply.status_code == 403
    assert sessions.tokens == {}


async def test_codes_end(browsers: list[Browser], clock: Clock) -> None:
    person, program, _ = browsers
    await by_password(person)
    begun = await begin(program)
    clock.seconds += LIFETIME_SECONDS
    reply = await person.get(f"/login/device?code={begun['user_code']}")
    assert reply.status_code == 404
    assert (await ask(program, begun["device_code"]))[1]["error"] == "expired_token"


async def test_codes_cannot_be_guessed(browsers: list[Browser]) -> None:
    person, program, other = browsers
    await by_password(person)
    statuses = [
        (await person.get(f"/login/device?code=BCDFGHJ{letter}")).status_code
        for letter in "BCDFGHJKLMNP"
    ]
    assert statuses[:10] == [404] * 10
    assert statuses[10] == 429
    # Nor by the same person from elsewhere; nor without limit by what is no code at all.
    await by_password(other)
    assert (await other.get("/login/device?code=BCDFGHJQ")).status_code == 429
    begun = await begin(program)
    reply = await other.submit("/login/device", code=begun["user_code"], decision="grant")
    assert reply.status_code == 429


async def test_right_codes_may_be_looked_at_often(browsers: list[Browser]) -> None:
    person, program, _ = browsers
    await by_password(person)
    begun = await begin(program)
    for _ in range(15):
        reply = await person.get(f"/login/device?code={begun['user_code']}")
        assert reply.status_code == 200


async def test_a_program_that_asks_too_often_is_slowed_down(browsers: list[Browser]) -> None:
    program = browsers[1]
    begun = await begin(program)
    errors = [(await ask(program, begun["device_code"]))[1]["error"] for _ in range(4)]
    assert errors[-1] == "slow_down"


async def test_random_codes_are_not_looked_up_for_ever(browsers: list[Browser]) -> None:
    _, program, other = browsers
    begun = await begin(program)
    assert (await ask(program, begun["device_code"]))[1]["error"] == "authorization_pending"
    for number in range(MAX_LOST_CODES):
        assert (await ask(program, f"lost {number}"))[1]["error"] == "expired_token"
    assert (await ask(program, "one more"))[1]["error"] == "slow_down"
    assert (await ask(other, "one more"))[1]["error"] == "expired_token"


async def test_one_address_begins_so_many_logins(browsers: list[Browser]) -> None:
    program, other, _ = browsers
    for _ in range(20):
        await begin(program)
    reply = await program.http.post("/api/v1/login/device", data={"client_id": "x"})
    assert reply.status_code == 429
    assert "retry-after" in reply.headers
    await begin(other)


@pytest.mark.parametrize("client", ["", "<script>", "x" * 65, "a\nb", " x"])
async def test_a_program_has_a_plain_name(browsers: list[Browser], client: str) -> None:
    data = {"client_id": client}
    reply = await browsers[0].http.post("/api/v1/login/device", data=data)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


async def test_questions_that_are_none_have_the_errors_of_the_rfc(browser: Browser) -> None:
    url = "/api/v1/login/device/token"
    wrong = await browser.http.post(url, data={"grant_type": "password", "device_code": "x"})
    assert wrong.json()["error"] == "unsupported_grant_type"
    for code in ("", "x" * 300):
        status, answer = await ask(browser, code)
        assert (status, answer["error"]) == (400, "invalid_request")
    assert (await ask(browser, "unknown"))[1]["error"] == "expired_token"
    get = await browser.get(url)
    assert (get.status_code, get.headers["allow"]) == (405, "POST")


async def test_the_command_line_logs_in_this_way(
    browsers: list[Browser], sessions: MemorySessions
) -> None:
    person, program, _ = browsers
    await by_password(person)
    said: list[str] = []

    async def confirm(_seconds: float) -> None:
        code = said[0].split()[-1]
        await person.submit("/login/device", code=code, decision="grant")

    token = await by_device(program.http, HERE, client_name(), said.append, sleep=confirm)
    assert sessions.tokens == {token: ("root", client_name())}
